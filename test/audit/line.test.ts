import fc from 'fast-check'
import { expect, test } from 'vitest'
import { nextRequestId, nextSalt } from '../../server/platform/request-id.ts'
import {
  beginning,
  decodeLine,
  encodeEntry,
  encodeLine,
  hashLine,
  isKnown,
  MIN_LINE_BYTES,
} from '../../audit/line.ts'
import type { Entry, KeyActor, SegmentEntry } from '../../audit/record.ts'
import { access, change } from './fixtures.ts'

const stamp = { id: 7, time: '2026-02-03T04:05:06.789Z', revision: 3, prev: 'ab'.repeat(32) }

const text = fc.string({ unit: 'binary', maxLength: 20 })
const number = fc.nat()
const principal = fc.oneof(
  fc.record({ hostname: text, ip: text, user: text }),
  fc.record({ hostname: text, ip: text, tags: fc.array(text, { maxLength: 3 }) }),
)
const action = fc.constantFrom('get' as const, 'info' as const, 'put' as const)

/** Entries with either of those who change keys. */
function withActor<T extends object>(
  fields: { [K in keyof T]: fc.Arbitrary<T[K]> },
): fc.Arbitrary<T & KeyActor> {
  const actor: fc.Arbitrary<KeyActor> = fc.oneof(
    fc.record({ operator: text }),
    fc.record({ request: text, principal }),
  )
  return fc.tuple(fc.record(fields), actor).map(([rest, who]) => ({ ...(rest as T), ...who }))
}

/** Every kind of entry, with fields that may be absent present or not. */
const entry: fc.Arbitrary<Entry | SegmentEntry> = fc.oneof(
  fc.record(
    {
      kind: fc.constant('access' as const),
      request: text,
      principal,
      action,
      authorized: fc.boolean(),
      secret: text,
      secretVersion: number,
      result: fc.constantFrom('ok' as const, 'denied' as const),
      reason: text,
    },
    { requiredKeys: ['kind', 'request', 'principal', 'action', 'authorized', 'result'] },
  ),
  fc.record(
    {
      kind: fc.constant('change' as const),
      request: text,
      principal,
      action,
      authorized: fc.constant(true as const),
      secret: text,
      secretVersion: number,
      verb: text,
    },
    { requiredKeys: ['kind', 'request', 'principal', 'action', 'authorized', 'secret', 'verb'] },
  ),
  fc.record({
    kind: fc.constant('backend' as const),
    request: text,
    principal,
    action,
    verb: fc.constantFrom('create' as const, 'edit' as const, 'delete' as const),
    backend: text,
  }),
  fc.record({ kind: fc.constant('abandoned' as const), of: number, reason: text }),
  fc.record({ kind: fc.constant('unidentified' as const), request: text, ip: text, reason: text }),
  fc.record(
    {
      kind: fc.constant('refusals' as const),
      principal,
      ip: text,
      count: number,
      first: text,
      last: text,
    },
    { requiredKeys: ['kind', 'ip', 'count', 'first', 'last'] },
  ),
  withActor({
    kind: fc.constant('key' as const),
    verb: fc.constantFrom('add' as const, 'remove' as const, 'rewrap' as const),
    provider: text,
    fingerprint: text,
  }),
  withActor({
    kind: fc.constant('keyring' as const),
    verb: fc.constantFrom('add' as const, 'erase' as const),
    entry: number,
    fingerprint: text,
  }),
  withActor({
    kind: fc.constant('keyring' as const),
    verb: fc.constant('move' as const),
    entry: number,
    fingerprint: text,
    versions: number,
  }),
  withActor({
    kind: fc.constant('root-key' as const),
    verb: fc.constantFrom('rotate' as const, 'settle' as const),
    number,
    fingerprint: text,
  }),
  fc.record({ kind: fc.constant('stop' as const), version: text }),
  fc.record(
    { kind: fc.constant('start' as const), version: text, provider: text, fingerprint: text },
    { requiredKeys: ['kind', 'version'] },
  ),
  fc.record({
    kind: fc.constant('segment' as const),
    format: fc.constant(1 as const),
    log: text,
    after: number,
    before: number,
    torn: number,
    open: fc.array(number, { maxLength: 3 }),
    lost: number,
  }),
)

const noSalt = (): undefined => undefined

function lineOf(item: Entry | SegmentEntry): string {
  return encodeLine(encodeEntry(item, noSalt), stamp)
}

