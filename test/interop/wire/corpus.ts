/**
 * Requests that are sent to setec and to Sotto: every method with bodies that are right, odd and
 * wrong in every way that Go's decoder tells apart. In a body, NAME stands for the secret's name.
 */
import type { MethodName } from '../../../client/api/wire.ts'

/** A method of setec. */
export type Method = Exclude<MethodName, 'whoami'>

/** One request to a method, by the rules of the wire but for its body. */
export interface BodyCase {
  readonly title: string
  readonly method: Method
  readonly body: string | Uint8Array
}

type Field = 'Name' | 'Version' | 'UpdateIfChanged' | 'Value'

/** What each method's body holds when nothing is odd about it. */
const plain: Record<Method, Partial<Record<Field, string>>> = {
  list: {},
  info: { Name: '"NAME"' },
  get: { Name: '"NAME"', Version: '3', UpdateIfChanged: 'true' },
  put: { Name: '"NAME"', Value: '"bmV3"' },
  'create-version': { Name: '"NAME"', Version: '9', Value: '"bmV3"' },
  activate: { Name: '"NAME"', Version: '3' },
  'delete-version': { Name: '"NAME"', Version: '3' },
  delete: { Name: '"NAME"' },
}

/** Every method. */
export const methods: readonly Method[] = Object.keys(plain) as Method[]

/** Methods that change nothing, whatever they are asked. */
export const readers: ReadonlySet<Method> = new Set(['list', 'info', 'get'])

/** Spellings of a field's value, right ones and wrong ones. */
export const spellings: Readonly<Record<Field, readonly string[]>> = {
  Name: [
    'null',
    '""',
    '"NAME"',
    '"NAME/new"',
    '"NAME "',
    '" NAME"',
    '0',
    'true',
    '[]',
    '["NAME"]',
    '{}',
    '{"Name":"NAME"}',
    "'NAME'",
    'NAME',
    '"NAME',
    '"NAME\\"',
    '"NAME\\\\"',
    '"NAME\\/x"',
    '"NAME\\u002Fx"',
    '"NAME\\u0041"',
    '"NAME\\u00e9"',
    '"NAMEé"',
    '"NAMEe\u0301"',
    '"NAME\\ud83d\\ude00"',
    '"NAME😀"',
    '"NAME\\ud800"',
    '"NAME\\udc00"',
    '"NAME\\udc00\\ud800"',
    '"NAME\\ud800\\ud83d\\ude00"',
    '"NAME\\ud800x"',
    '"NAME\\uD800\\u0041"',
    '"NAME\\ud83d\ude00"',
    '"NAME\ufffd"',
    '"NAME\\ufffd"',
    '"NAME\uffff"',
    '"NAME\ufeff"',
    '"NAME\\u0000"',
    '"NAME\\n"',
    '"NAME\\u001f"',
    '"NAME\u007f"',
    '"NAME\u0085"',
    '"NAME\u00a0"',
    '"NAME\u2028"',
    '"NAME<>&"',
    '"NAME\n"',
    '"NAME\t"',
    '"NAME\u0000"',
    '"NAME\\x41"',
    '"NAME\\u12"',
    '"NAME\\u12g4"',
    '"NAME\\U0041"',
    '"NAME\\\'"',
    '"NAME\\b\\f\\r\\t"',
    '"\\u"',
    '"NAME/__proto__"',
    `"NAME${'n'.repeat(480)}"`,
    `"NAME${'n'.repeat(600)}"`,
    `"NAME${'é'.repeat(260)}"`,
    `"NAME${'n'.repeat(4500)}"`,
  ],
  Version: [
    'null',
    '0',
    '1',
    '2',
    '3',
    '4',
    '-0',
    '-1',
    '2.0',
    '2.5',
    '0.2e1',
    '2e0',
    '2E0',
    '2e+0',
    '20e-1',
    '4294967295',
    '4294967296',
    '4294967298',
    '18446744073709551618',
    '1e400',
    '-1e400',
    '1e-400',
    '0.0',
    '0e0',
    '00',
    '02',
    '+2',
    '.2',
    '2.',
    '2e',
    '-',
    '0x2',
    '1_0',
    'NaN',
    'Infinity',
    '"2"',
    '"two"',
    '""',
    'true',
    'false',
    '[]',
    '[2]',
    '{}',
    '9'.repeat(400),
    `0.${'0'.repeat(400)}`,
    '2 3',
    '2\u00a0',
  ],
  UpdateIfChanged: [
    'null',
    'true',
    'false',
    'True',
    'TRUE',
    'tru',
    'truee',
    'fals',
    '0',
    '1',
    '"true"',
    '"false"',
    '""',
    '[]',
    '[true]',
    '{}',
  ],
  Value: [
    'null',
    '""',
    '"AA=="',
    '"AAE="',
    '"AAEC"',
    '"AAECAwQFBgcICQoLDA0ODw=="',
    '"+/+/"',
    '"-_-_"',
    '"AA"',
    '"AA="',
    '"AA==="',
    '"AA== "',
    '" AA=="',
    '"AA ==" ',
    '"A"',
    '"AAA"',
    '"AAAAA"',
    '"="',
    '"=="',
    '"===="',
    '"=AAA"',
    '"A=AA"',
    '"AA==AA=="',
    '"AA==\\n"',
    '"AA=\\n="',
    '"AA\\n=="',
    '"AA\\r\\n=="',
    '"\\nAA=="',
    '"A\\r\\nA\\n=\\r="',
    '"AA\\t=="',
    '"\\n"',
    '"AA\n=="',
    '"AB=="',
    '"AAF="',
    '"AA\\u003d\\u003D"',
    '"\\u0041A=="',
    '"ÀAAA"',
    '"AA==é"',
    '"\\ud800"',
    '"NAME"',
    '"*"',
    'AA==',
    '[]',
    '[0]',
    '[0,1,255]',
    '[ 1 , 2 ]',
    '[256]',
    '[-1]',
    '[-0]',
    '[1.0]',
    '[1e0]',
    '[1.5]',
    '[null]',
    '[1,null,2]',
    '["1"]',
    '[true]',
    '[[1]]',
    '[{}]',
    '[1,]',
    '[,1]',
    '[1 2]',
    '{}',
    '{"0":1}',
    '0',
    '7',
    'true',
    'false',
  ],
}

