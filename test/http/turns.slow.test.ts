/**
 * No turn of the event loop takes long, whatever a caller sends: each load runs against a real server whose
 * thread is watched.
 */
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TailnetFile } from '../../server/identity/development.ts'
import { makeFilled } from '../bench/filled.ts'
import { everything } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { MAX_TURN_MS, type Watched, watched } from '../support/watchdog.ts'

const SECRETS = 100_000
const MAX_BODY = 2 * 1024 * 1024

const patterns = Array.from({ length: 99 }, (_, at) => `team-${at}/*/key`)
const tailnet: TailnetFile = {
  nodes: {
    '127.0.0.1': { name: 'root', user: 'root@example.com', rules: [everything] },
    '127.0.0.2': {
      name: 'mover',
      user: 'mover@example.com',
      // Who has no `info` is told of none of those that it may not get.
      rules: [{ action: ['migrate', 'info'], secret: ['*'] }],
    },
    '127.0.0.3': {
      name: 'lister',
      user: 'lister@example.com',
      rules: [{ action: ['info', 'get', 'put'], secret: [...patterns, 'fill/*'] }],
    },
    '127.0.0.5': { name: 'stranger', user: 'stranger@example.com' },
  },
}

let scratch: ReturnType<typeof temporaryDirectory>
let dog: Watched

beforeAll(async () => {
  scratch = temporaryDirectory()
  const state = join(scratch.path, 'state')
  const file = join(scratch.path, 'tailnet.json')
  writeFileSync(file, JSON.stringify(tailnet))
  await makeFilled(state, SECRETS, 16)
  const origin = ['--backend-origin', 'https://127.0.0.1:1']
  dog = await watched({ args: ['--state-dir', state, '--tailnet', file, ...origin] })
  // The server loads and compiles what it uses: that is its start.
  await post('get', '{"Name":"fill/1"}')
  await post('put', bodyOfFields(1), '127.0.0.5')
  await ask('GET', '/metrics')
  await ask('GET', '/readyz')
}, 120_000)

afterAll(async () => {
  await dog?.[Symbol.asyncDispose]()
  scratch?.[Symbol.dispose]()
})

const agents = new Map<string, Agent>()

interface Got {
  readonly status: number
  readonly text: string
}

function ask(method: string, path: string, body = '', from = '127.0.0.1'): Promise<Got> {
  let agent = agents.get(from)
  if (!agent) agents.set(from, (agent = new Agent({ keepAlive: true, localAddress: from })))
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        agent,
        host: '127.0.0.1',
        port: dog.server.port,
        method,
        path,
        headers: {
          'Content-Type': 'application/json',
          'Sec-X-Tailscale-No-Browsers': 'setec',
          'Content-Length': Buffer.byteLength(body),
        },
      },
      (incoming) => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('end', () =>
          resolve({ status: incoming.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
        )
        incoming.on('error', reject)
      },
    )
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

function post(method: string, body: unknown, from?: string): Promise<Got> {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return ask('POST', `/api/${method}`, text, from)
}

/** A body of nothing but fields, `bytes` long at most. */
function bodyOfFields(bytes: number, field: (at: number) => string = () => '"aaaa":1'): string {
  const fields: string[] = []
  for (let length = 2; length < bytes - 32; length += (fields.at(-1) as string).length + 1) {
    fields.push(field(fields.length))
  }
  return `{${fields.join(',')}}`
}

async function expectShort(
  task: () => Promise<unknown>,
  limitMs: number = MAX_TURN_MS,
): Promise<void> {
  const turns = await dog.during(task)
  expect(turns.count).toBeGreaterThan(0)
  expect(turns.longest[0] ?? 0).toBeLessThanOrEqual(limitMs)
}

async function repeat(times: number, task: (at: number) => Promise<unknown>): Promise<void> {
  for (let at = 0; at < times; at++) await task(at)
}

// The clock of processor time is coarse: what is long is long again.
const again = { retry: 8 }

describe('B8: a caller cannot hold the others up by what it sends', again, () => {
  const names = bodyOfFields(MAX_BODY)
  const known = bodyOfFields(MAX_BODY, () => '"NAME":"a"')
  const distinct = bodyOfFields(MAX_BODY, (at) => `"a${at}":1`)
  const deep = `{"a":${'['.repeat(9000)}${']'.repeat(9000)},"Name":"fill/1"}`
  const wide = `{"a":[${'1,'.repeat(900_000)}1],"Name":"fill/1"}`
  const object = `{"a":${bodyOfFields(MAX_BODY - 100, (at) => `"a${at}":1`)},"Name":"fill/1"}`
  const escapes = `{"a":"${'\\n'.repeat(1_000_000)}","Name":"fill/1"}`
  const spaces = `{${' '.repeat(MAX_BODY - 100)}"Name":"fill/1"}`

  test.each([
    ['put', names, 403],
    ['whoami', names, 200],
    ['list', names, 200],
    ['audit-query', names, 403],
    ['job-status', names, 400],
    ['job-run', distinct, 400],
  ])('a caller without rights: %s', async (method, body, status) => {
    await expectShort(async () => {
      const flood = Array.from({ length: 8 }, () =>
        repeat(3, async () => expect((await post(method, body, '127.0.0.5')).status).toBe(status)),
      )
      await Promise.all(flood)
    })
  })

  test.each([
    ['names of fields', names, 404],
    ['a known field again and again', known, 404],
    ['distinct fields', distinct, 404],
    ['depth', deep, 200],
    ['a wide array', wide, 200],
    ['a wide object', object, 200],
    ['escapes', escapes, 200],
    ['spaces', spaces, 200],
  ])('a caller with rights: %s', async (_, body, status) => {
    await expectShort(() =>
      Promise.all(
        Array.from({ length: 4 }, () =>
          repeat(3, async () => expect((await post('get', body)).status).toBe(status)),
        ),
      ),
    )
  })

  test.each([
    ['a wide array', `{"Limit":[${'1,'.repeat(900_000)}1]}`],
    ['a wide object', `{"Limit":${distinct.slice(0, MAX_BODY - 100)}}`],
    ['distinct fields', distinct],
    ['a long string', `{"Secret":"${'a'.repeat(MAX_BODY - 100)}"}`],
  ])('an operator: %s', async (_, body) => {
    await expectShort(() =>
      repeat(6, async () => expect((await post('audit-query', body)).status).toBe(400)),
    )
  })
})

