/** What can be wrong with a request that is still HTTP, and what the wire says of it. */
import { METHODS } from 'node:http'
import type { Random } from '../support-crash/random.ts'
import { Draft, refusals, type Verdict } from './draft.ts'
import { compact, type Field, fieldsOf } from './spelling.ts'
import type { Operation } from '../support-crash/model.ts'
import { valueOf } from './secrets.ts'

const { badRequest, invalidName, invalidVersion } = refusals

/** Spoils the head of a request. */
export function spoilHead(random: Random, draft: Draft): void {
  // Before HTTP/1.1 no host had to be named.
  switch (random.below(draft.protocol === 'HTTP/1.0' ? 5 : 6)) {
    case 0:
      draft.method = random.pick(otherMethods)
      draft.fail('method', refusals.notPost)
      break
    case 1:
      draft.types = [...random.pick(wrongTypes)]
      draft.fail('type', refusals.contentType)
      break
    case 2:
      draft.guards = [...random.pick(wrongGuards)]
      draft.fail('guard', refusals.denied)
      break
    case 3:
      draft.target = random.chance(0.3)
        ? `/${Array.from({ length: random.below(30) }, () => random.pick(pathCharacters)).join('')}!`
        : random.pick(wrongTargets)
      draft.fail('path', refusals.noMethod)
      break
    case 4:
      if (random.chance(0.5)) draft.host = random.pick(wrongHosts)
      else draft.target = `http://other.test${draft.target}`
      draft.fail('host', refusals.wrongHost)
      break
    default:
      draft.host = undefined
      draft.fail('host', badRequest)
  }
}

/** Spoils the body of a request as a whole. */
export function spoilBody(random: Random, draft: Draft): void {
  const text = draft.body.toString('latin1')
  // The one brace that closes is the last character: no shorter part is a body.
  const compactBody = /^\{[^}]+\}$/.test(text) ? text : '{"Name":"x"}'
  const bodies = [
    '',
    ' ',
    'nul',
    'true',
    '-1',
    '"text"',
    '[]',
    `[${compactBody}]`,
    `\ufeff${compactBody}`,
    `\xa0${compactBody}`,
    `{,${compactBody.slice(1)}`,
    `{"x":1,}`,
    `{'x':1}`,
    `{"x":01}`,
    `{"x":"\\q"}`,
    `{"x":"\u0001"}`,
    '{"x":"\xff"}',
    `{"x":${'['.repeat(10_001)}${']'.repeat(10_001)}}`,
    `{"x":${'{"y":'.repeat(10_001)}1${'}'.repeat(10_001)}}`,
    `{"x":${'['.repeat(60_000)}`,
    '['.repeat(30_000),
    compactBody.slice(0, random.below(compactBody.length)),
  ]
  draft.body = Buffer.from(random.pick(bodies), 'latin1')
  draft.fail('body', badRequest)
}

/** A request whose one field is wrong: of a wrong type, out of range, or refused for what it says. */
export function wrongField(random: Random, name: string): Draft {
  const [method, field] = random.pick(places)
  const [text, verdict] = random.pick(wrongValues(method, field))
  const fields = fieldsOf(plain(random, method, name)).map(
    ([key, good]): Field => [key, key === field ? text : good],
  )
  return new Draft(method, compact(fields.filter(([, each]) => each !== '')), verdict)
}

/** A head past its limit. */
export function largeHead(random: Random, draft: Draft): void {
  const many = Array.from({ length: 3000 }, (_, at) => `a${at}: b`)
  draft.more.push(...(random.chance(0.5) ? many : [`X: ${'y'.repeat(16_400)}`]))
  draft.fail('host', refusals.headTooLarge)
}

/** A request whose body is past its limit. */
export function largeBody(random: Random): Draft {
  const draft = new Draft('put', '', refusals.tooLarge)
  if (random.chance(0.3)) draft.more.push('Connection: close')
  const length = 2 * 1024 * 1024 + random.pick([1, 2, 500_000])
  draft.body = Buffer.alloc(length, random.pick([' ', '[', '"', '\0']))
  draft.framing = random.pick(['length', 'chunked'])
  return draft.fail('size', refusals.tooLarge)
}

const otherMethods = [
  ...METHODS.filter((method) => method !== 'POST' && method !== 'CONNECT'),
  'GET',
  'HEAD',
  'PUT',
  'DELETE',
]

const json = 'Content-Type: application/json'
const wrongTypes: readonly (readonly string[])[] = [
  [],
  ['Content-Type:'],
  ['Content-Type: text/plain'],
  ['Content-Type: text/plain', json],
  [`${json}; charset`],
  [`${json}; charset=latin1`],
  [`${json}, text/plain`],
  ['Content-Type: application/x-www-form-urlencoded'],
  ['Content-Type: multipart/form-data; boundary=x'],
  [`X-${json}`],
]

