import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { Client, ServerError } from '../../client/client.ts'
import { SottoError } from '../../client/api/errors.ts'
import { makePair } from '../support/certificates.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { listening, type Received, type Scripted, scripted, scriptedBytes } from './scripted.ts'

const canary = 'canary-4f1d'

/** What a call failed with. */
async function failure(call: Promise<unknown>): Promise<SottoError> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof SottoError))
    throw new Error(`expected a SottoError, got ${inspect(error)}`)
  return error
}

/** A server that gives the same answer to every call and keeps what came. */
async function answering(
  status: number,
  headers: Readonly<Record<string, string>>,
  body: string,
): Promise<Scripted & { readonly calls: Received[] }> {
  const calls: Received[] = []
  const server = await scripted((received, response) => {
    calls.push(received)
    response.writeHead(status, headers).end(body)
  })
  return Object.assign(server, { calls })
}

test('each method sends its request and reads its answer', async () => {
  const answers: Record<string, unknown> = {
    list: [{ Name: 'a', Versions: [1, 2], ActiveVersion: 2 }],
    info: { Name: 'a', Versions: [1, 2], ActiveVersion: 2 },
    get: { Value: 'aGk=', Version: 2 },
    put: 3,
    'create-version': {},
    activate: {},
    'delete-version': {},
    delete: {},
    whoami: {
      Hostname: 'n',
      IP: '127.0.0.1',
      NodeID: 'n1',
      Tags: ['tag:a'],
      Rules: [],
      Allowed: ['get'],
      AllowedBy: [{ Action: 'get', Rule: 0, Pattern: '*' }],
    },
  }
  const calls: Received[] = []
  await using server = await scripted((received, response) => {
    calls.push(received)
    response.end(JSON.stringify(answers[received.path.slice('/api/'.length)]))
  })
  const client = new Client({ server: `${server.url}/` })
  const value = Buffer.from('hi')

  expect(client.server).toBe(server.url)
  expect(await client.list()).toEqual(answers['list'])
  expect(await client.info('a')).toEqual(answers['info'])
  expect(await client.get('a')).toEqual({ Value: value, Version: 2 })
  expect(await client.getVersion('a', 2)).toEqual({ Value: value, Version: 2 })
  expect(await client.getIfChanged('a', 1)).toEqual({ Value: value, Version: 2 })
  expect(await client.getIfChanged('a', 0)).toEqual({ Value: value, Version: 2 })
  expect(await client.put('a', value)).toBe(3)
  await client.createVersion('a', 9, value)
  await client.activate('a', 9)
  await client.deleteVersion('a', 1)
  await client.delete('a')
  expect(await client.whoami()).toEqual(answers['whoami'])
  expect(await client.whoami('a')).toEqual(answers['whoami'])
  client.close()

  expect(calls.map(({ path, body }) => `${path} ${body}`)).toEqual([
    '/api/list {}',
    '/api/info {"Name":"a"}',
    '/api/get {"Name":"a","Version":0}',
    '/api/get {"Name":"a","Version":2}',
    '/api/get {"Name":"a","Version":1,"UpdateIfChanged":true}',
    '/api/get {"Name":"a","Version":0}',
    '/api/put {"Name":"a","Value":"aGk="}',
    '/api/create-version {"Name":"a","Version":9,"Value":"aGk="}',
    '/api/activate {"Name":"a","Version":9}',
    '/api/delete-version {"Name":"a","Version":1}',
    '/api/delete {"Name":"a"}',
    '/api/whoami {}',
    '/api/whoami {"Name":"a"}',
  ])
  for (const { headers } of calls) {
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'sec-x-tailscale-no-browsers': 'setec',
    })
  }
})

test('what Go writes for nothing is read as nothing', async () => {
  await using nothing = await answering(200, {}, 'null')
  expect(await new Client({ server: nothing.url }).list()).toEqual([])
  await using empty = await answering(200, {}, '{"Value":null,"Version":1}')
  expect(await new Client({ server: empty.url }).get('a')).toEqual({
    Value: Buffer.alloc(0),
    Version: 1,
  })
})

test('304 is undefined for a conditional get and an error for any other call', async () => {
  await using server = await answering(304, {}, '')
  const client = new Client({ server: server.url })
  expect(await client.getIfChanged('a', 3)).toBeUndefined()
  expect(await failure(client.get('a'))).toMatchObject({ code: 'unchanged' })
})

