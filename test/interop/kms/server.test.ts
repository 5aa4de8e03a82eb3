/** A store under a key of AWS KMS, from `sotto init` to a server: what it prints, asks and changes. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { startServer } from '../../../server/start/server.ts'
import { withKeys } from '../../../server/start/offline.ts'
import { type FaultyKms, startFaultyKms } from '../../support/faulty-kms.ts'
import { describeWith } from '../../support/peers.ts'
import { run } from '../../support/process.ts'
import {
  type Finished,
  pathWithSotto,
  runSotto,
  startSotto,
  temporaryDirectory,
} from '../../support/sotto.ts'
import { credentials, type Moto, startMoto } from './moto.ts'
import { recordingLogger } from '../../support/logger.ts'

describeWith(['kms-python'], 'a store under AWS KMS', () => {
  let moto: Moto
  let kms: FaultyKms
  let arn: string
  let scratch: ReturnType<typeof temporaryDirectory>
  let state: string

  beforeAll(async () => {
    moto = await startMoto()
    arn = await moto.createKey()
  })

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
      stdout: expect.stringMatching(
        /^store .*\/sotto\.db\nkey aws-kms [0-9a-f]{16}\nroot [0-9a-f]{32}\n$/,
      ),
    })
    expect(operations()).toEqual(['Encrypt', 'Decrypt'])
    expect(readdirSync(state)).not.toContain('local.key')
    const checked = await sotto('key', 'check')
    expect(checked.stdout).toMatch(/\naws-kms {2}[0-9a-f]{16} proven\n$/)
    expect(operations()).toEqual(['Encrypt', 'Decrypt', 'Decrypt'])
    const doctor = await sotto('doctor')
    expect(doctor.stdout).toMatch(/^ok +key +aws-kms key [0-9a-f]{16} opens the store$/m)
    expect(doctor.stdout).not.toContain('key file')
    const bare = await runSotto(['key', 'check', '--state-dir', state])
    expect(bare.stderr).toMatch(/^sotto: No key that opens the store is available\nhint: /)
    const shown = (await sotto('key', 'status')).stdout
    expect(shown).toMatch(/\naws-kms {2}[0-9a-f]{16} \S{24} \S{24}\n/)
    // doctor opens the store with the key, and proves it.
    expect(operations()).toHaveLength(5)
  })

  test('is made by the commands in docs/guides/keys-kms.md', async () => {
    const [page = '', keys = ''] = ['keys-kms', 'keys'].map((name) =>
      readFileSync(new URL(`../../../docs/guides/${name}.md`, import.meta.url), 'utf8'),
    )
    const [, block = ''] = /<!-- run: kms -->\n```sh\n([^]*?)```/.exec(page) ?? []
    const [, recipient = ''] = /public key: (\S+)/.exec(keys) ?? []
    writeFileSync(join(scratch.path, 'recipient.txt'), recipient)
    const script = block.replace('/var/lib/sotto', state).replace(/arn:aws:kms:\S+/, arn)
    const { code, stdout, stderr } = await run('bash', ['-es'], {
      cwd: scratch.path,
      environment: {
        ...process.env,
        ...credentials,
        SOTTO_KMS_ENDPOINT: kms.url,
        PATH: pathWithSotto(scratch.path),
      },
      input: script,
    })
    expect(code, stderr).toBe(0)
    expect(stdout).toMatch(/^aws-kms +[0-9a-f]{16} proven$/m)
    expect(stdout).toMatch(/^recovery +[0-9a-f]{16} not tried/m)
  })

  test('V10: is tried on a development server, as docs/guides/keys-kms.md has it', async () => {
    const page = readFileSync(new URL('../../../docs/guides/keys-kms.md', import.meta.url), 'utf8')
    const [, block = ''] =
      /<!-- run: kms try -->\n```sh\nsotto server ([^]*?)\n```/.exec(page) ?? []
    const args = block
      .replace(/arn:aws:kms:\S+/, arn)
      .split(' ')
      .slice(1)
    expect(args).toEqual(['--kms-key', arn])
    const server = await startSotto({
      args: [...args, '--kms-endpoint', kms.url],
      env: credentials,
    })
    try {
      expect(operations()).toEqual(['Encrypt', 'Decrypt', 'Decrypt'])
      const saved = await runSotto(['-s', server.url, 'put', 'a'], { input: 'value' })
      expect(saved.code, saved.stderr).toBe(0)
      const got = await runSotto(['-s', server.url, 'get', 'a'])
      expect([got.stdout, operations().length]).toEqual(['value', 3])
    } finally {
      await server.stop()
    }
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
      return { said, server: startServer(config, { logger: recordingLogger(said) }) }
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
      expect(said).toContainEqual(
        expect.stringMatching(/^info: the store was opened with aws-kms key /),
      )
    })

    test('with the next key when KMS hangs, within bounds', async () => {
      await makeStore()
      kms.fail({ kind: 'hang' }, 100)
      const began = performance.now()
      const { said, server } = start()
      await (await server).stop()
      expect(performance.now() - began).toBeLessThan(25_000)
      expect(said).toContainEqual(
        expect.stringMatching(/^warn: a key did not open the store: .* KMS could not be reached/),
      )
      expect(said).toContainEqual(
        expect.stringMatching(/^info: the store was opened with local key /),
      )
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
