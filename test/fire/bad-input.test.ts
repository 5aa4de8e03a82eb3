/**
 * Bad input and bad manners, on a real server with the limits that it has: each kind by its name, and
 * then all at once beside a caller who only wants its secret.
 */
import { readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TailnetFile } from '../../server/identity/development.ts'
import { openFileLimit } from '../../server/http/load.ts'
import { askOnce, goodHead, RawConnection, type RequestParts, requestText } from '../http/raw.ts'
import { everything, fourCallers, recordsIn } from '../support/service.ts'
import { type Running, startSotto, temporaryDirectory } from '../support/sotto.ts'
import { residentBytes } from './support-generated/memory.ts'

const MIB = 1024 * 1024
const value = Buffer.from('VALUE-that-nobody-may-see').toString('base64')

const scratch = temporaryDirectory()
const state = join(scratch.path, 'state')
let server: Running

/** Addresses that hold connections, and how many each of them holds. */
const holders = Array.from({ length: 20 }, (_, at) => `127.0.10.${at + 1}`)
const EACH = 500

beforeAll(async () => {
  const others = Object.fromEntries(
    holders.map((ip) => [ip, { name: 'holder', user: 'holder@example.com', rules: [everything] }]),
  )
  const file: TailnetFile = { nodes: { ...fourCallers.nodes, ...others } }
  writeFileSync(join(scratch.path, 'tailnet.json'), JSON.stringify(file))
  server = await startSotto({
    args: ['--state-dir', state, '--tailnet', join(scratch.path, 'tailnet.json')],
  })
  await askOnce(server.url, put('prod/a'))
})

afterAll(async () => {
  await server.kill()
  scratch[Symbol.dispose]()
})

function put(name: string, more: object = {}): RequestParts {
  return { target: '/api/put', body: JSON.stringify({ Name: name, Value: value, ...more }) }
}

async function list(): Promise<string> {
  return (await askOnce(server.url, { target: '/api/list', body: '{}' })).body
}

const deep = (open: string, close: string): string =>
  `{"Name":"x","Value":"${value}","x":${open.repeat(10_001)}1${close.repeat(10_001)}}`
const withField = (field: string): RequestParts => ({
  target: '/api/put',
  body: `{"Name":"x","Value":"${value}",${field}}`,
})
const version = (text: string): RequestParts => ({
  target: '/api/create-version',
  body: `{"Name":"x","Value":"${value}","Version":${text}}`,
})

/** Every kind of bad input: requests, and the status and text of the wire. */
const kinds: Readonly<Record<string, readonly [number, string, readonly RequestParts[]]>> = {
  'a wrong method': [
    400,
    'only POST requests allowed',
    ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS'].map((method) => ({ ...put('x'), method })),
  ],
  'a wrong content type': [
    400,
    'request body must be json',
    ['text/plain', 'application/json; charset=latin1', ''].map((type) => ({
      ...put('x'),
      head: [...goodHead.filter((line) => !line.includes('json')), `Content-Type: ${type}`],
    })),
  ],
  'a wrong header': [
    403,
    'access denied',
    ['', 'true', 'Setec'].map((word) => ({
      ...put('x'),
      head: [...goodHead.slice(0, 2), `Sec-X-Tailscale-No-Browsers: ${word}`],
    })),
  ],
  'a head that is too large': [
    431,
    'request header fields too large',
    [{ ...put('x'), more: [`X: ${'y'.repeat(17_000)}`] }],
  ],
  'JSON that is too deep': [
    400,
    'bad request',
    [deep('[', ']'), deep('{"y":', '}')].map((body) => ({ target: '/api/put', body })),
  ],
  'JSON that is too large': [413, 'request body too large', [put('x', { x: ' '.repeat(2 * MIB) })]],
  'a wrong type': [
    400,
    'bad request',
    ['"Name":1', '"Name":[]', '"Name":{}', '"Name":true', '"Value":1', '"Value":{}'].map(withField),
  ],
  'a number out of range': [
    400,
    'bad request',
    ['-1', '4294967296', '1.5', '1e3', '1e999', '"1"'].map(version),
  ],
  'the version 0': [
    400,
    'invalid version, please specify a version > 0',
    ['0', 'null'].map(version),
  ],
  'bad base64': [
    400,
    'bad request',
    [`${value}!`, value.slice(1), `-_${value}`, ` ${value}`].map((bad) => put('x', { Value: bad })),
  ],
  'an empty name': [400, 'invalid secret name', [put(''), withField('"Name":""')]],
  'an over-long name': [
    400,
    'invalid secret name',
    [put('x'.repeat(513)), put('é'.repeat(257)), put('x'.repeat(4096))],
  ],
  'a control character in a name': [
    400,
    'invalid secret name',
    ['\0', '\n', '\u001b[2J', '\u007f', '\u0085'].map((character) => put(`x${character}`)),
  ],
  'an unknown method': [
    404,
    'no such method',
    ['/api/none', '/api/PUT', '/api/put/', '/', '/admin'].map((target) => ({
      ...put('x'),
      target,
    })),
  ],
}