const guard = 'Sec-X-Tailscale-No-Browsers'
const wrongGuards: readonly (readonly string[])[] = [
  [],
  [`${guard}:`],
  [`${guard}: Setec`],
  [`${guard}: setec, setec`],
  [`${guard}: setec`, `${guard}: setec`],
  [`${guard}: setec`, `${guard}: `],
  [`${guard}: 1`],
  ['X-Tailscale-No-Browsers: setec'],
  [`${guard}: setec\xe9`],
]

const wrongTargets = [
  '/',
  '//api/get',
  '/api',
  '/api/',
  '/api//get',
  '/api/get/',
  '/api/get;x',
  '/api/get%2f',
  '/api/get%00',
  '/API/GET',
  '/api/create_version',
  '/api/__proto__',
  '/%ff',
  '/%zz',
  '/metrics',
  `/${'a'.repeat(5000)}`,
  'http://localhost/api/none',
]

/** Names of others, as a page has whose name leads to the server. */
const wrongHosts = [
  'Host: other.test',
  'Host: localhost.other.test:80',
  'Host: localhost:x',
  'Host:',
]

const pathCharacters = ['a', 'api', '/', '..', '.', '%41', '%', ';', '=', ':', '@', '~', "'", '[']

type Changed = 'put' | 'create-version' | 'activate' | 'delete-version' | 'delete' | 'get' | 'info'
type FieldName = 'Name' | 'Version' | 'UpdateIfChanged' | 'Value'

const places: readonly (readonly [Changed, FieldName])[] = [
  ['get', 'Name'],
  ['get', 'Version'],
  ['get', 'UpdateIfChanged'],
  ['info', 'Name'],
  ['put', 'Name'],
  ['put', 'Value'],
  ['create-version', 'Name'],
  ['create-version', 'Version'],
  ['create-version', 'Value'],
  ['activate', 'Name'],
  ['activate', 'Version'],
  ['delete-version', 'Name'],
  ['delete-version', 'Version'],
  ['delete', 'Name'],
]

function plain(random: Random, method: Changed, name: string): Operation {
  switch (method) {
    case 'get':
      return { method, name, version: 1, held: true }
    case 'put':
      return { method, name, value: valueOf(random) }
    case 'create-version':
      return { method, name, version: 1 + random.below(9), value: valueOf(random) }
    case 'activate':
    case 'delete-version':
      return { method, name, version: 1 }
    case 'info':
    case 'delete':
      break
  }
  return { method, name }
}

/** JSON texts that a field of a method may not have, none for a field that is left out. */
function wrongValues(method: Changed, field: FieldName): readonly (readonly [string, Verdict])[] {
  const bad = badTexts[field].map((text) => [text, badRequest] as const)
  const reads = method === 'get' || method === 'info'
  if (field === 'Name') {
    // No rule of a caller here allows anything on the empty name.
    const empty = reads ? refusals.denied : invalidName
    bad.push(...['', '""', 'null'].map((text) => [text, empty] as const))
    if (method === 'put' || method === 'create-version') {
      bad.push(...unwritable.map((text) => [text, invalidName] as const))
    }
  }
  if (field === 'Version' && method !== 'get') {
    bad.push(...['', '0', 'null'].map((text) => [text, invalidVersion] as const))
  }
  return bad
}

const unwritable: readonly string[] = [
  `"${'n'.repeat(513)}"`,
  `"${'é'.repeat(257)}"`,
  '"a\\u0000b"',
  '"a\\n"',
  '"\\u007f"',
  '"a\u0085"',
  '"\\u001b[31m"',
]

const badTexts: Readonly<Record<FieldName, readonly string[]>> = {
  Name: [
    '0',
    'true',
    '[]',
    '["x"]',
    '{}',
    '"\\ud800"',
    '"a\\udc00b"',
    '"a\u0001b"',
    '"a\\x41"',
    '"a',
    `"${'n'.repeat(4097)}"`,
  ],
  Version: [
    ...'-1 -0 1.0 1.5 1e0 10e-1 4294967296 18446744073709551617 1e400 00 01 +1 .1 1. 0x1'.split(
      ' ',
    ),
    ...'1_0 NaN Infinity "1" "" true [] [1] {}'.split(' '),
    '9'.repeat(400),
    `0.${'0'.repeat(400)}`,
  ],
  UpdateIfChanged: ['0', '1', '"true"', '""', '[]', '[true]', '{}', 'True', 'tru'],
  Value: [
    ...'"A" "AA" "AAA" "AA=" "AA===" "AA==AA==" "=AAA" "====" "-_-_" "*"'.split(' '),
    ...'0 true {} [256] [-1] [1.0] ["1"] [[1]] [1,] "\\ud800" "AA\\t=="'.split(' '),
    '" AA=="',
    '"\u00c0AAA"',
  ],
}