test.each([
  // A server that names its errors.
  [
    404,
    { 'Sotto-Error': 'not_found', 'Sotto-Detail': '"There is no \\u00fc"' },
    '',
    'not_found',
    'There is no ü',
  ],
  [
    403,
    { 'Sotto-Error': 'denied', 'X-Request-Id': 'r1' },
    '',
    'denied',
    'Cannot get "a": access denied (request r1)',
  ],
  [
    500,
    { 'Sotto-Error': 'audit_unavailable', 'X-Request-Id': 'r2' },
    '',
    'audit_unavailable',
    'Cannot get "a": internal error (request r2)',
  ],
  [
    403,
    { 'Sotto-Error': 'denied', 'Sotto-Detail': '"not for you"' },
    '',
    'denied',
    'Cannot get "a": access denied',
  ],
  [
    404,
    { 'Sotto-Error': 'not_found', 'Sotto-Detail': '"cut off' },
    '',
    'not_found',
    'Cannot get "a": not found',
  ],
  // A name of another status, or of no error, tells nothing.
  [403, { 'Sotto-Error': 'not_found' }, '', 'denied', 'Cannot get "a": access denied'],
  [412, { 'Sotto-Error': 'toString' }, '', 'version_taken', 'Cannot get "a": version already set'],
  [500, { 'Sotto-Error': 'usage' }, '', 'internal', 'Cannot get "a": internal error'],
  // setec.
  [403, {}, 'access denied\n', 'denied', 'Cannot get "a": access denied'],
  [404, {}, 'not found\n', 'not_found', 'Cannot get "a": not found'],
  [412, {}, 'version already set\n', 'version_taken', 'Cannot get "a": version already set'],
  [400, {}, 'invalid method\n', 'no_such_method', 'Cannot get "a": no such method'],
  [400, {}, 'bad request\n', 'bad_request', 'Cannot get "a": bad request'],
  [
    500,
    {},
    'unable to identify caller\n',
    'unidentified',
    'Cannot get "a": unable to identify caller',
  ],
  [500, {}, 'internal error\n', 'internal', 'Cannot get "a": internal error'],
  // Something else on the way.
  [
    404,
    {},
    '404 page not found\n',
    'bad_answer',
    'Cannot get "a": the server answered with status 404',
  ],
  [503, {}, '<html>', 'overloaded', 'Cannot get "a": too many requests, try again later'],
  [502, {}, '<html>', 'internal', 'Cannot get "a": the server answered with status 502'],
  [418, {}, '', 'bad_answer', 'Cannot get "a": the server answered with status 418'],
])('%i %j %j is %s', async (status, headers, body, code, message) => {
  await using server = await answering(status, headers, body)
  const error = await failure(new Client({ server: server.url }).get('a'))
  expect(error).toBeInstanceOf(ServerError)
  expect({ code: error.code, message: error.message }).toEqual({ code, message })
  expect(error).toMatchObject({ status })
})

test('an answer says how long to wait, in seconds', async () => {
  const after = async (header: string): Promise<number | undefined> => {
    await using server = await answering(503, { 'Retry-After': header }, '')
    const error = await failure(new Client({ server: server.url }).get('a'))
    return (error as ServerError).retryAfterMs
  }
  expect(await after('7')).toBe(7000)
  expect(await after('0')).toBe(0)
  expect(await after('Wed, 21 Oct 2026 07:28:00 GMT')).toBeUndefined()
  expect(await after('-1')).toBeUndefined()
})

test('U17: what may come from something in front of the server is told as such', async () => {
  const hintFor = async (status: number, headers: Record<string, string> = {}) => {
    await using server = await answering(status, headers, '<html>')
    return (await failure(new Client({ server: server.url }).get('a'))).hint
  }
  const hint = 'A proxy or a load balancer may have answered, and not the server: look at both.'
  for (const status of [407, 502, 503, 504, 511]) expect(await hintFor(status)).toBe(hint)
  expect(await hintFor(503, { 'Sotto-Error': 'overloaded' })).toBeUndefined()
  expect(await hintFor(500)).toBeUndefined()
})

test('a redirect is not followed; the hint names where to go', async () => {
  await using server = await answering(
    302,
    { Location: 'https://secrets.example.ts.net/api/get' },
    '',
  )
  const error = await failure(new Client({ server: server.url }).get('a'))
  expect(error).toMatchObject({
    code: 'bad_answer',
    hint: 'The server is at https://secrets.example.ts.net: give that URL.',
  })
  expect(server.calls).toHaveLength(1)
})

test.each([
  ['', 'nothing'],
  ['<html>', 'a page'],
  ['{"Value":"aGk","Version":1}', 'base64 without padding'],
  ['{"Value":"a*k=","Version":1}', 'what is no base64'],
  ['{"Value":"aGk="}', 'no version'],
  ['{"Value":"aGk=","Version":-1}', 'a negative version'],
  ['{"Value":"aGk=","Version":4294967296}', 'a version past 32 bits'],
  ['[]', 'an array'],
])('%j is no answer to get: %s', async (body) => {
  await using server = await answering(200, {}, body)
  expect(await failure(new Client({ server: server.url }).get('a'))).toMatchObject({
    code: 'bad_answer',
    message: `Cannot get "a": ${server.url} answered with something that is not part of the API`,
  })
})

