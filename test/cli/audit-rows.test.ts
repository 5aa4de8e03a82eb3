/** Audit records in columns, as a person sees them on a terminal. */
import { expect, test } from 'vitest'
import { AuditRows } from '../../cli/handlers/audit-rows.ts'
import { Invocation } from '../../cli/invocation.ts'
import type { Judged } from '../../audit/outcomes.ts'

const record = (id: number, hostname: string, secret: string): Judged => ({
  id,
  time: '2026-01-01T02:00:00.123Z',
  revision: 0,
  prev: '',
  kind: 'access',
  request: 'one',
  principal: { hostname, ip: '100.64.0.1', user: 'alice@example.com' },
  action: 'get',
  authorized: true,
  secret,
  secretVersion: 1,
  result: 'ok',
})

/** What is printed of the records, as lines. */
async function lines(
  records: readonly Judged[],
  flags: readonly string[],
  isTTY = true,
  output = 'text',
) {
  const printed: string[] = []
  const written = {
    isTTY,
    write: async (text: string | Uint8Array) => void printed.push(String(text)),
  }
  const io = {
    stdin: { isTTY: false, chunks: async function* chunks() {} },
    stdout: written,
    stderr: written,
    now: Date.now,
    onInterrupt: () => ({ [Symbol.dispose]: () => {} }),
  }
  const parsed = {
    words: [],
    values: new Map([['output', output]]),
    lists: new Map(),
    switches: new Map(flags.map((flag) => [flag, true])),
  }
  const rows = new AuditRows(new Invocation(parsed, io, {}))
  for (const each of records) await rows.add(each)
  await rows.flush()
  return printed.join('').split('\n').slice(0, -1)
}

test('V8: on a terminal a row fits 80 columns: times to the second, the first label of a node', async () => {
  const rows = await lines([record(7, 'laptop.tail-test.ts.net', 'prod/key')], [])
  expect(rows).toEqual([
    'ID  TIME                  WHO                       WHAT  SECRET    VERSION  RESULT  NOTE',
    '7   2026-01-01T02:00:00Z  alice@example.com laptop  get   prod/key  1        ok',
  ])
  expect(rows[1]?.length).toBeLessThanOrEqual(80)
})

test('V8: --wide and anything but a terminal have them whole', async () => {
  const found = [record(7, 'laptop.tail-test.ts.net', 'prod/key')]
  const whole = '2026-01-01T02:00:00.123Z  alice@example.com laptop.tail-test.ts.net'
  expect((await lines(found, ['wide']))[1]).toContain(whole)
  expect((await lines(found, [], false))[1]).toContain(whole)
})

test('V8: every row is aligned, whatever the widest of them has', async () => {
  const rows = await lines([record(7, 'a', 'b'), record(1_000_000_007, 'laptop', 'prod/long')], [])
  const at = rows[0]?.indexOf('WHAT') ?? -1
  expect(at).toBeGreaterThan(0)
  expect(rows.map((row) => row.slice(at, at + 4))).toEqual(['WHAT', 'get ', 'get '])
})

test('a sign that takes two units of a text is one character wide', async () => {
  const [head = '', ...rows] = await lines([record(7, 'a', '🔑'), record(8, 'a', 'key')], [])
  const at = head.indexOf('VERSION')
  expect(rows.map((row) => Array.from(row)[at])).toEqual(['1', '1'])
})

test('as JSON a record has the fields that it has in the log, whatever their spelling', async () => {
  const found = { ...record(7, 'laptop', 'Prod/Key'), Later: { Name: 1 } }
  expect((await lines([found], [], false, 'json')).map((line) => JSON.parse(line))).toEqual([found])
})