describe('B8: the biggest values', again, () => {
  const value = Buffer.alloc(1_500_000, 'v')
  const text = value.toString('base64')
  const spelled = text
    .slice(0, 300_000)
    .replace(/./g, (unit) => `\\u00${unit.charCodeAt(0).toString(16)}`)

  test.each([
    ['base64', `"${text}"`],
    ['bytes', `[${value.subarray(0, 500_000).join(',')}]`],
    ['escapes', `"${spelled}"`],
    ['line breaks', `"${'\\n'.repeat(1_000_000)}YQ=="`],
  ])('put and get: %s', async (name, body) => {
    await expectShort(() =>
      repeat(6, async (at) => {
        const put = await post('put', `{"Name":"big/${name}-${at}","Value":${body}}`)
        expect(put.status).toBe(200)
        expect((await post('get', { Name: `big/${name}-${at}` })).status).toBe(200)
      }),
    )
  })
})

describe('B8: the biggest value for who expects a version', again, () => {
  test('secret-put', async () => {
    const Value = Buffer.alloc(1_500_000, 'v').toString('base64')
    await expectShort(() =>
      repeat(6, async (at) => {
        const put = await post('secret-put', { Name: `expected/${at}`, Value, Expect: 0 })
        expect(put.status).toBe(200)
      }),
    )
  })
})

describe('B9: what is asked of every secret is done in parts', again, () => {
  test('a list of 100,000 secrets, under a hundred patterns', async () => {
    // Node does not report all of the collection of 100,000 rows as such.
    await expectShort(
      () =>
        repeat(3, async () => {
          const { text } = await post('list', {}, '127.0.0.3')
          expect(JSON.parse(text)).toHaveLength(SECRETS)
        }),
      4 * MAX_TURN_MS,
    )
  })

  test('a long list of 100,000 secrets, under a hundred patterns', async () => {
    await expectShort(
      () =>
        repeat(3, async () => {
          const { text } = await post('secret-list', {}, '127.0.0.3')
          const { Secrets } = JSON.parse(text) as { Secrets: { ChangedAt: string }[] }
          expect(Secrets.filter(({ ChangedAt }) => ChangedAt !== '')).toHaveLength(SECRETS)
        }),
      4 * MAX_TURN_MS,
    )
  })

  test('a plan of 100,000 secrets, under as many patterns as it takes', async () => {
    await post('put', { Name: 'backends/token', Value: 'dG9rZW4=' })
    const Config = { url: 'https://127.0.0.1:1', tokenSecretRef: { name: 'backends/token' } }
    const created = await post('backend-apply', { Name: 'vault', Type: 'openbao', Config })
    expect(created).toMatchObject({ status: 200 })
    const starred = Array.from({ length: 100 }, (_, at) => `${'*l'.repeat(200)}${at}*`)
    const Names = [...starred, ...Array.from({ length: 900 }, (_, at) => `fill/${at}`)]
    await expectShort(() =>
      repeat(2, async () => {
        const body = { From: 'default', To: 'vault', Names }
        const { status, text } = await post('migrate-plan', body, '127.0.0.2')
        expect([status, text]).toEqual([404, 'not found\n'])
      }),
    )
  })

  test('a plan of 100,000 secrets for who may move all of them', async () => {
    await expectShort(() =>
      repeat(2, async () => {
        const body = { From: 'default', To: 'vault', Names: [] }
        const { status, text } = await post('migrate-plan', body)
        const { Secrets } = JSON.parse(text) as { Secrets: unknown[] }
        expect([status, Secrets.length >= SECRETS]).toEqual([200, true])
      }),
    )
  })

  test('more patterns with a star are refused', async () => {
    const Names = Array.from({ length: 101 }, (_, at) => `a${at}*`)
    const { status, text } = await post('migrate-plan', { From: 'default', To: 'other', Names })
    expect([status, text]).toEqual([400, 'bad request\n'])
  })
})

describe('pages', again, () => {
  test.each(['/metrics', '/api/openapi.json', '/readyz'])('%s', async (path) => {
    await expectShort(() =>
      Promise.all(Array.from({ length: 8 }, () => repeat(5, () => ask('GET', path)))),
    )
  })

  test('a page of the audit log', async () => {
    await Promise.all(
      Array.from({ length: 1300 }, (_, at) => post('get', { Name: `fill/${at + 1}` })),
    )
    await expectShort(() =>
      repeat(5, async () => {
        const { text } = await post('audit-query', { Newest: true })
        expect((JSON.parse(text) as { Records: unknown[] }).Records.length).toBeGreaterThan(500)
      }),
    )
  })
})
