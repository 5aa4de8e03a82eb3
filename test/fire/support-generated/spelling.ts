/** How a request says what it says: the many spellings that a server must take for the same. */
import type { Random } from '../support-crash/random.ts'
import { Draft, refusals } from './draft.ts'
import type { Planned } from './secrets.ts'

/** A field of a body: its name and the JSON text of its value. */
export type Field = readonly [name: string, text: string]

/** A request for `planned` in one of its spellings. */
export function spelled(random: Random, { operation, verdict }: Planned): Draft {
  const fields = random.chance(0.25) ? oddly(random, fieldsOf(operation)) : fieldsOf(operation)
  const nothing = fields.length === 0 && random.chance(0.3)
  const draft = new Draft(operation.method, nothing ? 'null' : bodyOf(random, fields), verdict)
  if (random.chance(0.3)) dress(random, draft)
  return draft
}

/** The fields that say `operation`. */
export function fieldsOf(operation: Planned['operation']): Field[] {
  const fields: Field[] = []
  if ('name' in operation) fields.push(['Name', JSON.stringify(operation.name)])
  if ('version' in operation) fields.push(['Version', String(operation.version)])
  if ('held' in operation) fields.push(['UpdateIfChanged', String(operation.held)])
  if ('value' in operation) fields.push(['Value', `"${operation.value}"`])
  return fields
}

/** A body of `fields`, without a space. */
export function compact(fields: readonly Field[]): string {
  return `{${fields.map(([name, text]) => `"${name}":${text}`).join(',')}}`
}

/** Gives a request a head that says the same in other words. */
function dress(random: Random, draft: Draft): void {
  const path = draft.target
  switch (random.below(9)) {
    case 0:
      draft.target = random.pick([
        `${path}?`,
        `${path}?Name=other&%zz`,
        `http://localhost:1${path}`,
        `https://[::1]${path}`,
        `/api/../api${path.slice(4)}`,
        path.replace(/t/, '%74'),
      ])
      break
    case 1:
      draft.framing = 'chunked'
      break
    case 2:
      draft.types = [
        random.pick([
          'content-type:application/json',
          'CONTENT-TYPE: \t application/json \t',
          'Content-Type: application/json; charset=utf-8',
          'Content-Type: Application/JSON;charset="UTF-8"',
          'Content-Type: application/json;',
        ]),
      ]
      break
    case 3:
      draft.guards = [
        random.pick([
          'sec-x-tailscale-no-browsers:setec',
          'SEC-X-TAILSCALE-NO-BROWSERS: \t setec ',
        ]),
      ]
      break
    case 4:
      draft.host = random.pick(['host: LOCALHOST:99999', 'Host: 192.0.2.1', 'Host: [::1]'])
      break
    case 5:
      draft.protocol = 'HTTP/1.0'
      if (random.chance(0.5)) draft.host = undefined
      if (random.chance(0.5)) draft.more.push('Connection: keep-alive')
      break
    case 6:
      draft.more.push('Expect: 100-continue')
      break
    case 7:
      draft.more.push(...Array.from({ length: random.below(300) }, (_, at) => `X-${at}: ${at}`))
      break
    default:
      draft.more.push(random.pick(idle))
  }
}

/** Header lines that mean nothing to the server. */
const idle: readonly string[] = [
  'Connection: close',
  'Connection: Upgrade\r\nUpgrade: websocket',
  'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk',
  'Expect: the-moon',
  'X-Forwarded-For: 127.0.0.1',
  'Forwarded: for=127.0.0.1',
  'Tailscale-User-Login: root@example.com',
  'Authorization: Bearer root',
  'Content-Encoding: gzip',
  'Accept-Encoding: br',
  'If-None-Match: *',
  'Range: bytes=0-0',
  'X-Request-Id: mine',
  'Keep-Alive: timeout=9999999',
  `Cookie: ${'c'.repeat(8000)}`,
  'X-Latin: \xe9\xff\x80',
]

/** The same fields in other words. */
function oddly(random: Random, fields: readonly Field[]): Field[] {
  const odd = fields.map(
    ([name, text]): Field => [caseOf(random, name), textOf(random, name, text)],
  )
  const at = random.below(odd.length + 1)
  switch (random.below(5)) {
    case 0:
      odd.splice(at, 0, [random.pick(['x', '', 'Namé', 'constructor']), random.pick(unknown)])
      break
    case 1: {
      // The last of several counts, whatever its case; a null leaves what was.
      const field = fields[random.below(fields.length)]
      if (field === undefined) break
      const last: Field[] = field[0] === 'Value' ? [] : [[field[0].toLowerCase(), 'null']]
      return [[field[0].toUpperCase(), other[field[0]] ?? 'null'], ...fields, ...last]
    }
    case 2:
      if (fields.some(([name]) => name === 'Name')) odd.reverse()
      break
    default:
  }
  return odd
}

const unknown: readonly string[] = [
  'null',
  '[[],[{}],"]}",{"a":"}"}]',
  '{"Name":"other","Version":[1,{"Value":null}]}',
  '1e999999',
  `"${'y'.repeat(3000)}"`,
  `${'['.repeat(9000)}${']'.repeat(9000)}`,
]

const other: Readonly<Record<string, string>> = {
  Name: '"elsewhere"',
  Version: '4294967295',
  UpdateIfChanged: 'false',
  Value: '"b3RoZXI="',
}

function caseOf(random: Random, name: string): string {
  const kind = random.below(4)
  if (kind === 0) return name.toLowerCase()
  if (kind === 1) return name.toUpperCase()
  return kind === 2 ? `\\u00${name.charCodeAt(0).toString(16)}${name.slice(1)}` : name
}

function textOf(random: Random, name: string, text: string): string {
  if (random.chance(0.5)) return text
  if (name === 'Name') return escaped(text)
  if (name === 'Version' && text === '0') return 'null'
  if (name === 'Value' && text === '""') return random.pick(['null', '[]', '"\\n"'])
  if (name === 'Value' && text.length < 200) {
    const bytes = [...Buffer.from(text.slice(1, -1), 'base64')]
    return random.pick([`[${bytes.join(' , ')}]`, `"\\r\\n${text.slice(1, -1)}\\n"`])
  }
  return text
}

/** Every character of a JSON string by its number. */
function escaped(text: string): string {
  const units = (JSON.parse(text) as string).split('')
  return `"${units.map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"`
}

function bodyOf(random: Random, fields: readonly Field[]): string {
  const body = compact(fields)
  if (random.chance(0.9)) return body
  return random.pick([
    ` \t\r\n${body}\r\n`,
    `${body} trailing`,
    `${body}{"Name":"second"}`,
    `${body}\u0000`,
    compact(fields).replaceAll('":', '" : ').replace('{', '{ '),
  ])
}

/** Answers of other paths than those of the API. */
export function healthCheck(random: Random): Draft {
  const draft = new Draft('', '', { status: 200 })
  draft.target = random.pick(['/healthz', '/readyz', '/api/openapi.json', '/healthz?x'])
  draft.method = random.pick(['GET', 'GET', 'HEAD', 'POST'])
  draft.types = []
  return draft.method === 'POST' ? draft.fail('path', refusals.noMethod) : draft
}