/** Spellings of a field's name that Go may or may not take for it. */
function keySpellings(field: Field): string[] {
  const escaped = `\\u00${field.charCodeAt(0).toString(16)}${field.slice(1)}`
  return [
    field.toLowerCase(),
    field.toUpperCase(),
    field
      .split('')
      .map((c, i) => (i % 2 ? c.toUpperCase() : c.toLowerCase()))
      .join(''),
    escaped,
    field.replace(/s/i, 'ſ'),
    field.replace(/i/i, 'ı'),
    field.replace(/i/i, 'İ'),
    field.replace(/e/i, 'é'),
    field.replace(/a/i, 'ａ'),
    `${field} `,
    ` ${field}`,
    `${field}\\u0000`,
    `${field}_`,
    field.slice(1),
    '',
  ]
}

const others: Record<Field, string> = {
  Name: '"NAME/other"',
  Version: '2',
  UpdateIfChanged: 'false',
  Value: '"b3RoZXI="',
}

const wrongType = '{"a":[1]}'

function* fieldCases(method: Method): Generator<BodyCase> {
  const fields = plain[method]
  for (const field of Object.keys(fields) as Field[]) {
    const value = fields[field] as string
    for (const spelling of spellings[field]) {
      yield {
        title: `${field} is ${short(spelling)}`,
        method,
        body: object({ ...fields, [field]: spelling }),
      }
    }
    yield { title: `without ${field}`, method, body: object({ ...fields, [field]: undefined }) }
    for (const key of keySpellings(field)) {
      const rest = Object.entries({ ...fields, [field]: undefined })
      yield {
        title: `${field} spelled ${JSON.stringify(key)}`,
        method,
        body: pairs([...rest, [key, value]]),
      }
    }
    yield* repetitions(method, field, value)
  }
}

