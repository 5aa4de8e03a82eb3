/** The edges of a connection to OpenBao: addresses, and answers that no OpenBao here can be made to give. */
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { inspect } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { OpenBaoConnection, type OpenBaoRequest } from '../../server/openbao/connection.ts'
import type { Failure } from '../../server/openbao/failures.ts'

const TOKEN = 's.atokenofthetests'

let reply: (answer: ServerResponse) => void
let seen: { path: string | undefined; headers: IncomingHttpHeaders }[]
let url: string
let connection: OpenBaoConnection
const server = createServer(({ url: path, headers }, answer) => {
  seen.push({ path, headers })
  reply(answer)
})

beforeEach(async () => {
  seen = []
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const options = { waitMs: 15_000, maxAnswerBytes: 1000, random: () => 0 }
  connection = new OpenBaoConnection({ url, namespace: 'team/a' }, options)
})

afterEach(async () => {
  await connection.close()
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
})

async function failure(request: Partial<OpenBaoRequest> = {}): Promise<Failure> {
  const answer = await connection.call({
    method: 'GET',
    path: 'kv/data/a',
    token: TOKEN,
    ...request,
  })
  if (answer.ok) throw new Error(`it was answered with ${answer.status}`)
  expect(inspect(answer, { depth: Infinity })).not.toContain(TOKEN)
  return answer.failure
}

const json = (status: number, body: unknown, headers = {}) => {
  reply = (answer) => {
    answer.writeHead(status, { 'content-type': 'application/json', ...headers })
    answer.end(JSON.stringify(body))
  }
}

test.for<[string, string, RegExp]>([
  ['bao', 'usage', /Cannot use "bao" as the address of OpenBao$/],
  ['ftp://bao', 'usage', /as the address of OpenBao$/],
  ['https://bao:8200/v1', 'usage', /"https:\/\/bao:8200" as the .* something follows/],
  ['https://user:secret@bao', 'usage', /Cannot use "https:\/\/bao" as the address/],
  ['https://bao?x', 'usage', /something follows/],
  ['http://bao:8200', 'unsafe', /"http:\/\/bao:8200": tokens and keys would cross the network/],
])('refuses the address %s', ([address, code, message]) => {
  expect(() => new OpenBaoConnection({ url: address })).toThrow(
    expect.objectContaining({ code, message: expect.stringMatching(message) }),
  )
})

test('takes an address in the clear of this machine, and of another where that is asked for', () => {
  for (const address of ['http://localhost:8200', 'http://127.0.0.1', 'http://[::1]:8200']) {
    expect(new OpenBaoConnection({ url: address }).origin).toBe(address)
  }
  const insecure = { url: 'http://bao.svc.cluster.local:8200', insecure: true }
  expect(new OpenBaoConnection(insecure).origin).toBe(insecure.url)
})

test.for(['', 'a//b', '/a', 'a/', '../a', 'a/../b', 'a/.', 'a b', 'a%2Fb', 'a?b', 'a#b', 'a\n'])(
  'sends no path that would be repaired: %j',
  async (path) => {
    await expect(connection.call({ method: 'GET', path })).rejects.toThrow(/clean/)
    expect(seen).toEqual([])
  },
)

/** What every answer of OpenBao has around it. */
const envelope = { request_id: '00000000-0000-0000-0000-000000000000' }

test('takes dots and what else needs no escape as they stand', async () => {
  json(200, envelope)
  const path = 'kv/data/a..b/.c/=2E=2E/~d'
  expect(await connection.call({ method: 'GET', path, query: { list: 'true' } })).toEqual({
    ok: true,
    status: 200,
    body: envelope,
  })
  expect(seen[0]?.path).toBe(`/v1/${path}?list=true`)
})

test('sends the token as a bearer alone, with the namespace', async () => {
  json(200, envelope)
  await connection.call({ method: 'POST', path: 'kv/data/a', token: TOKEN, body: { a: 1 } })
  expect(seen[0]?.headers).toMatchObject({
    authorization: `Bearer ${TOKEN}`,
    'x-vault-namespace': 'team/a',
    'content-type': 'application/json',
  })
  expect(seen[0]?.headers).not.toHaveProperty('x-vault-token')
})

test('follows no redirect, and says only to which origin it leads', async () => {
  for (const status of [301, 307]) {
    json(status, {}, { location: `https://user:pass@elsewhere:8200/v1/kv?x=${TOKEN}` })
    expect(await failure()).toMatchObject({
      kind: 'redirected',
      found: 'it sends to "https://elsewhere:8200"',
    })
  }
  expect(seen).toHaveLength(2)
})

