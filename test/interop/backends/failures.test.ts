/** What can go wrong with a KV engine, numbered. */
import { readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { SottoError } from '../../../client/api/errors.ts'
import { contentOf } from '../../../server/backends/content.ts'
import type { Backend, NewProjection } from '../../../server/backends/contract.ts'
import { OpenBaoBackend } from '../../../server/backends/openbao/backend.ts'
import { type OpenBao, startOpenBao } from '../../support/openbao.ts'
import { describeWith } from '../../support/peers.ts'
import { between } from './between.ts'
import {
  backendOn,
  leafPath,
  leastPolicy,
  markingPolicy,
  prepare,
  projectionPath,
} from './fixture.ts'
import { ownerOf } from '../../support/memory-backend.ts'

const value = Buffer.from('correct horse battery staple')

function leafOf(name: string, version = 1): { name: string; incarnation: number; version: number } {
  return { name, incarnation: 1, version }
}

function next(text: string, version = 1): NewProjection {
  return {
    content: contentOf(Buffer.from(text)),
    mark: { incarnation: 1, version, start: 1, fingerprint: 'f'.repeat(64) },
  }
}

async function failureOf(attempt: Promise<unknown>): Promise<SottoError> {
  const error = await attempt.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(SottoError)
  expect(String(error)).not.toContain(String(value))
  return error as SottoError
}

/** The codes with which every call about values fails, and `test`: one and the same. */
async function failuresOfAll(backend: Backend): Promise<Set<string>> {
  const attempts: (() => Promise<unknown>)[] = [
    () => backend.readLeaf(leafOf('kept')),
    () => backend.writeLeaf(leafOf('new'), value),
    () => backend.removeLeaf(leafOf('kept')),
    () => backend.leaves('kept'),
    () => backend.readProjection('kept'),
    () => backend.writeProjection('kept', next('new', 2), 1),
    () => backend.removeProjection('kept', 1),
    () => backend.test(),
  ]
  const codes = new Set<string>()
  for (const attempt of attempts) codes.add((await failureOf(attempt())).code)
  return codes
}

describeWith(['bao'], 'a KV engine in trouble', () => {
  let bao: OpenBao
  const open: AsyncDisposable[] = []

  /** Closes what a test opened, after it. */
  function opened<T extends Backend | AsyncDisposable>(each: T): T {
    open.push('close' in each ? { [Symbol.asyncDispose]: () => each.close() } : each)
    return each
  }

  beforeAll(async () => {
    bao = await startOpenBao({ storage: 'raft' })
    await prepare(bao)
  })

  afterEach(async () => {
    for (const each of open.splice(0).toReversed()) await each[Symbol.asyncDispose]()
  })

  afterAll(() => bao?.[Symbol.asyncDispose]())

  test('1: an older version shown again is a new revision', async () => {
    const backend = opened(await backendOn(bao))
    await backend.writeProjection('rolled/back', next('seven', 7), 0)
    await backend.writeProjection('rolled/back', next('eight', 8), 1)
    expect(await backend.writeProjection('rolled/back', next('seven', 7), 2)).toMatchObject({
      revision: 3,
    })
    const read = await bao.must('GET', projectionPath('data', 'rolled/back'))
    expect(read.data).toMatchObject({ data: { value: 'seven' }, metadata: { version: 3 } })
  })

  test('2: what OpenBao pruned of a projection is still a leaf', async () => {
    const backend = opened(await backendOn(bao))
    for (let version = 1; version <= 15; version++) {
      await backend.writeLeaf(leafOf('many', version), Buffer.from(`v${version}`))
      await backend.writeProjection('many', next(`v${version}`, version), version - 1)
    }
    expect((await bao.call('GET', `${projectionPath('data', 'many')}?version=2`)).status).toBe(404)
    expect(String(await backend.readLeaf(leafOf('many', 2)))).toBe('v2')
    expect(await backend.leaves('many')).toHaveLength(15)
  })

  describe('3: what is written is deleted after a time', () => {
    test('a mount that is set up so is refused, where its settings can be read', async () => {
      await bao.mount('expiring', 'kv', { version: '2' })
      await bao.must('POST', 'expiring/config', { delete_version_after: '1h' })
      const policy = leastPolicy.replaceAll('"secret/', '"expiring/')
      await bao.policy('expiring', `${policy}\npath "expiring/config" { capabilities = ["read"] }`)
      const token = await bao.token({ policies: ['expiring'] })
      const login = { method: 'token', token: { read: async () => token } } as const
      const backend = opened(await backendOn(bao, { mount: 'expiring', login }))
      const error = await failureOf(backend.test())
      expect(error.code).toBe('backend_refused')
      expect(error.hint).toContain('delete_version_after')
    })

    test('and where they cannot, by what a write is answered with', async () => {
      await bao.policy('hidden', leastPolicy.replaceAll('"secret/', '"expiring/'))
      const token = await bao.token({ policies: ['hidden'] })
      const login = { method: 'token', token: { read: async () => token } } as const
      const backend = opened(await backendOn(bao, { mount: 'expiring', login }))
      expect((await failureOf(backend.test())).code).toBe('backend_refused')
      expect((await failureOf(backend.writeLeaf(leafOf('a'), value))).code).toBe('backend_refused')
      const shown = await backend.writeProjection('a', next('a'), 0)
      expect(shown.expires).toMatch(/^20\d\d-/)
    })

    test('an entry that is set up so is told when it is written', async () => {
      const backend = opened(await backendOn(bao))
      await backend.writeProjection('expires', next('a'), 0)
      await bao.must('POST', projectionPath('metadata', 'expires'), { delete_version_after: '1h' })
      expect((await backend.writeProjection('expires', next('b'), 1)).expires).toMatch(/^20\d\d-/)
    })
  })

  test('4: a mount that demands check-and-set gets it', async () => {
    await bao.mount('strict', 'kv', { version: '2' })
    await bao.must('POST', 'strict/config', { cas_required: true })
    await bao.policy('strict', leastPolicy.replaceAll('"secret/', '"strict/'))
    const token = await bao.token({ policies: ['strict'] })
    const login = { method: 'token', token: { read: async () => token } } as const
    const backend = opened(await backendOn(bao, { mount: 'strict', login }))
    await backend.test()
    await backend.writeLeaf(leafOf('a'), value)
    await backend.writeProjection('a', next('a'), 0)
    expect((await backend.writeProjection('a', next('b'), 1)).revision).toBe(2)
  })

  test('5: an answer that is lost after the commit leads to one revision', async () => {
    const way = opened(await between(bao.url))
    const backend = opened(
      await backendOn(bao, { address: { url: way.url }, origins: [way.url], policy: 'marking' }),
    )
    let lost = 0
    way.fate = ({ method, path }) => {
      if (method !== 'POST' || !path.includes('/data/') || lost > 0) return 'pass'
      lost++
      return 'lose'
    }
    expect(await backend.writeLeaf(leafOf('lost'), value)).toBe('present')
    expect(lost).toBe(1)
    lost = 0
    expect(await backend.writeProjection('lost', next('a'), 0)).toEqual({
      revision: 1,
      marked: true,
    })
    lost = 0
    expect((await backend.writeProjection('lost', next('b', 2), 1)).revision).toBe(2)
    const metadata = await bao.must('GET', projectionPath('metadata', 'lost'))
    expect(metadata.data).toMatchObject({ current_version: 2 })
    expect((await bao.must('GET', leafPath('metadata', leafOf('lost')))).data.current_version).toBe(
      1,
    )
  })

  test('5: where every answer is lost that is said, and the same call settles it', async () => {
    const way = opened(await between(bao.url))
    const backend = opened(
      await backendOn(bao, { address: { url: way.url }, origins: [way.url], waitMs: 2000 }),
    )
    await backend.identity()
    way.fate = ({ method }) => (method === 'POST' ? 'lose' : 'pass')
    expect((await failureOf(backend.writeLeaf(leafOf('unheard'), value))).code).toBe(
      'backend_unavailable',
    )
    way.fate = () => 'pass'
    expect(await backend.writeLeaf(leafOf('unheard'), value)).toBe('present')
  })

  test('6: what someone else wrote in between is left as it is', async () => {
    const backend = opened(await backendOn(bao))
    await backend.writeProjection('edited', next('a'), 0)
    await bao.must('POST', projectionPath('data', 'edited'), { data: { value: 'by hand' } })
    expect((await failureOf(backend.writeProjection('edited', next('b', 2), 1))).code).toBe(
      'conflict',
    )
    const read = await bao.must('GET', projectionPath('data', 'edited'))
    expect(read.data).toMatchObject({ data: { value: 'by hand' }, metadata: { version: 2 } })
  })

  test('7: a revision that a standby told too late is a conflict, and right when it is read again', async () => {
    const way = opened(await between(bao.url))
    const backend = opened(await backendOn(bao, { address: { url: way.url }, origins: [way.url] }))
    await backend.writeProjection('stale', next('a'), 0)
    let old: { status: number; body: string } | undefined
    way.answered = ({ method, path }, answer) => {
      if (method === 'GET' && path.includes('/data/')) old ??= answer
    }
    await backend.readProjection('stale')
    await bao.must('POST', projectionPath('data', 'stale'), { data: { value: 'b' } })
    let replays = 1
    way.fate = ({ method, path }) =>
      old && method === 'GET' && path.includes('/data/') && replays-- > 0 ? old : 'pass'
    const stale = await backend.readProjection('stale')
    expect(stale?.revision).toBe(1)
    expect((await failureOf(backend.writeProjection('stale', next('c', 3), 1))).code).toBe(
      'conflict',
    )
    const again = await backend.readProjection('stale')
    expect(again?.revision).toBe(2)
    expect((await backend.writeProjection('stale', next('c', 3), 2)).revision).toBe(3)
  })

  test('8: a projection that was deleted keeps its number, and so does one that was destroyed', async () => {
    const backend = opened(await backendOn(bao))
    await backend.writeProjection('gone', next('a'), 0)
    await bao.must('DELETE', projectionPath('data', 'gone'))
    expect(await backend.readProjection('gone')).toEqual({ revision: 1 })
    expect((await backend.writeProjection('gone', next('b', 2), 1)).revision).toBe(2)
    await bao.must('POST', `secret/destroy/sotto/active/gone`, { versions: [2] })
    expect(await backend.readProjection('gone')).toEqual({ revision: 2 })
  })

  test('9: metadata that was removed begins at 1 again', async () => {
    const backend = opened(await backendOn(bao, { policy: 'marking' }))
    for (let revision = 0; revision < 3; revision++) {
      await backend.writeProjection('reborn', next(`v${revision}`), revision)
    }
    await bao.must('DELETE', projectionPath('metadata', 'reborn'))
    expect(await backend.readProjection('reborn')).toBeUndefined()
    await bao.must('POST', projectionPath('data', 'reborn'), { data: { value: 'by hand' } })
    const found = await backend.readProjection('reborn')
    expect(found).toMatchObject({ revision: 1 })
    expect(found?.mark).toBeUndefined()
    expect((await failureOf(backend.writeProjection('reborn', next('x'), 3))).code).toBe('conflict')
  })

  test('10: a leaf of a secret that was deleted and recreated is told apart', async () => {
    const backend = opened(await backendOn(bao))
    await backend.writeLeaf(leafOf('twice'), value)
    const second = { name: 'twice', incarnation: 2, version: 1 }
    expect((await failureOf(backend.writeLeaf(second, value))).code).toBe('conflict')
    expect((await failureOf(backend.readLeaf(second))).code).toBe('backend_altered')
    expect((await failureOf(backend.removeLeaf(second))).code).toBe('conflict')
  })

  test('11: the least policy is enough, and nothing else is asked for', async () => {
    const bare = await bao.token({ policies: ['least'], bare: true })
    const login = { method: 'token', token: { read: async () => bare } } as const
    const backend = opened(await backendOn(bao, { login }))
    const before = bao.audit().length
    expect(await backend.test()).toMatchObject({ product: 'OpenBao 2.4.0', marks: false })
    const marked = bao.audit().length
    await backend.writeLeaf(leafOf('least'), value)
    await backend.readLeaf(leafOf('least'))
    await backend.leaves('least')
    await backend.writeProjection('least', next('a'), 0)
    await backend.readProjection('least')
    await backend.removeProjection('least', 1)
    await backend.removeLeaf(leafOf('least'))
    expect(marked).toBeGreaterThan(before)
    const refused = bao
      .audit()
      .slice(marked)
      .filter(({ error }) => error !== undefined)
    expect(refused).toEqual([])
  })

  test('11: without delete on the metadata nothing is removed, and the test says so', async () => {
    await bao.policy('keeping', leastPolicy.replace('["list", "delete"]', '["list"]'))
    const token = await bao.token({ policies: ['keeping'] })
    const login = { method: 'token', token: { read: async () => token } } as const
    const backend = opened(await backendOn(bao, { login }))
    const { notes } = await backend.test()
    expect(notes.join()).toContain('Nothing can be removed there')
    await backend.test()
    await backend.writeLeaf(leafOf('stays'), value)
    expect((await failureOf(backend.removeLeaf(leafOf('stays')))).code).toBe('backend_refused')
    expect(await backend.readLeaf(leafOf('stays'))).toEqual(value)
  })

  describe('12: sizes', () => {
    test('1 MiB of an entry is known beforehand, however OpenBao spells it', async () => {
      const backend = opened(await backendOn(bao))
      const fits = Buffer.alloc(760 * 1024, 0xff)
      await backend.writeLeaf(leafOf('large'), fits)
      expect((await backend.readLeaf(leafOf('large')))?.equals(fits)).toBe(true)
      const over = Buffer.alloc(760 * 1024 + 1)
      const error = await failureOf(backend.writeLeaf(leafOf('larger'), over))
      expect(error.code).toBe('backend_too_large')
      expect(error.message).toContain('778241 bytes where 778240 fit')
      const spelled = ['x'.repeat(1_030_000), '<'.repeat(170_000), '\u2028'.repeat(170_000)]
      for (const [index, text] of spelled.entries()) {
        await backend.writeProjection(`wide/${index}`, next(text), 0)
        const more = next(text.slice(0, 1).repeat(text.length + 12_000))
        const tooWide = await failureOf(backend.writeProjection(`wide/${index}/more`, more, 0))
        expect(tooWide.code).toBe('backend_too_large')
      }
    })

    test('more fields than one request takes are refused before', async () => {
      const fields = (count: number, field: unknown): string =>
        JSON.stringify(
          Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, field])),
        )
      const backend = opened(await backendOn(bao))
      await backend.writeProjection('fields', next(fields(490, 'x')), 0)
      await backend.writeProjection('fields/numbers', next(fields(980, 1)), 0)
      for (const many of [fields(491, 'x'), fields(981, 1)]) {
        const error = await failureOf(backend.writeProjection('fields', next(many), 1))
        expect(error.code).toBe('backend_too_large')
      }
    })
  })

  test('13: more leaves in one folder than a listing has at once', async () => {
    const backend = opened(await backendOn(bao))
    const leaves = Array.from({ length: 1203 }, (_, index) => leafOf('folder/é', index + 1))
    for (let at = 0; at < leaves.length; at += 50) {
      await Promise.all(leaves.slice(at, at + 50).map((leaf) => backend.writeLeaf(leaf, value)))
    }
    expect(await backend.leaves('folder/é')).toEqual(leaves.map(({ version }) => version))
  })

  test('14: a mount of KV version 1, and one of another engine, are refused before anything is written', async () => {
    await bao.mount('first', 'kv', { version: '1' })
    await bao.mount('transit', 'transit')
    for (const mount of ['first', 'transit']) {
      await bao.policy(mount, leastPolicy.replaceAll('"secret/', `"${mount}/`))
      const token = await bao.token({ policies: [mount] })
      const login = { method: 'token', token: { read: async () => token } } as const
      const backend = opened(await backendOn(bao, { mount, login }))
      expect(await failuresOfAll(backend)).toEqual(new Set(['backend_refused']))
      const { message, hint } = await failureOf(backend.test())
      expect(message).toContain(
        mount === 'first'
          ? 'a KV engine of version 1, where a write of'
          : 'of the engine "transit"',
      )
      expect(hint).toContain('bao secrets enable -version=2 kv')
    }
    expect((await bao.call('GET', 'first/?list=true')).status).toBe(404)
  })

  describe('15: what is gone as a whole', () => {
    test('a mount that was removed is never a secret that is missing, nor is one made in its place', async () => {
      await bao.mount('passing', 'kv', { version: '2' })
      await bao.policy('passing', leastPolicy.replaceAll('"secret/', '"passing/'))
      const token = await bao.token({ policies: ['passing'] })
      const login = { method: 'token', token: { read: async () => token } } as const
      const backend = opened(await backendOn(bao, { mount: 'passing', login }))
      await backend.writeLeaf(leafOf('kept'), value)
      const identity = await backend.identity()
      expect(await backend.identity()).toBe(identity)
      await bao.must('DELETE', 'sys/mounts/passing')
      expect((await failureOf(backend.identity())).code).toBe('backend_refused')
      expect((await failureOf(backend.readLeaf(leafOf('kept')))).code).toBe('backend_refused')
      await bao.mount('passing', 'kv', { version: '1' })
      expect((await failureOf(backend.readLeaf(leafOf('kept')))).code).toBe('backend_refused')
      expect((await failureOf(backend.readProjection('kept'))).code).toBe('backend_refused')
      expect((await failureOf(backend.leaves('kept'))).code).toBe('backend_refused')
      expect(await failuresOfAll(backend)).toEqual(new Set(['backend_refused']))
      await bao.must('DELETE', 'sys/mounts/passing')
      expect(await failuresOfAll(backend)).toEqual(new Set(['backend_refused']))
      await bao.mount('passing', 'kv', { version: '2' })
      expect(await backend.identity()).not.toBe(identity)
    })

    test('a namespace that was removed is never a secret that is missing', async () => {
      const namespace = 'team'
      await bao.must('POST', 'sys/namespaces/team', {})
      await prepare(bao, { namespace })
      const token = await bao.token({ policies: ['marking'], namespace })
      const login = { method: 'token', token: { read: async () => token } } as const
      const backend = opened(await backendOn(bao, { address: { url: bao.url, namespace }, login }))
      await backend.test()
      await backend.writeLeaf(leafOf('kept'), value)
      await backend.writeProjection('kept', next('a'), 0)
      expect(await backend.readLeaf(leafOf('kept'))).toEqual(value)
      await bao.must('DELETE', 'sys/namespaces/team')
      while ((await bao.call('GET', 'sys/namespaces/team')).status !== 404)
        await bao.call('GET', 'x')
      expect(await failuresOfAll(backend)).toEqual(new Set(['backend_refused']))
    })

    test('nor is one that never was', async () => {
      const namespace = 'never'
      const backend = opened(await backendOn(bao, { address: { url: bao.url, namespace } }))
      expect(await failuresOfAll(backend)).toEqual(new Set(['backend_refused']))
    })
  })

  describe('16: redirects', () => {
    test.each([301, 307])('%i takes the token nowhere', async (status) => {
      const elsewhere = opened(await between(bao.url))
      const way = opened(await between(bao.url))
      const backend = opened(
        await backendOn(bao, { address: { url: way.url }, origins: [way.url] }),
      )
      await backend.identity()
      way.fate = ({ path }) => ({
        status,
        headers: { location: `${elsewhere.url}${path}` },
        body: '',
      })
      expect(await failuresOfAll(backend)).toEqual(new Set(['backend_refused']))
      expect(elsewhere.seen).toEqual([])
    })

    test('an origin that the configuration does not name is never called', () => {
      const login = { method: 'token', token: { read: async () => 'x' } } as const
      for (const url of [
        'http://127.0.0.1:1',
        'https://bao.example.com:8200',
        'http://localhost:8200',
      ]) {
        const options = { address: { url }, login, origins: [bao.url], owner: ownerOf('x') }
        expect(() => new OpenBaoBackend(options)).toThrow('does not allow it')
      }
      const options = { address: { url: bao.url }, login, origins: [bao.url], owner: ownerOf('x') }
      for (const path of ['', '/', 'a/', '../x', 'a//b', 'a b', 'a?b']) {
        expect(() => new OpenBaoBackend({ ...options, mount: path })).toThrow('as the mount')
        expect(() => new OpenBaoBackend({ ...options, prefix: path })).toThrow('as the path prefix')
      }
    })
  })

  describe('a token', () => {
    async function withToken(
      options: Parameters<OpenBao['token']>[0],
    ): Promise<{ backend: OpenBaoBackend; token: string }> {
      const token = await bao.token(options)
      const login = { method: 'token', token: { read: async () => token } } as const
      return { backend: opened(await backendOn(bao, { login })), token }
    }

    test('that expires, having reached what it may live, is refused and never taken for an absence', async () => {
      const { backend } = await withToken({ policies: ['least'], ttl: '1s', maxTtl: '1s' })
      await backend.writeLeaf(leafOf('expired'), value)
      while ((await backend.readLeaf(leafOf('expired')).catch(() => null)) !== null) {
        await bao.call('GET', 'sys/health')
      }
      expect(await failuresOfAll(backend)).toEqual(new Set(['backend_refused']))
    })

    test('that was revoked is the same', async () => {
      const { backend, token } = await withToken({ policies: ['least'] })
      await backend.writeLeaf(leafOf('revoked'), value)
      await bao.revoke(token)
      expect(await failuresOfAll(backend)).toEqual(new Set(['backend_refused']))
    })

    test('that a policy does not let in is refused', async () => {
      await bao.policy('elsewhere', leastPolicy.replaceAll('/sotto/', '/other/'))
      const { backend } = await withToken({ policies: ['elsewhere'] })
      expect(await failuresOfAll(backend)).toEqual(new Set(['backend_refused']))
    })

    test('of a login is recreated when it is dead, and no caller notices', async () => {
      await bao.enableAuth('approle', 'approle')
      await bao.must('POST', 'auth/approle/role/sotto', { token_policies: ['least'] })
      const { data: role } = await bao.must('GET', 'auth/approle/role/sotto/role-id')
      const { data: secret } = await bao.must('POST', 'auth/approle/role/sotto/secret-id', {})
      const login = {
        method: 'approle',
        roleId: role.role_id,
        secretId: { read: async () => secret.secret_id },
      } as const
      const backend = opened(await backendOn(bao, { login }))
      await backend.writeLeaf(leafOf('login'), value)
      const { data: held } = await bao.must('LIST', 'auth/token/accessors')
      for (const accessor of held.keys) {
        const looked = await bao.call('POST', 'auth/token/lookup-accessor', { accessor })
        if (looked.body.data?.path === 'auth/approle/login') {
          await bao.must('POST', 'auth/token/revoke-accessor', { accessor })
        }
      }
      expect(await backend.readLeaf(leafOf('login'))).toEqual(value)
      expect(backend.status()).toMatchObject({ logins: 2, failedLogins: 0 })
    })
  })

  test('more requests than a quota allows are an outage that is named', async () => {
    await bao.mount('limited', 'kv', { version: '2' })
    await bao.policy('limited', leastPolicy.replaceAll('"secret/', '"limited/'))
    const token = await bao.token({ policies: ['limited'] })
    const login = { method: 'token', token: { read: async () => token } } as const
    const backend = opened(await backendOn(bao, { mount: 'limited', login, waitMs: 1000 }))
    await backend.writeLeaf(leafOf('kept'), value)
    await bao.must('POST', 'sys/quotas/rate-limit/few', {
      path: 'limited/',
      rate: 1,
      interval: '1h',
    })
    await backend.readLeaf(leafOf('kept'))
    const error = await failureOf(backend.readLeaf(leafOf('kept')))
    expect(error.code).toBe('backend_unavailable')
    expect(error.message).toContain('rate limit')
    await bao.must('DELETE', 'sys/quotas/rate-limit/few')
    expect(await backend.readLeaf(leafOf('kept'))).toEqual(value)
  })

  test.each([
    ['a standby that cannot forward', 429, '{"errors":["standby"]}'],
    [
      'no active node',
      500,
      '{"errors":["local node not active but active cluster node not found"]}',
    ],
    ['a proxy without an upstream', 502, '<html>bad gateway</html>'],
    ['a fault', 500, '{"errors":["internal error"]}'],
  ])('%s is never taken for an absence', async (_, status, body) => {
    const way = opened(await between(bao.url))
    const backend = opened(
      await backendOn(bao, { address: { url: way.url }, origins: [way.url], waitMs: 500 }),
    )
    way.fate = () => ({ status, body })
    expect(await failuresOfAll(backend)).toEqual(new Set(['backend_unavailable']))
  })

  test.each([
    ['a page of a web server', 404, '<html>not found</html>'],
    ['an empty 404', 404, ''],
    ['a 404 with reasons', 404, '{"errors":["no handler for route \\"secret/data/x\\""]}'],
  ])('%s is never taken for an absence', async (_, status, body) => {
    const way = opened(await between(bao.url))
    const backend = opened(await backendOn(bao, { address: { url: way.url }, origins: [way.url] }))
    way.fate = () => ({ status, body })
    expect(await failuresOfAll(backend)).toEqual(new Set(['backend_refused']))
  })

  test('sealed, killed and started again: an outage each time, and everything is there after it', async () => {
    const backend = opened(await backendOn(bao, { waitMs: 1000 }))
    await backend.writeLeaf(leafOf('through'), value)
    await backend.writeProjection('through', next('a'), 0)
    await bao.seal()
    expect(await failuresOfAll(backend)).toEqual(new Set(['backend_unavailable']))
    expect((await failureOf(backend.readLeaf(leafOf('through')))).message).toContain('it is sealed')
    await bao.unseal()
    expect(await backend.readLeaf(leafOf('through'))).toEqual(value)
    await bao.kill()
    expect(await failuresOfAll(backend)).toEqual(new Set(['backend_unavailable']))
    await bao.start()
    expect(await failuresOfAll(backend)).toEqual(new Set(['backend_unavailable']))
    await bao.unseal()
    expect(await backend.readLeaf(leafOf('through'))).toEqual(value)
    expect(await backend.readProjection('through')).toMatchObject({ revision: 1 })
    expect(await backend.writeLeaf(leafOf('through'), value)).toBe('present')
  })

  test('the policies are those of the documents, and marks take no more than one permission', () => {
    const page = (name: string): string =>
      readFileSync(new URL(`../../../docs/guides/${name}`, import.meta.url), 'utf8')
    expect(page('openbao.md')).toContain(leastPolicy)
    const marks = '"secret/metadata/sotto/*" {\n  capabilities = ["list", "delete"'
    expect(leastPolicy.replace(marks, `${marks}, "patch"`)).toBe(markingPolicy)
    expect(page('mirror.md')).toContain('`patch` on `secret/metadata/sotto/*`')
  })
})