describe.each(Object.entries(kinds))('%s', (_, [status, text, requests]) => {
  test(`is ${status}, in a short text, changes nothing and tells no value`, async () => {
    const before = await list()
    for (const parts of requests) {
      const answer = await askOnce(server.url, parts)
      const shown = JSON.stringify(parts).slice(0, 200)
      const body = parts.method === 'HEAD' ? '' : `${text}\n`
      expect([answer.status, answer.body], shown).toEqual([status, body])
      const told = [...answer.headers.values(), answer.body].join('\n')
      expect(told).not.toContain(value.slice(4, 24))
      expect(told).not.toContain('VALUE-')
      expect(told).not.toMatch(/\bat .+:\d+|node:|\.ts\b/)
    }
    expect(await list()).toBe(before)
  })
})

test('a half-sent body is 400 when the caller hangs up, and changes nothing', async () => {
  const before = await list()
  const whole = requestText(put('x'))
  for (const length of [whole.length - 1, whole.length - 20, whole.indexOf('{')]) {
    using connection = await RawConnection.open(server.url)
    connection.send(whole.slice(0, length))
    connection.socket.end()
    expect((await connection.answers()).map(({ status }) => status)).toEqual([400])
  }
  expect(await list()).toBe(before)
})

/** What came of a connection: the statuses of its answers, and after how many milliseconds it ended. */
type Outcome = readonly [statuses: readonly number[], took: number]

/** Sends `text`, and then a byte at a time, until the server has enough. */
async function drip(from: string, text: string, byte: string): Promise<Outcome> {
  const began = performance.now()
  const connection = await RawConnection.open(server.url, from)
  connection.send(text)
  const drops = byte === '' ? undefined : setInterval(() => connection.send(byte), 250)
  const answers = await connection.answers()
  clearInterval(drops)
  return [answers.map(({ status }) => status), performance.now() - began]
}

const needed = holders.length * EACH + 1000
const short = openFileLimit() < needed && process.env['CI'] !== 'true'

describe.skipIf(short)(`10,000 idle connections (needs ulimit -n ${needed})`, () => {
  const idle: RawConnection[] = []
  /** How long each request of the caller took who only wants its secret, in milliseconds. */
  const times: number[] = []
  let before = 0
  let slow: Promise<Record<'head' | 'body' | 'stalled', readonly Outcome[]>>
  let caller: Promise<void>
  const over = new AbortController()

  beforeAll(async () => {
    if (openFileLimit() < needed) throw new Error(`10,000 connections need ulimit -n ${needed}`)
    before = residentBytes(server.process.pid as number)
    for (const from of holders) {
      for (let left = EACH; left > 0; left -= 100) {
        idle.push(...(await Promise.all(Array.from({ length: 100 }, () => openIdle(from)))))
      }
    }
    caller = ask()
    const many = (from: string, text: string, byte: string) =>
      Promise.all(Array.from({ length: 100 }, () => drip(from, text, byte)))
    const long = requestText({ more: ['Content-Length: 100000'], body: undefined })
    const parts = Promise.all([
      many('127.0.20.1', 'POST /api/get HTTP/1.1\r\nX: ', 'y'),
      many('127.0.20.2', long, ' '),
      many('127.0.20.3', `${long}{"Name":`, ''),
    ])
    slow = parts.then(([head, body, stalled]) => ({ head, body, stalled }))
  })

  afterAll(() => {
    for (const connection of idle) connection[Symbol.dispose]()
  })

  /** A connection that was used once, as those of clients are that poll. */
  async function openIdle(from: string): Promise<RawConnection> {
    const connection = await RawConnection.open(server.url, from)
    expect((await connection.ask()).status).toBe(200)
    return connection
  }

  async function ask(): Promise<void> {
    using connection = await RawConnection.open(server.url)
    while (!over.signal.aborted) {
      const began = performance.now()
      expect((await connection.ask()).body).toContain(value)
      times.push(performance.now() - began)
      await sleep(20)
    }
  }

  test('are kept, and cost a bounded amount of memory', () => {
    const cost = (residentBytes(server.process.pid as number) - before) / idle.length
    console.log(`${(cost / 1024).toFixed(1)} KiB of resident memory for a connection`)
    expect(cost).toBeLessThan(64 * 1024)
    expect(idle.filter(({ socket }) => socket.destroyed)).toEqual([])
  })

  test('and slow clients beside them: a head that drips is 408 after 10 s, a body after 30 s', async () => {
    const { head, body, stalled } = await slow
    for (const [outcomes, limit] of [
      [head, 10_000],
      [body, 30_000],
      [stalled, 30_000],
    ] as const) {
      expect(outcomes.map(([statuses]) => statuses)).toEqual(outcomes.map(() => [408]))
      const took = outcomes.map(([, each]) => each)
      expect(Math.min(...took)).toBeGreaterThan(limit - 100)
      expect(Math.max(...took)).toBeLessThan(limit + 5000)
    }
  })

  test('and who only wants a secret has it soon, all the while', async () => {
    over.abort()
    await caller
    const sorted = times.toSorted((a, b) => a - b)
    const [median = 0, last = 0] = [sorted[sorted.length >> 1], sorted.at(-1)]
    console.log(
      `${times.length} gets, median ${median.toFixed(1)} ms, at most ${last.toFixed(0)} ms`,
    )
    expect(times.length).toBeGreaterThan(200)
    expect(median).toBeLessThan(250)
    expect(last).toBeLessThan(5000)
  })

  test('all asking at once: some are served, others told 503 and when to come back, at once', async () => {
    const began = performance.now()
    const answers = await Promise.all(
      idle.map(async (connection) => {
        const { status, headers, body } = await connection.ask()
        return { status, retry: headers.get('retry-after'), body, took: performance.now() - began }
      }),
    )
    const refused = answers.filter(({ status }) => status === 503)
    const served = answers.filter(({ status }) => status === 200)
    expect(served.filter(({ body }) => !body.includes(value))).toEqual([])
    expect(new Set(refused.map(({ retry, body }) => `${retry} ${body}`))).toEqual(
      new Set(['1 too many requests, try again later\n']),
    )
    expect(served.length).toBeGreaterThan(0)
    expect(served.length + refused.length).toBe(answers.length)
    expect(Math.max(...answers.map(({ took }) => took))).toBeLessThan(30_000)
    console.log(`${served.length} served, ${refused.length} refused`)
    const grown = residentBytes(server.process.pid as number) - before
    expect(grown / MIB).toBeLessThan(1024)
    expect((await askOnce(server.url)).status).toBe(200)
  })
})

