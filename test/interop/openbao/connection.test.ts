/** What a real OpenBao answers when something is wrong with it, with the caller, or with what was asked. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type OpenBaoAddress, OpenBaoConnection } from '../../../server/openbao/connection.ts'
import type { Failure } from '../../../server/openbao/failures.ts'
import { makePair } from '../../support/certificates.ts'
import { type OpenBao, startOpenBao } from '../../support/openbao.ts'
import { describeWith } from '../../support/peers.ts'
import { temporaryDirectory } from '../../support/sotto.ts'

describeWith(['bao'], 'a connection to OpenBao', () => {
  let bao: OpenBao

  beforeAll(async () => {
    bao = await startOpenBao()
    await bao.mount('kv', 'kv', { version: '2' })
    await bao.mount('transit', 'transit')
    await bao.policy('some', 'path "kv/data/mine" { capabilities = ["create", "update", "read"] }')
  })

  afterAll(() => bao[Symbol.asyncDispose]())

  type Request = Parameters<OpenBaoConnection['call']>[0]

  async function call(
    path: string,
    request: Partial<Request> = {},
    address: Partial<OpenBaoAddress> = {},
  ): ReturnType<OpenBaoConnection['call']> {
    const connection = new OpenBaoConnection({ url: bao.url, ...address }, { waitMs: 5000 })
    try {
      return await connection.call({ method: 'GET', token: bao.rootToken, ...request, path })
    } finally {
      await connection.close()
    }
  }

  async function failure(...args: Parameters<typeof call>): Promise<Failure> {
    const answer = await call(...args)
    if (answer.ok) throw new Error(`it was answered with ${answer.status}`)
    expect(answer.failure.hint).toMatch(/\.$/)
    return answer.failure
  }

  test('gives the JSON of an answer, and undefined for an empty one', async () => {
    const written = await call('kv/data/mine', { method: 'POST', body: { data: { a: '1' } } })
    expect(written).toMatchObject({ ok: true, status: 200, body: { data: { version: 1 } } })
    const read = await call('kv/data/mine', { query: { version: '1' } })
    expect(read).toMatchObject({ ok: true, body: { data: { data: { a: '1' } } } })
    const merged = await call('kv/data/mine', { method: 'PATCH', body: { data: { b: '2' } } })
    expect(merged).toMatchObject({ ok: true })
    expect(await call('kv/metadata/none', { method: 'DELETE' })).toEqual({
      ok: true,
      status: 204,
      body: undefined,
    })
  })

  test('takes only an empty list of errors for something that is missing', async () => {
    expect(await failure('kv/data/none')).toMatchObject({ kind: 'not_found' })
    const patch = { method: 'PATCH', body: { data: {} } } as const
    expect(await failure('kv/data/none', patch)).toMatchObject({ kind: 'not_found' })
    expect(await failure('none/data/a')).toMatchObject({ kind: 'no_mount' })
    expect(await failure('kv/mine')).toMatchObject({ kind: 'no_mount' })
    const elsewhere = { namespace: 'none' }
    expect(await failure('kv/data/mine', {}, elsewhere)).toMatchObject({ kind: 'no_namespace' })
    await bao.must('POST', 'kv/data/gone', { data: { a: '1' } })
    await bao.must('DELETE', 'kv/data/gone')
    expect(await failure('kv/data/gone')).toMatchObject({
      kind: 'deleted',
      body: { data: { metadata: { version: 1 } } },
    })
  })

  test('tells what is refused: permission, a lost check-and-set, the request', async () => {
    const token = await bao.token({ policies: ['some'] })
    expect(await failure('kv/data/other', { token })).toMatchObject({
      kind: 'denied',
      found: 'permission denied',
    })
    expect(await failure('kv/data/mine', { token: 'none' })).toMatchObject({ kind: 'denied' })
    await bao.must('POST', 'kv/data/cas', { data: { a: '1' } })
    const body = { data: { a: '2' }, options: { cas: 0 } }
    expect(await failure('kv/data/cas', { method: 'POST', body })).toMatchObject({
      kind: 'conflict',
      found: expect.stringContaining('did not match'),
    })
    const decrypt = { method: 'POST', body: { ciphertext: 'vault:v1:AAAA' } } as const
    expect(await failure('transit/decrypt/none', decrypt)).toMatchObject({
      kind: 'refused',
      reasons: ['encryption key not found'],
    })
  })

  test('reaches a namespace', async () => {
    await bao.must('POST', 'sys/namespaces/team', {})
    await bao.mount('kv', 'kv', { version: '2' }, { namespace: 'team' })
    const inTeam = { namespace: 'team' }
    const body = { data: { a: 'team' } }
    expect(await call('kv/data/mine', { method: 'POST', body }, inTeam)).toMatchObject({ ok: true })
    const read = await call('kv/data/mine', {}, inTeam)
    expect(read).toMatchObject({ ok: true, body: { data: { data: { a: 'team' } } } })
  })

  test('tells a rate limit', async () => {
    await bao.must('POST', 'sys/quotas/rate-limit/kv', { path: 'kv/', rate: 1, interval: '1h' })
    try {
      const tries = await Promise.all([1, 2, 3].map(() => call('kv/data/mine')))
      const kinds = tries.map((answer) => (answer.ok ? 'ok' : answer.failure.kind))
      expect(kinds.toSorted()).toEqual(['ok', 'rate_limited', 'rate_limited'])
    } finally {
      await bao.must('DELETE', 'sys/quotas/rate-limit/kv')
    }
  })

  test('tells one that is sealed, or was never initialised, from what is missing', async () => {
    await using raft = await startOpenBao({ storage: 'raft' })
    const there = { url: raft.url }
    await raft.seal()
    expect(await failure('kv/data/a', {}, there)).toMatchObject({
      kind: 'sealed',
      found: 'it is sealed',
    })
    const inTeam = { ...there, namespace: 'team' }
    expect(await failure('kv/data/a', {}, inTeam)).toMatchObject({ kind: 'sealed' })
    await raft.kill()
    expect(await failure('kv/data/a', {}, there)).toMatchObject({
      kind: 'unreachable',
      found: 'it could not be reached (ECONNREFUSED)',
    })
    await raft.start()
    expect(await failure('kv/data/a', {}, there)).toMatchObject({ kind: 'sealed' })
    await raft.unseal()
    expect(await failure('kv/data/a', { token: raft.rootToken }, there)).toMatchObject({
      kind: 'no_mount',
    })
    await using fresh = await startOpenBao({ initialised: false })
    expect(await failure('kv/data/a', {}, { url: fresh.url })).toMatchObject({
      kind: 'uninitialised',
    })
  })

  test('believes a certificate of the authority that it was given alone', async () => {
    using scratch = temporaryDirectory()
    const tls = makePair(['localhost'])
    await using secure = await startOpenBao({ tls })
    const caFile = join(scratch.path, 'ca.pem')
    writeFileSync(caFile, tls.certificate)
    const request = { token: secure.rootToken }
    const there = { url: secure.url }
    expect(await call('sys/mounts', request, { ...there, caFile })).toMatchObject({ ok: true })
    expect(await failure('sys/mounts', request, there)).toMatchObject({
      kind: 'tls',
      found: 'its certificate is from an unknown authority',
    })
    writeFileSync(caFile, makePair(['localhost']).certificate)
    expect(await failure('sys/mounts', request, { ...there, caFile })).toMatchObject({
      kind: 'tls',
      found: 'its certificate is from an unknown authority',
    })
    writeFileSync(caFile, tls.certificate)
    const byAddress = { url: secure.url.replace('localhost', '127.0.0.1'), caFile }
    expect(await failure('sys/mounts', request, byAddress)).toMatchObject({
      kind: 'tls',
      found: 'its certificate is for another name',
    })
    const clear = { url: secure.url.replace('https:', 'http:') }
    expect(await failure('sys/mounts', request, clear)).toMatchObject({ kind: 'bad_answer' })
    const noTls = { url: bao.url.replace('http:', 'https:') }
    expect(await failure('sys/mounts', {}, noTls)).toMatchObject({ kind: 'tls' })
    expect(await failure('sys/mounts', {}, { ...there, caFile: '/none' })).toMatchObject({
      kind: 'tls',
      found: 'cannot read the CA file "/none": there is no such file',
    })
  })
})