test.each([
  ['list', (client: Client) => client.list(), '[{"Name":"a"}]'],
  ['info', (client: Client) => client.info('a'), '{"Name":"a","Versions":["1"],"ActiveVersion":1}'],
  ['put', (client: Client) => client.put('a', Buffer.from('v')), '"1"'],
  ['activate', (client: Client) => client.activate('a', 1), '<html>'],
  ['delete', (client: Client) => client.delete('a'), 'null'],
  ['whoami', (client: Client) => client.whoami(), '{"Hostname":"a","IP":"1.2.3.4","Rules":[{}]}'],
  [
    'whoami',
    (client: Client) => client.whoami(),
    '{"Hostname":"a","IP":"1.2.3.4","Rules":[],"AllowedBy":[{"Action":"get","Rule":0.5,"Pattern":"*"}]}',
  ],
])('%s takes no other answer for a success', async (_, call, body) => {
  await using server = await answering(200, {}, body)
  expect(await failure(call(new Client({ server: server.url })))).toMatchObject({
    code: 'bad_answer',
  })
})

test('no error holds what was sent or what was answered', async () => {
  const value = Buffer.from(canary)
  const secrets = [canary, value.toString('base64'), inspect(value).slice(8, 30)]
  const check = async (server: Scripted) => {
    const client = new Client({ server: server.url })
    for (const call of [client.put('a', value), client.get('a'), client.list()]) {
      const error = await failure(call)
      const shown = inspect(error, { depth: 20, showHidden: true })
      for (const secret of secrets) expect(shown).not.toContain(secret)
    }
  }
  await using fault = await answering(500, {}, canary)
  await check(fault)
  await using page = await answering(200, {}, `{"Value":"${canary}`)
  await check(page)
  await using noise = await scriptedBytes(() => Buffer.from(`${canary} \r\n\r\n`))
  await check(noise)
  await using broken = await scriptedBytes(() =>
    Buffer.from(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz${canary}`),
  )
  await check(broken)
  await using cut = await scriptedBytes(() =>
    Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n${canary}`),
  )
  await check(cut)
})

test('what is not HTTP is a bad answer, and a connection that ends is unreachable', async () => {
  await using noise = await scriptedBytes(() => Buffer.from('SSH-2.0-x\r\n'))
  expect(await failure(new Client({ server: noise.url }).get('a'))).toMatchObject({
    code: 'bad_answer',
    message: `Cannot get "a": ${noise.url} is not a Sotto server: it does not speak HTTP`,
  })
  await using silent = await scriptedBytes(() => Buffer.alloc(0))
  expect(await failure(new Client({ server: silent.url }).get('a'))).toMatchObject({
    code: 'unreachable',
    message: `Cannot get "a": ${silent.url} closed the connection without an answer (ECONNRESET)`,
  })
})

test('a server that is not there is unreachable; the error names the URL', async () => {
  expect(
    await failure(new Client({ server: 'http://127.0.0.1:1' }).put('a', Buffer.from('v'))),
  ).toMatchObject({
    code: 'unreachable',
    message: 'Cannot put "a": http://127.0.0.1:1 refuses connections (ECONNREFUSED)',
    hint: 'Check that the server runs, and that the port is right.',
  })
})

test('a server that begins an answer and never ends it is given up in time', async () => {
  await using server = await scripted((_, response) => response.writeHead(200).write('{'))
  const client = new Client({ server: server.url, timeoutMs: 60 })
  expect(await failure(client.get('a'))).toMatchObject({
    code: 'unreachable',
    message: `Cannot get "a": no answer from ${server.url} within 0.06 s`,
  })
})

test('a change whose answer was lost says that its outcome is not known', async () => {
  await using server = await scripted((_, response) => response.destroy())
  const client = new Client({ server: server.url })
  expect(await failure(client.delete('a'))).toMatchObject({
    code: 'unreachable',
    hint: 'Whether the change was made is not known: look with `info` before trying again.',
  })
})

test('a call that is aborted gives the reason of its signal', async () => {
  const reason = new Error('enough')
  const abort = new AbortController()
  await using server = await scripted(() => abort.abort(reason))
  const client = new Client({ server: server.url })
  await expect(client.get('a', { signal: abort.signal })).rejects.toBe(reason)
  await expect(client.get('a', { signal: abort.signal })).rejects.toBe(reason)
})

test('connections are kept for the next call, and not when that is not wanted', async () => {
  await using server = await answering(200, {}, '[]')
  const keeping = new Client({ server: server.url })
  await keeping.list()
  await keeping.list()
  keeping.close()
  const single = new Client({ server: server.url, keepAlive: false })
  await single.list()
  await single.list()
  expect(server.calls.map(({ connection }) => connection)).toEqual([0, 0, 1, 2])
})