/** The same field more than once: the last counts, except where that one is null or wrong. */
function* repetitions(method: Method, field: Field, value: string): Generator<BodyCase> {
  const rest = Object.entries({ ...plain[method], [field]: undefined })
  const lower = field.toLowerCase()
  const upper = field.toUpperCase()
  const other = others[field]
  const orders: [string, string | undefined][][] = [
    [
      [field, other],
      [field, value],
    ],
    [
      [field, value],
      [lower, other],
    ],
    [
      [lower, value],
      [field, other],
    ],
    [
      [lower, value],
      [upper, other],
    ],
    [
      [field, value],
      [field, 'null'],
    ],
    [
      [field, 'null'],
      [field, value],
    ],
    [
      [field, value],
      [lower, 'null'],
      [upper, 'null'],
    ],
    [
      [field, wrongType],
      [field, value],
    ],
    [
      [field, value],
      [field, wrongType],
    ],
    [
      [field, '4294967296'],
      [field, value],
    ],
    [
      [field, '-1'],
      [field, value],
    ],
    [
      [field, '"x"'],
      [field, value],
    ],
    [
      [field, value],
      [lower, wrongType],
      [field, value],
    ],
    [
      [field, '"x"'],
      [field, '[1,2,3]'],
      [field, value],
    ],
    [
      [field, value],
      [field, '[1,2]'],
    ],
    [
      [field, '[1,2,3]'],
      [field, '[null]'],
    ],
    [
      [field, '[1,2,3]'],
      [field, '[null,7]'],
    ],
    [
      [field, value],
      [field, '[null]'],
    ],
    [
      [field, '[1,2,3]'],
      [field, '[]'],
    ],
  ]
  for (const order of orders) {
    yield {
      title: order.map(([key, each]) => `${key}: ${each}`).join(', '),
      method,
      body: pairs([...rest, ...order]),
    }
  }
}

/** Bodies that are odd as a whole. */
function* shapeCases(method: Method): Generator<BodyCase> {
  const body = object(plain[method])
  const inner = body.slice(1, -1)
  const comma = inner ? ',' : ''
  const texts: (string | Uint8Array)[] = [
    body,
    '',
    ' ',
    '\n',
    'null',
    ' null ',
    'null x',
    'nullx',
    'null,',
    'nul',
    'Null',
    'NULL',
    'true',
    'false',
    'truex',
    '0',
    '-1',
    '1.5e3',
    '1x',
    '"text"',
    '"text',
    '[]',
    '[null]',
    '[',
    `[${body}]`,
    '{}',
    '{} ',
    '{',
    '}',
    '{}}',
    '{}{}',
    '{}]',
    '{},',
    `${body} trailing`,
    `${body}${body}`,
    `${body}\u0000`,
    `${body},`,
    `  \t\r\n${body}\r\n`,
    `\u00a0${body}`,
    `\f${body}`,
    `\v${body}`,
    `\u2028${body}`,
    `\ufeff${body}`,
    `\u0000${body}`,
    `/* */${body}`,
    `//\n${body}`,
    `{${inner}`,
    `{${inner},}`,
    `{,${inner}}`,
    `{${inner}${comma}"x"}`,
    `{${inner}${comma}"x":}`,
    `{${inner}${comma}x:1}`,
    `{${inner}${comma}'x':1}`,
    `{${inner}${comma}"x" "y"}`,
    `{${inner}${comma}"x":1 "y":2}`,
    `{${inner}${comma}"x"::1}`,
    `{${inner}${comma}"x":1,,"y":2}`,
    `{${inner}${comma}"x":1}`,
    `{"x":{"Name":"other","Version":[1,{"Value":null}]}${comma}${inner}}`,
    `{"x":[[],[{}],"]}",{"a":"}"}]${comma}${inner}}`,
    `{"x":"\\"}{"${comma}${inner}}`,
    `{"x":"\\\\"${comma}${inner}}`,
    `{"x":"\\ud800"${comma}${inner}}`,
    `{"\\ud800":1${comma}${inner}}`,
    `{"x":"\\q"${comma}${inner}}`,
    `{"x":"\u0001"${comma}${inner}}`,
    `{"x":"\t"${comma}${inner}}`,
    `{"\t":1${comma}${inner}}`,
    `{"x":01${comma}${inner}}`,
    `{"x":1e999999${comma}${inner}}`,
    `{"x":-${comma}${inner}}`,
    `{"x":tru${comma}${inner}}`,
    `{"x":nullnull${comma}${inner}}`,
    `{"x":undefined${comma}${inner}}`,
    `{"x":[1,2${comma}${inner}}`,
    `{"x":[1,2}${comma}${inner}]`,
    `{"x":{"y":1]${comma}${inner}}`,
    `{"x":[1 2]${comma}${inner}}`,
    `{"x":{"a"}${comma}${inner}}`,
    `{"__proto__":{"Name":"other"}${comma}${inner}}`,
    `{"constructor":{"prototype":1}${comma}${inner}}`,
    `{"toString":null${comma}${inner}}`,
    `{"":null${comma}${inner}}`,
    `{"x":${'1'.repeat(20_000)}${comma}${inner}}`,
    `{"x":"${'y'.repeat(100_000)}"${comma}${inner}}`,
    `{"${'y'.repeat(100_000)}":1${comma}${inner}}`,
    `{${'"x":1,'.repeat(5000)}"y":2${comma}${inner}}`,
    ...[9998, 9999, 10_000, 10_001, 60_000].flatMap((depth) => [
      `{"x":${'['.repeat(depth)}${']'.repeat(depth)}${comma}${inner}}`,
      `{"x":${'{"y":'.repeat(depth)}1${'}'.repeat(depth)}${comma}${inner}}`,
      `{"x":${'['.repeat(depth)}${comma}${inner}}`,
      `${'['.repeat(depth)}${']'.repeat(depth)}`,
    ]),
    Buffer.from(body, 'utf16le'),
    Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(body, 'utf16le')]),
    `{${inner}${comma}"Name":"NAME",`,
  ]
  for (const text of texts) yield { title: `body is ${short(String(text))}`, method, body: text }
}

