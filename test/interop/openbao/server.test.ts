/** A store under a key of OpenBao Transit, from `sotto init` to a server: what it prints, asks and changes. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startServer } from '../../../server/start/server.ts'
import { type Json, type OpenBao, startOpenBao } from '../../support/openbao.ts'
import { describeWith } from '../../support/peers.ts'
import { type Finished, runSotto, temporaryDirectory } from '../../support/sotto.ts'
import { recordingLogger } from '../../support/logger.ts'

describeWith(['bao'], 'a store under OpenBao Transit', () => {
  let bao: OpenBao
  let scratch: ReturnType<typeof temporaryDirectory>
  let state: string
  let login: Record<string, string>
  let roleId: string
  let from: number

  beforeAll(async () => {
    bao = await startOpenBao()
    await bao.mount('transit', 'transit')
    await bao.must('POST', 'transit/keys/sotto', { derived: true })
    await bao.must('POST', 'transit/keys/second', { derived: true })
    await bao.policy(
      'sotto',
      'path "transit/+/+" { capabilities = ["update"] }\npath "transit/keys/*" { capabilities = ["deny"] }',
    )
    await bao.enableAuth('approle', 'approle')
    await bao.must('POST', 'auth/approle/role/sotto', { token_policies: 'sotto', token_ttl: '5m' })
    roleId = (await bao.must('GET', 'auth/approle/role/sotto/role-id')).data.role_id
  })

  afterAll(() => bao[Symbol.asyncDispose]())

  beforeEach(async () => {
    scratch = temporaryDirectory()
    state = join(scratch.path, 'state')
    const made = await bao.must('POST', 'auth/approle/role/sotto/secret-id', {})
    const path = join(scratch.path, 'secret-id')
    writeFileSync(path, made.data.secret_id, { mode: 0o600 })
    login = {
      SOTTO_TRANSIT_AUTH: 'approle',
      SOTTO_TRANSIT_ROLE_ID: roleId,
      SOTTO_TRANSIT_SECRET_ID_FILE: path,
    }
    from = bao.audit().length
  })

  afterEach(() => scratch[Symbol.dispose]())

  /** The command line as a person types it, with the key at hand. */
  const sotto = (...args: string[]): Promise<Finished> =>
    runSotto(args, {
      env: {
        SOTTO_STATE_DIR: state,
        SOTTO_TRANSIT_KEY: 'sotto',
        SOTTO_TRANSIT_URL: bao.url,
        ...login,
      },
    })

  /** What OpenBao was asked since the test began, and with whose token. */
  const asked = (): string[] =>
    bao
      .audit()
      .slice(from)
      .filter(({ type, auth }: Json) => type === 'request' && !auth.policies?.includes('root'))
      .map(({ request }: Json) => request.path)

  const [encrypt, decrypt] = ['transit/encrypt/sotto', 'transit/decrypt/sotto']
  const session = (...calls: string[]): string[] => [
    'auth/approle/login',
    ...calls,
    'auth/token/revoke-self',
  ]

  test('is made, proven at once, and told by the commands for keys', async () => {
    const made = await sotto('init')
    expect(made).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(
        /^store .*\/sotto\.db\nkey openbao-transit bf1b31efbe4c337a\nroot [0-9a-f]{32}\n$/,
      ),
      stderr:
        'The key of OpenBao Transit opens the store at every start. If it is deleted, the store can only be opened with another key: see `sotto help key add`.\n',
    })
    expect(asked()).toEqual([...session(encrypt, encrypt), ...session(decrypt)])
    expect(readdirSync(state)).not.toContain('local.key')
    const checked = await sotto('key', 'check')
    expect(checked.stdout).toMatch(/\nopenbao-transit bf1b31efbe4c337a proven\n$/)
    expect(asked().slice(-3)).toEqual(session(decrypt))
    const doctor = await sotto('doctor')
    expect(doctor.stdout).toMatch(/^ok +key +openbao-transit key [0-9a-f]{16} opens the store$/m)
    expect(doctor.stdout).not.toContain('key file')
    const file = join(scratch.path, 'local.key')
    const bare = ['key', 'add', 'local', '--new-key-file', file, '--state-dir', state]
    expect((await runSotto(bare)).stderr).toContain(
      'With its key of OpenBao Transit: --transit-key NAME',
    )
  })

  test('is not made when OpenBao cannot be used', async () => {
    login['SOTTO_TRANSIT_ROLE_ID'] = 'none'
    const refused = await sotto('init')
    expect(refused.code).toBe(1)
    expect(refused.stderr).toMatch(
      /^sotto: Cannot wrap the root key of store [0-9a-f]{32} with openbao-transit key "sotto" at "[^"]+": the approle login at "auth\/approle" was refused: "invalid role or secret ID"\nhint: Look at the role id/,
    )
    expect(readdirSync(state).filter((name) => !name.startsWith('lock'))).toEqual([])
  })

  test('has keys added and removed, the last of them never', async () => {
    await sotto('init')
    const file = join(scratch.path, 'local.key')
    expect(await sotto('key', 'add', 'local', '--new-key-file', file)).toMatchObject({ code: 0 })
    const add = ['key', 'add', 'openbao-transit', '--new-transit-key', 'second']
    expect(await sotto(...add)).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^Added openbao-transit key [0-9a-f]{16}\n$/),
    })
    expect(
      await sotto('key', 'remove', 'bf1b31efbe4c337a', '--transit-key', 'second'),
    ).toMatchObject({ code: 0 })
    expect(await sotto('key', 'remove', 'local', '--transit-key', 'second')).toMatchObject({
      code: 0,
    })
    const last = await sotto('key', 'remove', 'openbao-transit', '--transit-key', 'second')
    expect(last.stderr).toMatch(/it is the last one/)
  })

  test('has its root key wrapped again after the key was rotated, and needs the old one no more', async () => {
    await bao.must('POST', 'transit/keys/turned', { derived: true })
    const key = ['--transit-key', 'turned']
    expect(await sotto('init', ...key)).toMatchObject({ code: 0 })
    await bao.must('POST', 'transit/keys/turned/rotate', {})
    expect(await sotto('key', 'check', ...key)).toMatchObject({ code: 0 })
    from = bao.audit().length
    const done = await sotto('key', 'rewrap', 'openbao-transit', ...key)
    expect(done).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(
        /^Re-wrapped the root key with openbao-transit key [0-9a-f]{16}\n$/,
      ),
    })
    const turned = asked().filter((path) => path.startsWith('transit/'))
    expect(turned.map((path) => path.replace('turned', 'sotto'))).toEqual([
      decrypt,
      encrypt,
      encrypt,
      decrypt,
    ])
    await bao.must('POST', 'transit/keys/turned/config', { min_decryption_version: 2 })
    expect(await sotto('key', 'check', ...key)).toMatchObject({ code: 0 })
    // A wrap that was left as it is would be lost now.
    await bao.must('POST', 'transit/keys/turned/rotate', {})
    await bao.must('POST', 'transit/keys/turned/config', { min_decryption_version: 3 })
    const late = await sotto('key', 'rewrap', ...key)
    expect(late).toMatchObject({ code: 1, stdout: '' })
    await bao.must('POST', 'transit/keys/turned/config', { min_decryption_version: 2 })
    expect(await sotto('key', 'check', ...key)).toMatchObject({ code: 0 })
  })

  describe('starts', () => {
    const start = (url = bao.url, keyFile?: string) => {
      const said: string[] = []
      const secretId = { file: login['SOTTO_TRANSIT_SECRET_ID_FILE'] ?? '' }
      const config = {
        dev: true,
        tailnet: undefined,
        stateDir: state,
        keyFile,
        transit: {
          key: 'sotto',
          mount: 'transit',
          url,
          login: { method: 'approle', roleId, secretId },
        },
        listen: { host: '127.0.0.1', port: 0 },
      } as const
      return { said, server: startServer(config, { logger: recordingLogger(said) }) }
    }

    /** A development store, which needs no tailnet, with a wrap by Transit beside its local key. */
    async function makeStore(): Promise<void> {
      await (await start().server).stop()
      const file = join(state, 'local.key')
      expect(await sotto('key', 'add', 'local', '--new-key-file', file)).toMatchObject({ code: 0 })
      from = bao.audit().length
    }

    test('with OpenBao, once asked, however many requests follow', async () => {
      await makeStore()
      const { said, server } = start()
      const running = await server
      const headers = { 'content-type': 'application/json', 'sec-x-tailscale-no-browsers': 'setec' }
      const call = async (method: string, body: object): Promise<number> =>
        (
          await fetch(`${running.url}/api/${method}`, {
            method: 'POST',
            headers,
            body: JSON.stringify(body),
          })
        ).status
      for (const Value of ['MQ==', 'Mg==']) {
        expect(await call('put', { Name: 'a', Value })).toBe(200)
        expect(await call('get', { Name: 'a' })).toBe(200)
      }
      expect(asked()).toEqual(session(decrypt))
      // A rotation asks once more.
      expect(await call('key-rotate', {})).toBe(200)
      expect(asked()).toEqual([...session(decrypt), ...session(decrypt)])
      expect(await call('get', { Name: 'a' })).toBe(200)
      await running.stop()
      expect(said).toContain('info: the store was opened with openbao-transit key bf1b31efbe4c337a')
    })

    test('with the next key when OpenBao is sealed or down, and says which', async () => {
      await using other = await startOpenBao()
      await makeStore()
      await other.seal()
      for (const found of ['it is sealed', 'it could not be reached (ECONNREFUSED)']) {
        const { said, server } = start(other.url)
        await (await server).stop()
        expect(said).toContainEqual(
          expect.stringMatching(
            /^warn: a key did not open the store: Cannot unwrap .* with openbao-transit key "sotto" at /,
          ),
        )
        expect(said).toContainEqual(expect.stringMatching(new RegExp(`: ${RegExp.escape(found)}$`)))
        expect(said).toContainEqual(
          expect.stringMatching(/^info: the store was opened with local key /),
        )
        await other.kill()
      }
    })

    test('not at all when no key answers, and changes nothing', async () => {
      await makeStore()
      expect(await sotto('key', 'remove', 'local')).toMatchObject({ code: 0 })
      const before = readFileSync(join(state, 'sotto.db'))
      await using other = await startOpenBao({ initialised: false })
      await expect(start(other.url).server).rejects.toMatchObject({
        code: 'key_missing',
        message: expect.stringMatching(/: it is not initialised$/),
        hint: expect.stringContaining('Look whether its storage is mounted'),
      })
      expect(readFileSync(join(state, 'sotto.db')).equals(before)).toBe(true)
    })
  })
})