test('a kept connection that the server has closed is replaced for a read, not for a change', async () => {
  let calls = 0
  await using server = await scripted((_, response) => {
    calls++
    if (calls % 2 === 1) response.end('[]')
    else response.socket?.resetAndDestroy()
  })
  const client = new Client({ server: server.url })
  await client.list()
  expect(await client.list()).toEqual([])
  expect(calls).toBe(3)
  expect(await failure(client.delete('a'))).toMatchObject({ code: 'unreachable' })
  expect(calls).toBe(4)
  client.close()
})

test('the path of the URL is kept', async () => {
  await using server = await answering(200, {}, '[]')
  await new Client({ server: `${server.url}/vault/` }).list()
  await new Client({ server: `${server.url}//elsewhere.example.com` }).list()
  expect(server.calls.map(({ path }) => path)).toEqual([
    '/vault/api/list',
    '//elsewhere.example.com/api/list',
  ])
})

test.each([
  ['secrets.example.ts.net', 'it is not a URL'],
  ['localhost:8080', 'it begins with neither http:// nor https://'],
  ['file:///etc/passwd', 'it begins with neither http:// nor https://'],
  [`http://alice:${canary}@127.0.0.1`, 'it has credentials'],
  [`http://${canary}@127.0.0.1`, 'it has credentials'],
  ['http://127.0.0.1/?a', 'it has a query or a fragment'],
])('the server %j is refused: %s', (server, reason) => {
  const refused = () => new Client({ server })
  expect(refused).toThrow(reason)
  expect(refused).not.toThrow(canary)
})

test.each([
  ['a timeout of nothing', { timeoutMs: 0 }],
  ['a timeout that is none', { timeoutMs: Number.NaN }],
  ['a local address that is none', { localAddress: 'localhost' }],
])('%s is refused', (_, options) => {
  expect(() => new Client({ server: 'http://127.0.0.1', ...options })).toThrow(SottoError)
})

test('a local address that this machine does not have is told', async () => {
  const client = new Client({ server: 'http://127.0.0.1:1', localAddress: '192.0.2.1' })
  expect(await failure(client.list())).toMatchObject({
    code: 'unreachable',
    message: 'Cannot list secrets: this machine cannot call http://127.0.0.1:1 from 192.0.2.1',
  })
})

test.each([-1, 1.5, 2 ** 32, Number.NaN])(
  'version %d is refused before it is sent',
  async (version) => {
    const client = new Client({ server: 'http://127.0.0.1:1' })
    expect(await failure(client.getVersion('a', version))).toMatchObject({ code: 'usage' })
    expect(await failure(client.getIfChanged('a', version))).toMatchObject({ code: 'usage' })
    expect(await failure(client.activate('a', version))).toMatchObject({ code: 'usage' })
  },
)

test('https to a server of plain http says so', async () => {
  await using server = await answering(200, {}, '[]')
  const client = new Client({ server: server.url.replace('http:', 'https:') })
  const error = await failure(client.delete('a'))
  expect(error).toMatchObject({
    code: 'unreachable',
    hint: 'Check whether the URL should begin with http://.',
  })
})

test('V10: http to a server that speaks TLS says so', async () => {
  const { certificate: cert, key } = makePair(['localhost'])
  await using server = await listening(createServer({ cert, key }))
  const error = await failure(new Client({ server: server.url }).get('a'))
  expect(error).toMatchObject({
    code: 'unreachable',
    message: expect.stringContaining('closed the connection without an answer'),
    hint: 'Check whether the URL should begin with https://.',
  })
})

const openssl = 'openssl'
const hasOpenssl = spawnSync(openssl, ['version']).status === 0

test.skipIf(!hasOpenssl)('a certificate that nobody vouches for is not trusted', async () => {
  using directory = temporaryDirectory()
  const [key, cert] = [join(directory.path, 'key'), join(directory.path, 'cert')]
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const made = ['-keyout', key, '-out', cert, '-subj', '/CN=localhost', '-days', '1']
  spawnSync(openssl, ['req', '-x509', ...curve, ...made])
  let calls = 0
  const secure = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, () => calls++)
  await using server = await listening(secure)
  const url = server.url.replace('http:', 'https:')
  expect(await failure(new Client({ server: url }).delete('a'))).toMatchObject({
    code: 'unreachable',
    message: `Cannot delete "a": the certificate of ${url} is not trusted (DEPTH_ZERO_SELF_SIGNED_CERT)`,
    // U21: the variables of Node, which it reads before the program begins.
    hint: expect.stringMatching(/NODE_EXTRA_CA_CERTS=FILE.*NODE_USE_SYSTEM_CA=1/) as string,
  })
  expect(calls).toBe(0)
})