/** Bytes that are not UTF-8, in the name of the secret, in a field's name and in an unknown field. */
function* byteCases(method: Method): Generator<BodyCase> {
  const sequences: number[][] = [
    [0xff],
    [0x80],
    [0xc3],
    [0xe2, 0x82],
    [0xf0, 0x9f, 0x98],
    [0xc0, 0xaf],
    [0xe0, 0x80, 0xaf],
    [0xed, 0xa0, 0x80],
    [0xf4, 0x90, 0x80, 0x80],
    [0xfe, 0xff],
  ]
  const inner = object(plain[method]).slice(1, -1)
  for (const sequence of sequences) {
    const hex = Buffer.from(sequence).toString('hex')
    const places: [string, string, string][] = [
      ['an unknown field', '{"x":"', `"${inner ? ',' : ''}${inner}}`],
      ['a key', '{"x', `":1${inner ? ',' : ''}${inner}}`],
      ['the end', `{${inner}}`, ''],
      ['a string after the end', `{${inner}}"`, '"'],
    ]
    if ('Name' in plain[method]) places.push(['the name', `{${inner},"Name":"NAME`, '"}'])
    if ('Value' in plain[method]) places.push(['the value', `{${inner},"Value":"AAAA`, '"}'])
    for (const [place, before, after] of places) {
      yield {
        title: `bytes ${hex} in ${place}`,
        method,
        body: Buffer.concat([Buffer.from(before), Buffer.from(sequence), Buffer.from(after)]),
      }
    }
  }
}

/** Every body case, by method. */
export const bodyCases: readonly BodyCase[] = methods.flatMap((method) => [
  ...fieldCases(method),
  ...shapeCases(method),
  ...byteCases(method),
])

/** The body as bytes, with `name` in the place of NAME. */
export function bodyFor(body: string | Uint8Array, name: string): Buffer {
  const bytes = typeof body === 'string' ? Buffer.from(body) : Buffer.from(body)
  return Buffer.from(bytes.toString('latin1').replaceAll('NAME', name), 'latin1')
}

function object(fields: Partial<Record<Field, string | undefined>>): string {
  return pairs(Object.entries(fields))
}

function pairs(fields: readonly (readonly [string, string | undefined])[]): string {
  const texts = fields.flatMap(([key, value]) => (value === undefined ? [] : [`"${key}":${value}`]))
  return `{${texts.join(',')}}`
}

function short(text: string): string {
  const shown = JSON.stringify(text)
  return shown.length <= 90 ? shown : `${shown.slice(0, 60)}… (${text.length})`
}