test('callers that are refused again and again do not fill the disk, and others do not wait for them', async () => {
  const audit = join(state, 'audit')
  const size = (): number =>
    readdirSync(audit).reduce((sum, name) => sum + statSync(join(audit, name)).size, 0)
  const [records, bytes] = [recordsIn(audit).length, size()]
  const began = performance.now()
  let refusals = 0
  // Each request is about another name, so that none is a repetition.
  const refusers: readonly [string, string, number][] = [
    ['127.0.0.4', 'get', 403],
    ['127.0.0.4', 'put', 403],
    ['127.0.0.3', 'get', 403],
    ['127.0.0.2', 'get', 404],
    ['127.0.99.1', 'get', 500],
  ]
  const hammer = refusers.map(async ([from, method, status]) => {
    using connection = await RawConnection.open(server.url, from)
    const ask = (count: number): string =>
      requestText({ target: `/api/${method}`, body: `{"Name":"prod/${method}-${count}"}` })
    for (let count = 0; count < 3000; count += 10) {
      connection.send(Array.from({ length: 10 }, (_, at) => ask(count + at)).join(''))
      for (let left = 10; left > 0; left--) {
        expect((await connection.answer())?.status).toBe(status)
        refusals++
      }
    }
  })
  const times: number[] = []
  const others = (async () => {
    using connection = await RawConnection.open(server.url)
    for (let count = 0; count < 50; count++) {
      const asked = performance.now()
      expect((await connection.ask({ target: '/api/list', body: '{}' })).status).toBe(200)
      times.push(performance.now() - asked)
    }
  })()
  await Promise.all([...hammer, others])
  const minutes = Math.ceil((performance.now() - began) / 60_000) + 1
  const more = recordsIn(audit).length - records - times.length
  console.log(`${refusals} refusals, ${more} records, ${size() - bytes} bytes`)
  expect(refusals).toBe(15_000)
  expect(more).toBeGreaterThan(60)
  // Sixty records a minute for each caller, and one that counts the rest.
  expect(more).toBeLessThanOrEqual(4 * 62 * minutes)
  expect((size() - bytes) / MIB).toBeLessThan(4)
  expect(Math.max(...times)).toBeLessThan(3000)
})

test('all of it left the server well, and its operator with a few lines', async () => {
  expect(
    (await askOnce(server.url, { method: 'GET', target: '/readyz', body: undefined })).status,
  ).toBe(200)
  expect(JSON.parse(await list())).toEqual([{ Name: 'prod/a', Versions: [1], ActiveVersion: 1 }])
  const { stderr } = server.output()
  expect(stderr).not.toContain(value.slice(4, 24))
  expect(stderr).not.toMatch(/\n\s+at /)
  expect(stderr.split('\n').length).toBeLessThan(100)
})