test.for<[number, string, Partial<Failure>]>([
  [404, '<html>not here</html>', { kind: 'bad_answer' }],
  [404, '', { kind: 'bad_answer' }],
  [403, 'forbidden', { kind: 'bad_answer' }],
  [200, '<html>', { kind: 'bad_answer' }],
  [200, '"text"', { kind: 'bad_answer' }],
  [200, '', { kind: 'bad_answer' }],
  [200, '{}', { kind: 'bad_answer' }],
  [201, '', { kind: 'bad_answer' }],
  [200, 'x'.repeat(2000), { kind: 'bad_answer', found: 'its answer is too large' }],
  [403, '{"errors":["permission denied","invalid token"]}', { kind: 'dead_token' }],
  [413, '', { kind: 'too_large' }],
  [412, '{"errors":[]}', { kind: 'standby' }],
  [429, 'request path: rate limit quota exceeded', { kind: 'rate_limited' }],
  [472, '{}', { kind: 'standby' }],
  [473, '{}', { kind: 'standby' }],
  [500, '{"errors":["put failed due to value being too large"]}', { kind: 'too_large' }],
  [
    500,
    '{"errors":["local node not active but active cluster node not found"]}',
    { kind: 'standby' },
  ],
  [500, '<html>', { kind: 'failed', found: 'it failed (status 500): status 500' }],
  [502, '', { kind: 'failed' }],
  [501, '{"errors":[]}', { kind: 'uninitialised' }],
  [503, '{"errors":["namespace is sealed"]}', { kind: 'sealed' }],
  [503, '{"errors":["API access to this namespace has been locked"]}', { kind: 'failed' }],
  [503, '<html>', { kind: 'failed' }],
  [
    403,
    '{"errors":["1 error occurred:\\n\\t* permission denied\\n\\n"]}',
    { found: 'permission denied' },
  ],
  [
    403,
    '{"errors":["namespace not authorized"]}',
    { kind: 'denied', found: 'permission denied: "namespace not authorized"' },
  ],
  [
    429,
    '{"errors":["request path \\"kv\\": rate limit quota exceeded"]}',
    {
      found: expect.stringMatching(
        /: "request path \\"kv\\": rate limit quota exceeded"$/,
      ) as string,
    },
  ],
])('U8, U17: takes %i %s for what it is', async ([status, text, expected]) => {
  reply = (answer) => answer.writeHead(status).end(text)
  expect(await failure()).toMatchObject(expected)
})

test('U8: takes nothing for done that is answered with nothing, but for 204', async () => {
  reply = (answer) => answer.writeHead(204).end()
  expect(await connection.call({ method: 'DELETE', path: 'kv/metadata/a' })).toMatchObject({
    ok: true,
    status: 204,
  })
  for (const status of [200, 202]) {
    reply = (answer) => answer.writeHead(status).end()
    const { found } = await failure({ method: 'DELETE' })
    expect(found).toBe(`what answers there is not OpenBao (status ${status} without its JSON)`)
  }
  for (const body of [{ ok: true }, {}, { data: {} }, []]) {
    json(200, body)
    for (const method of ['DELETE', 'PATCH'] as const) {
      expect((await failure({ method })).found).toBe(
        'what answers there is not OpenBao (status 200 without the form of its answers)',
      )
    }
  }
})

test('U17: passes on what OpenBao says bounded and printable, on any path', async () => {
  for (const status of [400, 403, 404, 413, 429, 500, 503]) {
    json(status, { errors: [`\u001b[2J\u202e${'x'.repeat(900)}`] })
    const { found } = await failure()
    expect(found).toMatch(/"\\u001b\[2J\\u\{202e\}x+…"/)
    expect(found.length).toBeLessThan(600)
  }
})

test('does not pass on what repeats the token or what was sent', async () => {
  json(400, { errors: [`bad token ${TOKEN}`] })
  expect(await failure()).toMatchObject({
    kind: 'refused',
    reasons: ['(its reasons repeat what was sent)'],
  })
  json(400, { errors: ['bad password correcthorse'] })
  const body = { password: 'correcthorse' }
  expect(inspect(await failure({ method: 'POST', body }))).not.toContain('correcthorse')
})

test('repeats what may be repeated, for as long as it may take', async () => {
  let calls = 0
  reply = (answer) => {
    calls += 1
    if (calls === 1) answer.destroy()
    else if (calls === 2) answer.writeHead(500).end()
    else answer.writeHead(200).end(JSON.stringify(envelope))
  }
  const request = { method: 'GET', path: 'kv/data/a' } as const
  expect(await connection.call({ ...request, repeatable: true })).toMatchObject({ ok: true })
  calls = 0
  expect(await connection.call(request)).toMatchObject({
    failure: { kind: 'unreachable', found: 'it could not be reached (UND_ERR_SOCKET)' },
  })
  expect(calls).toBe(1)
})

test('waits no longer than it was told, and makes no attempt too many', async () => {
  reply = () => {}
  const began = performance.now()
  expect(await failure({ waitMs: 100 })).toMatchObject({
    kind: 'late',
    found: 'it did not answer within 100 ms',
  })
  expect(await failure({ waitMs: 400, repeatable: true })).toMatchObject({ kind: 'late' })
  expect(performance.now() - began).toBeLessThan(20_000)
  expect(seen).toHaveLength(4)
  // An answer that begins and does not end is as late.
  reply = (answer) => answer.writeHead(200).write('{')
  expect(await failure({ waitMs: 100 })).toMatchObject({ kind: 'late' })
})