test('every entry comes back from its line as it was, in one line', () => {
  fc.assert(
    fc.property(entry, (item) => {
      const line = lineOf(item)
      const { id, time, revision, prev, ...back } = decodeLine(Buffer.from(line)) ?? {}
      expect({ id, time, revision, prev }).toEqual(stamp)
      expect(back).toEqual(item)
      expect(line).not.toContain('\n')
      expect(line).toBe(JSON.stringify(JSON.parse(line)))
      expect(line.length).toBeGreaterThanOrEqual(MIN_LINE_BYTES)
    }),
  )
})

test('a line has the fields of its kind and no others, whatever the object holds', () => {
  const planted = { Value: 'canary', value: 'canary', toJSON: () => 'canary' }
  for (const item of [access(1), change(1)]) {
    const more = { ...item, ...planted, principal: { ...item.principal, ...planted } }
    expect(lineOf(more)).toBe(lineOf(item))
  }
})

test('the shortest record of each kind has the fields in their order', () => {
  expect(lineOf({ kind: 'stop', version: '1' })).toBe(
    `{"id":7,"time":"2026-02-03T04:05:06.789Z","kind":"stop","version":"1","revision":3,"prev":"${'ab'.repeat(32)}"}`,
  )
  expect(encodeEntry(access('a'), () => 'never asked')).toBe(
    '"kind":"access","request":"request-a","principal":{"hostname":"app-1","ip":"100.64.0.7","tags":["tag:app"]},"action":"get","authorized":true,"secret":"prod/a","secretVersion":3,"result":"ok"',
  )
})

test('C2: a record has what nobody can guess: the id of a request, or salt', () => {
  expect(encodeEntry({ kind: 'stop', version: '1' }, () => '0123456789abcdef')).toBe(
    '"kind":"stop","version":"1","salt":"0123456789abcdef"',
  )
  const ids = new Set(Array.from({ length: 2000 }, nextRequestId))
  expect(ids.size).toBe(2000)
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{24}$/)
  const salts = new Set(Array.from({ length: 2000 }, nextSalt))
  expect(salts.size).toBe(2000)
  for (const salt of salts) expect(salt).toMatch(/^[0-9a-f]{16}$/)
})

test('the hash is the SHA-256 of the bytes of a line', () => {
  const digest = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
  expect(hashLine('abc')).toBe(digest)
  expect(hashLine(Buffer.from('abc'))).toBe(digest)
  expect(beginning).toEqual({ id: 0, hash: '0'.repeat(64) })
})

const good = lineOf(access(1))

test.each([
  ['nothing', ''],
  ['no JSON', good.slice(1)],
  ['a list', '[]'],
  ['null', 'null'],
  ['two values', `${good}{}`],
  ['no id', good.replace('"id":7,', '')],
  ['id 0', good.replace('"id":7', '"id":0')],
  ['an id that is no whole number', good.replace('"id":7', '"id":7.5')],
  ['an id in quotes', good.replace('"id":7', '"id":"7"')],
  ['an id too large to be told from the next', good.replace('"id":7', '"id":9007199254740993')],
  ['no time', good.replace(/"time":"[^"]+",/, '')],
  ['no kind', good.replace('"kind":"access",', '')],
  ['no revision', good.replace('"revision":3,', '')],
  ['a link in capitals', good.replace('ab'.repeat(32), 'AB'.repeat(32))],
  ['a link too short', good.replace('ab'.repeat(32), 'ab')],
  ['no principal', good.replace(/"principal":\{[^}]+\},/, '')],
  ['a principal that is null', good.replace(/"principal":\{[^}]+\}/, '"principal":null')],
  ['tags that are no texts', good.replace('["tag:app"]', '[1]')],
  ['a version in quotes', good.replace('"secretVersion":3', '"secretVersion":"3"')],
  ['no result', good.replace(',"result":"ok"', '')],
])('a line with %s is no record', (_, line) => {
  expect(decodeLine(Buffer.from(line))).toBeUndefined()
})

test('a kind that is not known, and a field that is not, are no fault of a record', () => {
  const later = decodeLine(
    Buffer.from(good.replace('"access"', '"later"').replace('"result":"ok",', '')),
  )
  expect(later).toMatchObject({ id: 7, kind: 'later' })
  expect(later && isKnown(later)).toBe(false)
  const more = decodeLine(Buffer.from(good.replace('"result"', '"new":{},"result"')))
  expect(more && isKnown(more)).toBe(true)
})
