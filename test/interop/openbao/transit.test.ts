/** The `openbao-transit` provider with a real OpenBao: the contract, and each failure's message. */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { once } from 'node:events'
import { dirname, join } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { SottoError } from '../../../client/api/errors.ts'
import { rootKeyBinding } from '../../../server/crypto/binding.ts'
import {
  openbaoTransitProvider,
  type TransitTimes,
} from '../../../server/crypto/openbao-transit.ts'
import type { TransitKey } from '../../../server/crypto/openbao-transit-failures.ts'
import { openRootKey } from '../../../server/crypto/root-key.ts'
import { keyProviderContract } from '../../contract/key-provider.ts'
import { makePair } from '../../support/certificates.ts'
import { type Json, type OpenBao, startOpenBao } from '../../support/openbao.ts'
import { describeWith, requirePeer } from '../../support/peers.ts'
import { pathWithSotto, temporaryDirectory } from '../../support/sotto.ts'

const storeId = '00112233445566778899aabbccddeeff'
const otherStore = 'ffeeddccbbaa99887766554433221100'

describeWith(['bao'], 'openbao-transit', () => {
  let bao: OpenBao
  let scratch: ReturnType<typeof temporaryDirectory>
  let token: string
  const rootKey = randomBytes(32)

  beforeAll(async () => {
    bao = await startOpenBao()
    await prepare(bao)
  })

  afterAll(() => bao[Symbol.asyncDispose]())

  beforeEach(async () => {
    scratch = temporaryDirectory()
    token = await tokenOf(bao)
  })

  afterEach(() => scratch[Symbol.dispose]())

  function file(name: string, text: string): string {
    const path = join(scratch.path, name)
    writeFileSync(path, text, { mode: 0o600 })
    return path
  }

  function provider(given: Partial<TransitKey> = {}, times?: TransitTimes) {
    const login = { method: 'token', token: { file: file('token', token) } } as const
    return openbaoTransitProvider(
      { key: 'sotto', url: bao.url, mount: 'transit', login, ...given },
      times,
    )
  }

  async function failure(call: Promise<unknown>): Promise<SottoError> {
    const error = await call.then(
      () => undefined,
      (reason: unknown) => reason,
    )
    expect(error).toBeInstanceOf(SottoError)
    const shown = inspect(error, { depth: Infinity, showHidden: true })
    expect(shown).not.toContain(token)
    expect(shown).not.toContain(rootKey.toString('base64'))
    expect((error as SottoError).hint).toMatch(/[.=\w"]$/)
    return error as SottoError
  }

  keyProviderContract('openbao-transit', async () => {
    const directory = temporaryDirectory()
    const path = join(directory.path, 'token')
    const own = await tokenOf(bao)
    writeFileSync(path, own, { mode: 0o600 })
    const given = {
      url: bao.url,
      mount: 'transit',
      login: { method: 'token', token: { file: path } },
    } as const
    return {
      provider: openbaoTransitProvider({ ...given, key: 'sotto' }),
      again: openbaoTransitProvider({ ...given, key: 'sotto' }),
      other: openbaoTransitProvider({ ...given, key: 'other' }),
      secrets: [Buffer.from(own)],
      [Symbol.asyncDispose]: async () => directory[Symbol.dispose](),
    }
  })

  /** What was asked of Transit since `from`, as the audit device saw it. */
  const asked = (from: number): string[] =>
    bao
      .audit()
      .slice(from)
      .filter(({ type, request }: Json) => type === 'request' && request.mount_type === 'transit')
      .map(({ request }: Json) => `${request.operation} ${request.path}`)

  describe('a call', () => {
    test('is bound to the store, shows the version of the key, and start-up makes one', async () => {
      let from = bao.audit().length
      const wrapped = await provider().wrap(rootKey, storeId)
      expect(asked(from)).toEqual(['update transit/encrypt/sotto', 'update transit/encrypt/sotto'])
      const head = Buffer.from(rootKeyBinding(storeId).bytes)
      expect(Buffer.from(wrapped.subarray(0, head.length))).toEqual(head)
      const ciphertext = Buffer.from(wrapped.subarray(head.length)).toString()
      expect(ciphertext).toMatch(/^vault:v1:/)
      // By hand: with the context that anybody can write down.
      const context = `{"application":"sotto","purpose":"root-key","format":"1","store":"${storeId}"}`
      const opened = await bao.must('POST', 'transit/decrypt/sotto', {
        ciphertext,
        context: Buffer.from(context).toString('base64'),
      })
      expect(Buffer.from(opened.data.plaintext, 'base64')).toEqual(rootKey)

      from = bao.audit().length
      const own = provider()
      const wraps = [{ provider: own.name, fingerprint: await own.fingerprint(), wrapped }]
      expect(Buffer.from((await openRootKey([own], wraps, storeId)).rootKey)).toEqual(rootKey)
      expect(asked(from)).toEqual(['update transit/decrypt/sotto'])
    })

    test('opens what an older version of the key wrapped, and wraps under the newest', async () => {
      await bao.must('POST', 'transit/keys/turning', { derived: true })
      const own = provider({ key: 'turning' })
      const old = await own.wrap(rootKey, storeId)
      await bao.must('POST', 'transit/keys/turning/rotate', {})
      const made = Buffer.from(await own.wrap(rootKey, storeId))
      expect(made.includes('vault:v2:')).toBe(true)
      expect(Buffer.from(await own.unwrap(old, storeId))).toEqual(rootKey)
      expect(Buffer.from(await own.unwrap(made, storeId))).toEqual(rootKey)
    })

    test('logs in by AppRole, and leaves no token behind', async () => {
      const { data } = await bao.must('GET', 'auth/approle/role/sotto/role-id')
      const made = await bao.must('POST', 'auth/approle/role/sotto/secret-id', {})
      const secretId = { file: file('secret-id', made.data.secret_id) }
      const login = { method: 'approle', roleId: data.role_id, secretId } as const
      const before = (await bao.must('GET', 'auth/token/accessors?list=true')).data.keys.length
      const own = provider({ login })
      expect(Buffer.from(await own.unwrap(await own.wrap(rootKey, storeId), storeId))).toEqual(
        rootKey,
      )
      const after = (await bao.must('GET', 'auth/token/accessors?list=true')).data.keys.length
      expect(after).toBe(before)
    })

    test('reaches a key in a namespace, whose fingerprint is another one', async () => {
      const inTeam = { namespace: 'team' }
      await bao.must('POST', 'sys/namespaces/team', {})
      await prepare(bao, inTeam)
      token = await tokenOf(bao, inTeam)
      const own = provider(inTeam)
      expect(Buffer.from(await own.unwrap(await own.wrap(rootKey, storeId), storeId))).toEqual(
        rootKey,
      )
      expect(await own.fingerprint()).not.toBe(await provider().fingerprint())
      expect(await provider({ mount: 'team/transit' }).fingerprint()).toBe(await own.fingerprint())
    })

    test('is named by the path of the key alone, so that OpenBao may move', async () => {
      const moved = provider({ url: 'https://elsewhere:8200' })
      expect(await moved.fingerprint()).toBe(await provider().fingerprint())
      // printf %s transit/sotto | sha256sum | cut -c 1-16
      expect(await moved.fingerprint()).toBe('bf1b31efbe4c337a')
    })
  })

  describe('the message', () => {
    const toUnwrap = `Cannot unwrap the root key of store ${storeId} with openbao-transit key "sotto" at`

    test('of a sealed one, of one that is down, and of one that was started again', async () => {
      await using raft = await startOpenBao({ storage: 'raft' })
      await prepare(raft)
      token = await tokenOf(raft)
      const own = provider({ url: raft.url })
      const wrapped = await own.wrap(rootKey, storeId)
      const text = (found: string) => `${toUnwrap} "${raft.url}": ${found}`
      await raft.seal()
      expect(await failure(own.unwrap(wrapped, storeId))).toMatchObject({
        code: 'key_missing',
        message: text('it is sealed'),
        hint: 'Unseal it: `bao operator unseal`. Nothing in it is lost.',
      })
      await raft.kill()
      expect(await failure(own.unwrap(wrapped, storeId))).toMatchObject({
        code: 'key_missing',
        message: text('it could not be reached (ECONNREFUSED)'),
        hint: 'Look whether OpenBao runs, and at the address, the network and name resolution.',
      })
      await raft.start()
      expect(await failure(own.unwrap(wrapped, storeId))).toMatchObject({
        message: text('it is sealed'),
      })
      await raft.unseal()
      expect(Buffer.from(await own.unwrap(wrapped, storeId))).toEqual(rootKey)
    })

    test('of one that was never initialised', async () => {
      const wrapped = await provider().wrap(rootKey, storeId)
      await using fresh = await startOpenBao({ initialised: false })
      const error = await failure(provider({ url: fresh.url }).unwrap(wrapped, storeId))
      expect(error.message).toMatch(/: it is not initialised$/)
      expect(error.hint).toMatch(/Look whether its storage is mounted/)
    })

    test('of a token that was revoked, and of one that expired', async () => {
      const own = provider()
      const wrapped = await own.wrap(rootKey, storeId)
      const expected = {
        code: 'key_missing',
        message: `${toUnwrap} "${bao.url}": the token was refused: it has expired, was revoked, or is not permitted this`,
        hint: 'Give a new token, or allow "update" on "transit/decrypt/sotto" in a policy of this one: see docs/guides/keys-transit.md.',
      }
      await bao.revoke(token)
      expect(await failure(own.unwrap(wrapped, storeId))).toMatchObject(expected)
      token = await bao.token({ policies: ['sotto'], ttl: '1s' })
      const brief = provider()
      // OpenBao's own clock decides, and nothing tells when it has.
      const gone = async (): Promise<boolean> =>
        (await bao.call('GET', 'auth/token/lookup-self', undefined, { token })).status === 403
      while (!(await gone())) await new Promise((resolve) => setTimeout(resolve, 50))
      expect(await failure(brief.unwrap(wrapped, storeId))).toMatchObject(expected)
    })

    test('of no permission', async () => {
      const wrapped = await provider().wrap(rootKey, storeId)
      token = await bao.token({ policies: ['default'], ttl: '1h' })
      expect(await failure(provider().unwrap(wrapped, storeId))).toMatchObject({
        code: 'key_missing',
        message: `${toUnwrap} "${bao.url}": permission denied`,
        hint: 'Allow "update" on "transit/decrypt/sotto" in a policy of the token: see docs/guides/keys-transit.md.',
      })
      const toWrap = await failure(provider().wrap(rootKey, storeId))
      expect(toWrap.message).toMatch(/: permission denied, or there is no such key$/)
      expect(toWrap.hint).toContain('"update" on "transit/encrypt/sotto"')
    })

    test('of a login that is refused, which is made once', async () => {
      const secretId = { file: file('secret-id', 'wrong') }
      const login = { method: 'approle', roleId: 'none', secretId } as const
      const from = bao.audit().length
      const error = await failure(provider({ login }).wrap(rootKey, storeId))
      expect(error.message).toMatch(
        /: the approle login at "auth\/approle" was refused: "invalid role or secret ID"$/,
      )
      expect(error.hint).toMatch(/^Look at the role id, and make a new secret id/)
      const logins = bao
        .audit()
        .slice(from)
        .filter(({ type }: Json) => type === 'request')
      expect(logins).toHaveLength(1)
    })

    test('of a token file that others can read, or that is not there', async () => {
      const path = file('open', token)
      chmodSync(path, 0o644)
      const login = { method: 'token', token: { file: path } } as const
      expect(await failure(provider({ login }).wrap(rootKey, storeId))).toMatchObject({
        code: 'key_exposed',
        message: expect.stringContaining(
          `cannot use the OpenBao token file "${path}": others than its owner have rights to it (mode 0644)`,
        ),
      })
      const none = { method: 'token', token: { file: '/none' } } as const
      expect(await failure(provider({ login: none }).wrap(rootKey, storeId))).toMatchObject({
        code: 'key_missing',
        message: expect.stringContaining(
          'cannot read the OpenBao token file "/none": there is no such file',
        ),
      })
    })

    test('of a key that was deleted, and of one of its name that was recreated', async () => {
      await bao.must('POST', 'transit/keys/going', { derived: true })
      const own = provider({ key: 'going' })
      const wrapped = await own.wrap(rootKey, storeId)
      await bao.must('POST', 'transit/keys/going/config', { deletion_allowed: true })
      await bao.must('DELETE', 'transit/keys/going')
      const gone = await failure(own.unwrap(wrapped, storeId))
      expect(gone).toMatchObject({ code: 'key_missing' })
      expect(gone.message).toMatch(/key "going" at "[^"]+": there is no such key$/)
      expect(gone.hint).toMatch(/^Look at its name: bao list transit\/keys\./)
      const denied = await failure(own.wrap(rootKey, storeId))
      expect(denied.message).toMatch(/: permission denied, or there is no such key$/)
      expect((await bao.call('GET', 'transit/keys/going')).status).toBe(404)
      await bao.must('POST', 'transit/keys/going', { derived: true })
      const other = await failure(own.unwrap(wrapped, storeId))
      expect(other.code).toBe('key_wrong')
      expect(other.message).toMatch(
        /: Transit does not open it: it was altered, or was wrapped for another store or by another key of this name$/,
      )
    })

    test('of a mount that is not there, or is another engine, to which no key goes', async () => {
      const wrapped = await provider().wrap(rootKey, storeId)
      token = bao.rootToken
      expect(await failure(provider({ mount: 'none' }).unwrap(wrapped, storeId))).toMatchObject({
        code: 'key_missing',
        message: `${toUnwrap} "${bao.url}": no Transit engine is mounted at "none"`,
        hint: expect.stringContaining('--transit-mount'),
      })
      await bao.mount('keys', 'kv', { version: '1' })
      expect(await failure(provider({ mount: 'keys' }).wrap(rootKey, storeId))).toMatchObject({
        message: expect.stringMatching(
          /: what is mounted at "keys" does not answer as Transit does$/,
        ),
      })
      const kept = await bao.must('GET', 'keys/encrypt/sotto')
      expect(kept.data).not.toHaveProperty('context')
      expect(kept.data.plaintext).not.toBe(rootKey.toString('base64'))
      expect(await failure(provider({ namespace: 'none' }).wrap(rootKey, storeId))).toMatchObject({
        message: expect.stringMatching(
          / in namespace "none" at "[^"]+": there is no such namespace$/,
        ),
      })
    })

    test('of a key that is not derived, and of one that is not for encryption', async () => {
      await bao.must('POST', 'transit/keys/plain', {})
      expect(await failure(provider({ key: 'plain' }).wrap(rootKey, storeId))).toMatchObject({
        code: 'unsafe',
        message: `Cannot wrap the root key of store ${storeId} with openbao-transit key "plain" at "${bao.url}": the key is not derived, so it would not bind the wrap to the store`,
        hint: 'A key stays as it was made. Make another: bao write -f transit/keys/NAME derived=true',
      })
      await bao.must('POST', 'transit/keys/signing', { type: 'ed25519' })
      expect(await failure(provider({ key: 'signing' }).wrap(rootKey, storeId))).toMatchObject({
        code: 'key_missing',
        message: expect.stringMatching(/: the key is not for encryption$/),
      })
    })

    test('of a version of the key that is not allowed any more', async () => {
      await bao.must('POST', 'transit/keys/trimmed', { derived: true })
      const own = provider({ key: 'trimmed' })
      const wrapped = await own.wrap(rootKey, storeId)
      await bao.must('POST', 'transit/keys/trimmed/rotate', {})
      await bao.must('POST', 'transit/keys/trimmed/config', { min_decryption_version: 2 })
      const error = await failure(own.unwrap(wrapped, storeId))
      expect(error.code).toBe('key_missing')
      expect(error.message).toMatch(
        /: the version of the key that wrapped it is not allowed any more$/,
      )
      expect(error.hint).toContain('transit/keys/trimmed/config min_decryption_version=1')
      await bao.must('POST', 'transit/keys/trimmed/config', { min_decryption_version: 1 })
      expect(Buffer.from(await own.unwrap(wrapped, storeId))).toEqual(rootKey)
    })

    test('of the wrap of another store, and of one that was altered', async () => {
      const own = provider()
      const wrapped = await own.wrap(rootKey, storeId)
      const foreign = await failure(own.unwrap(wrapped, otherStore))
      expect(foreign.code).toBe('key_wrong')
      expect(foreign.message).toContain(`it was wrapped for another store, ${storeId}`)
      // The fields in front were exchanged too: the context is what tells.
      const head = rootKeyBinding(storeId).bytes.length
      const disguised = Buffer.concat([rootKeyBinding(otherStore).bytes, wrapped.subarray(head)])
      const told = await failure(own.unwrap(disguised, otherStore))
      expect(told).toMatchObject({
        code: 'key_wrong',
        message: expect.stringContaining('or was wrapped for another store'),
      })
      const altered = Buffer.from(wrapped)
      altered[altered.length - 5]! ^= 1
      const broken = await failure(own.unwrap(altered, storeId))
      expect(broken.code).toBe('key_wrong')
      expect(broken.message).toContain('it was altered')
    })

    test('of a certificate of an unknown authority', async () => {
      const tls = makePair(['localhost'])
      await using secure = await startOpenBao({ tls })
      await prepare(secure)
      token = await tokenOf(secure)
      const caFile = file('ca.pem', tls.certificate)
      const known = provider({ url: secure.url, caFile })
      const wrapped = await known.wrap(rootKey, storeId)
      expect(Buffer.from(await known.unwrap(wrapped, storeId))).toEqual(rootKey)
      const before = secure.audit().length
      expect(await failure(provider({ url: secure.url }).unwrap(wrapped, storeId))).toMatchObject({
        code: 'key_missing',
        message: `${toUnwrap} "${secure.url}": its certificate is from an unknown authority`,
        hint: 'Give the certificate of its authority as the CA file, and the name that its certificate has. It is --transit-ca-file.',
      })
      expect(secure.audit()).toHaveLength(before)
    })

    test('of one that hangs or drops connections, within bounds', async () => {
      const wrapped = await provider().wrap(rootKey, storeId)
      for (const [hangs, found] of [
        [true, /: it did not answer within \d+ ms$/],
        [false, /: it could not be reached \(UND_ERR_SOCKET\)$/],
      ] as const) {
        await using silent = await startSilent(hangs)
        const began = performance.now()
        const own = provider({ url: silent.url }, { loginMs: 200, callMs: 400 })
        const error = await failure(own.unwrap(wrapped, storeId))
        expect(performance.now() - began).toBeLessThan(5000)
        expect(error.code).toBe('key_missing')
        expect(error.message).toMatch(found)
        expect(silent.connections).toBeLessThanOrEqual(4)
      }
    })

    test('of an address or a name that can be none', () => {
      expect(() => provider({ url: 'http://bao.example:8200' })).toThrow(
        /the root key|in the clear/,
      )
      expect(() => provider({ key: 'a/b' })).toThrow('Cannot use "a/b" as --transit-key')
      expect(() => provider({ mount: '../sys' })).toThrow('Cannot use "../sys" as --transit-mount')
    })
  })

  test('the commands in docs/guides/keys-transit.md make a store under a key, with a login by AppRole', async () => {
    await using own = await startOpenBao()
    const page = readFileSync(
      new URL('../../../docs/guides/keys-transit.md', import.meta.url),
      'utf8',
    )
    const blocks = [...page.matchAll(/<!-- run: transit -->\n```sh\n([^]*?)```/g)].map(
      ([, text]) => text,
    )
    expect(blocks).toHaveLength(2)
    file('sotto.hcl', policyOf(page))
    const keys = readFileSync(new URL('../../../docs/guides/keys.md', import.meta.url), 'utf8')
    file('recipient.txt', /public key: (\S+)/.exec(keys)?.[1] ?? '')
    const env = { ...process.env, BAO_ADDR: own.url, BAO_TOKEN: own.rootToken, HOME: scratch.path }
    const path = `${dirname(requirePeer('bao'))}:${pathWithSotto(scratch.path)}`
    const script = ['set -e', 'umask 022', ...blocks]
      .join('\n')
      .replace('https://bao.example:8200', own.url)
      .replaceAll(/\/(?:etc|var\/lib)\/sotto/g, scratch.path)
      .replace(`SOTTO_STATE_DIR=${scratch.path}`, `SOTTO_STATE_DIR=${scratch.path}/state`)
    const options = {
      cwd: scratch.path,
      env: { ...env, PATH: path },
      encoding: 'utf8',
      stdio: 'pipe',
    } as const
    const said = execFileSync('bash', ['-c', script], options)
    expect(said).toMatch(/^openbao-transit [0-9a-f]{16} proven$/m)
    expect(said).toMatch(/^recovery +[0-9a-f]{16} not tried/m)
  })

  test('the policy in docs/guides/keys-transit.md is all that is needed, and none of it can be left out', async () => {
    const page = readFileSync(
      new URL('../../../docs/guides/keys-transit.md', import.meta.url),
      'utf8',
    )
    const text = policyOf(page)
    const rules = text.match(/path "[^"]+" \{[^}]*\}/g) ?? []
    expect(rules).toHaveLength(2)
    await using own = await startOpenBao()
    await own.mount('transit', 'transit')
    await own.must('POST', 'transit/keys/sotto', { derived: true })
    const attempts = {
      encrypt: () => provider({ url: own.url }).wrap(rootKey, storeId),
      decrypt: async () => provider({ url: own.url }).unwrap(wrapped, storeId),
    }
    await own.policy('sotto', text)
    token = await own.token({ policies: ['sotto'], ttl: '1h', bare: true })
    const wrapped = await attempts.encrypt()
    expect(Buffer.from(await attempts.decrypt())).toEqual(rootKey)
    for (const left of rules) {
      await own.policy('sotto', rules.filter((rule) => rule !== left).join('\n'))
      const missing = left.includes('encrypt') ? 'encrypt' : 'decrypt'
      const rest = missing === 'encrypt' ? 'decrypt' : 'encrypt'
      expect(await failure(attempts[missing]())).toMatchObject({ code: 'key_missing' })
      await attempts[rest]()
    }
    // Each rule allows one thing, which does not make a key where there is none.
    expect([...text.matchAll(/capabilities = \[([^\]]*)\]/g)].map(([, list]) => list)).toEqual([
      '"update"',
      '"update"',
    ])
  })
})

