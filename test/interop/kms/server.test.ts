/** A store under a key of AWS KMS, from `sotto init` to a server: what it prints, asks and changes. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { startServer } from '../../../server/start/server.ts'
import { withKeys } from '../../../server/start/offline.ts'
import { type FaultyKms, startFaultyKms } from '../../support/faulty-kms.ts'
import { describeWith } from '../../support/peers.ts'
import { type Finished, runSotto, temporaryDirectory } from '../../support/sotto.ts'
import { credentials, type Moto, startMoto } from './moto.ts'

describeWith(['kms-python'], 'a store under AWS KMS', () => {
  let moto: Moto
  let kms: FaultyKms
  let arn: string
  let scratch: ReturnType<typeof temporaryDirectory>
  let state: string

  beforeAll(async () => {
    moto = await startMoto()
    arn = await moto.createKey()
  }, 90_000)

  afterAll(() => moto[Symbol.asyncDispose]())

  beforeEach(async () => {
    for (const [name, value] of Object.entries(credentials)) vi.stubEnv(name, value)
    kms = await startFaultyKms(moto.url)
    scratch = temporaryDirectory()
    state = join(scratch.path, 'state')
  })

  afterEach(async () => {
    vi.unstubAllEnvs()
    scratch[Symbol.dispose]()
    await kms[Symbol.asyncDispose]()
  })

  /** The command line as a person types it, with the key at hand. */
  const sotto = (...args: string[]): Promise<Finished> =>
    runSotto(args, {
      env: {
        ...credentials,
        SOTTO_STATE_DIR: state,
        SOTTO_KMS_KEY: arn,
        SOTTO_KMS_ENDPOINT: kms.url,
      },
    })

  const operations = (): string[] => kms.calls.map(({ operation }) => operation)

  test('is made, proven at once, and asked for once a start and never for a request', async () => {
    const made = await sotto('init')
    expect(made).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^store .*\/sotto\.db\nkey aws-kms [0-9a-f]{16}\n$/),
    })
    expect(operations()).toEqual(['Encrypt', 'Decrypt'])
    expect(readdirSync(state)).not.toContain('local.key')
    const checked = await sotto('key', 'check')
    expect(checked.stdout).toMatch(/\naws-kms {2}[0-9a-f]{16} proven\n$/)
    expect(operations()).toEqual(['Encrypt', 'Decrypt', 'Decrypt'])
    const doctor = await sotto('doctor')
    expect(doctor.stdout).toContain(`AWS KMS key "${arn}" is named`)
    expect(doctor.stdout).not.toContain('key file')
    const bare = await runSotto(['key', 'check', '--state-dir', state])
    expect(bare.stderr).toMatch(/^sotto: No key that opens the store is available\nhint: /)
    const shown = (await sotto('key', 'status')).stdout
    expect(shown).toMatch(/\naws-kms {2}[0-9a-f]{16} \S{24} \S{24}\n/)
    expect(operations()).toHaveLength(3)
  })

  test('is not made when KMS cannot unwrap what it wrapped', async () => {
    kms.fail(
      { kind: 'error', type: 'AccessDeniedException', message: 'no kms:Decrypt' },
      9,
      'Decrypt',
    )
    const refused = await sotto('init')
    expect(refused.code).toBe(1)
    expect(refused.stderr).toContain('no permission: "no kms:Decrypt"')
    expect(readdirSync(state).filter((name) => !name.startsWith('lock'))).toEqual([])
    await kms[Symbol.asyncDispose]()
    kms = await startFaultyKms(moto.url)
    expect((await sotto('init')).code).toBe(0)
  })

  test('has keys added and removed, the last of them never', async () => {
    await sotto('init')
    const file = join(scratch.path, 'local.key')
    expect((await sotto('key', 'add', 'local', '--new-key-file', file)).code).toBe(0)
    const second = await moto.createKey()
    const added = await sotto('key', 'add', 'aws-kms', '--new-kms-key', second)
    expect(added).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Added aws-kms key /) })
    const [, fingerprint = ''] = /key (\w+)/.exec(added.stdout) ?? []
    expect((await sotto('key', 'remove', fingerprint)).code).toBe(0)
    expect(await sotto('key', 'remove', 'local')).toMatchObject({ code: 0 })
    expect((await sotto('key', 'remove', 'aws-kms')).stderr).toMatch(/it is the last one/)
    expect(await sotto('key', 'add', 'aws-kms')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/it opens the store already\n$/),
    })
  })

  describe('starts', () => {
    const bytes = (): Record<string, string> =>
      Object.fromEntries(
        readdirSync(state)
          .filter((name) => name === 'sotto.db')
          .map((name) => [name, readFileSync(join(state, name)).toString('base64')]),
      )

    const start = (keyFile?: string) => {
      const said: string[] = []
      const config = {
        dev: true,
        tailnet: undefined,
        stateDir: state,
        keyFile,
        awsKms: { key: arn, endpoint: kms.url },
        listen: { host: '127.0.0.1', port: 0 },
      } as const
      return { said, server: startServer(config, { say: (line) => said.push(line) }) }
    }

    /** A development store, which needs no tailnet, with a wrap by KMS beside its local key. */
    async function makeStore(): Promise<void> {
      await (await start().server).stop()
      const made = await withKeys(
        { stateDir: state, keyFile: undefined, awsKms: { key: arn, endpoint: kms.url } },
        { operator: 'test' },
        ({ wraps }) => wraps.status(),
      )
      expect(made.map(({ provider }) => provider)).toEqual(['aws-kms'])
      const file = join(state, 'local.key')
      expect(await sotto('key', 'add', 'local', '--new-key-file', file)).toMatchObject({ code: 0 })
    }

    test('with KMS, once asked, however many requests follow', async () => {
      await makeStore()
      const asked = kms.calls.length
      const { said, server } = start()
      const running = await server
      for (const value of ['MQ==', 'Mg==']) {
        const headers = {
          'content-type': 'application/json',
          'sec-x-tailscale-no-browsers': 'setec',
        }
        const call = (method: string, body: object): Promise<Response> =>
          fetch(`${running.url}/api/${method}`, {
            method: 'POST',
            headers,
            body: JSON.stringify(body),
          })
        expect((await call('put', { Name: 'a', Value: value })).status).toBe(200)
        expect((await call('get', { Name: 'a' })).status).toBe(200)
      }
      await running.stop()
      expect(operations().slice(asked)).toEqual(['Decrypt'])
      expect(said).toContainEqual(expect.stringMatching(/^the store was opened with aws-kms key /))
    })

    test('with the next key when KMS hangs, within bounds', async () => {
      await makeStore()
      kms.fail({ kind: 'hang' }, 100)
      const began = performance.now()
      const { said, server } = start()
      await (await server).stop()
      expect(performance.now() - began).toBeLessThan(25_000)
      expect(said).toContainEqual(
        expect.stringMatching(/^a key did not open the store: .* KMS could not be reached/),
      )
      expect(said).toContainEqual(expect.stringMatching(/^the store was opened with local key /))
    })

    test('not at all when no key answers, and changes nothing', async () => {
      await makeStore()
      expect(await sotto('key', 'remove', 'local')).toMatchObject({ code: 0 })
      const before = bytes()
      kms.fail({ kind: 'error', type: 'DisabledException' }, 100)
      await expect(start().server).rejects.toMatchObject({
        code: 'key_missing',
        message: expect.stringMatching(/: the key is disabled$/),
      })
      expect(bytes()).toEqual(before)
    })
  })
})