function policyOf(page: string): string {
  return /<!-- transit policy -->\n```hcl\n([^]*?)```/.exec(page)?.[1] ?? ''
}

/** An engine with two keys, an AppRole, and the policy `sotto` for all that the tests do. */
async function prepare(bao: OpenBao, where: { namespace?: string } = {}): Promise<void> {
  await bao.mount('transit', 'transit', {}, where)
  await bao.must('POST', 'transit/keys/sotto', { derived: true }, where)
  await bao.must('POST', 'transit/keys/other', { derived: true }, where)
  await bao.policy(
    'sotto',
    'path "transit/encrypt/*" { capabilities = ["update"] }\npath "transit/decrypt/*" { capabilities = ["update"] }',
    where,
  )
  await bao.enableAuth('approle', 'approle', where)
  await bao.must(
    'POST',
    'auth/approle/role/sotto',
    { token_policies: 'sotto', token_ttl: '10m' },
    where,
  )
}

function tokenOf(bao: OpenBao, where: { namespace?: string } = {}): Promise<string> {
  return bao.token({ policies: ['sotto'], ttl: '1h', ...where })
}

/** Takes connections, and answers nothing or closes them. */
async function startSilent(hangs: boolean) {
  const sockets = new Set<Socket>()
  let connections = 0
  const server = createServer((socket) => {
    connections += 1
    sockets.add(socket)
    socket.on('error', () => {}).on('data', () => hangs || socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get connections() {
      return connections
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
