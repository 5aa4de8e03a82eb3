/** Programs that others wrote for Vault and OpenBao read a server through its surface, by docs/guides/vault-clients.md. */
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { examplesIn, filesIn, runExamples } from '../../support/console.ts'
import { ISSUER, type Kubernetes, startKubernetes } from '../../support/kubernetes.ts'
import { describeWith, requirePeer } from '../../support/peers.ts'
import { bytes, everything, type Service, startService } from '../../support/service.ts'
import { temporaryDirectory } from '../../support/sotto.ts'
import { readJson } from '../readers/programs.ts'

const run = promisify(execFile)
const guide = readFileSync(
  new URL('../../../docs/guides/vault-clients.md', import.meta.url),
  'utf8',
)
const readers = join(import.meta.dirname, '../readers')

const values = {
  'prod/db': '{"username":"app","password":"p4ss","port":5432}',
  'prod/token': 'a token\nof two lines',
  other: 'hidden',
}

/** A server whose caller from 127.0.0.1 reads `prod/*`. */
async function start(options: Parameters<typeof startService>[1] = {}): Promise<Service> {
  const rules = [{ action: ['get', 'info'], secret: ['prod/*'] }]
  const nodes = {
    '127.0.0.1': { name: 'reader', tags: ['tag:external-secrets'], rules },
    '127.0.0.2': { name: 'root', user: 'root@example.com', rules: [everything] },
  }
  const vault = [
    { name: 'secret', prefix: '' },
    { name: 'secret-prod', prefix: 'prod/' },
  ]
  const service = await startService({}, { vault, tailnet: { nodes }, ...options })
  const root = service.client('127.0.0.2')
  for (const [name, value] of Object.entries(values)) await root.put(name, bytes(value))
  return service
}

/** The text of the guide with the address of a test. */
const shown = (text: string, { vaultUrl }: Service): string =>
  text.replaceAll('https://sotto.example.ts.net:8200', vaultUrl)

describeWith(['readers-python', 'readers-node'], 'libraries', () => {
  let service: Service
  beforeAll(async () => {
    service = await start()
  })
  afterAll(() => service?.[Symbol.asyncDispose]())

  test.each([
    ['hvac', 'readers-python', 'hvac_read.py'],
    ['node-vault', 'readers-node', 'node_vault_read.cjs'],
  ] as const)('%s reads and lists, with a token that means nothing', async (_, peer, script) => {
    const env = { PATH: process.env['PATH'], HOME: readers, VAULT_TOKEN: 'none' }
    const program = requirePeer(peer)
    const read = (...args: string[]) =>
      readJson(program, [join(readers, script), service.vaultUrl, ...args], env)
    expect(await read('secret', 'prod/db', 'prod/token', 'prod/')).toEqual({
      'prod/db': { username: 'app', password: 'p4ss', port: 5432 },
      'prod/token': { value: 'a token\nof two lines' },
      'prod/': ['db', 'token'],
    })
    await expect(read('secret', 'other')).rejects.toThrow(/permission denied|403/)
    await expect(read('secret', 'prod/none')).rejects.toThrow(/InvalidPath|404/)
  })

  test.each([
    ['readers-python', 'app.py', "p4ss\n['db', 'token']\n"],
    ['readers-node', 'app.cjs', "p4ss\n[ 'db', 'token' ]\n"],
  ] as const)('%s runs the program of the guide', async (peer, file, printed) => {
    using scratch = temporaryDirectory()
    const path = join(scratch.path, file)
    writeFileSync(path, shown(filesIn(guide).get(file) ?? '', service))
    const { stdout } = await run(requirePeer(peer), [path])
    expect(stdout).toBe(printed)
  })
})

describeWith(['bao'], 'the command line of OpenBao', () => {
  test('does what the guide shows, and cannot write', async () => {
    await using service = await start()
    using scratch = temporaryDirectory()
    const program = requirePeer('bao')
    const env = { PATH: `${dirname(program)}:${process.env['PATH']}`, HOME: scratch.path }
    const replace = (text: string): string => shown(text, service)
    const examples = examplesIn(guide, 'vault-clients')
    const printed = await runExamples(examples, { cwd: scratch.path, env, replace })
    expect(printed).toEqual(examples.map(({ expected }) => expected))
    const bao = { ...env, BAO_ADDR: service.vaultUrl, BAO_TOKEN: 'none' }
    const json = (...args: string[]) => readJson(program, args, bao)
    const get = ['kv', 'get', '-format=json', '-mount=secret']
    expect(await json(...get, 'prod/db')).toMatchObject({
      data: { data: { username: 'app', port: 5432 }, metadata: { version: 1 } },
    })
    await service.client('127.0.0.2').put('prod/db', bytes('{"username":"next"}'))
    await service.client('127.0.0.2').activate('prod/db', 2)
    expect(await json(...get, 'prod/db')).toMatchObject({ data: { data: { username: 'next' } } })
    expect(await json(...get, '-version=1', 'prod/db')).toMatchObject({
      data: { data: { username: 'app' }, metadata: { version: 1 } },
    })
    expect(await json('kv', 'list', '-format=json', '-mount=secret', 'prod')).toEqual([
      'db',
      'token',
    ])
    expect(await json('token', 'lookup', '-format=json')).toMatchObject({ data: { id: 'tailnet' } })
    expect(await json('status', '-format=json')).toMatchObject({ sealed: false })
    const fails = (...args: string[]): Promise<string> =>
      run(program, args, { env: bao }).then(
        () => 'allowed',
        ({ stderr }: { stderr: string }) => stderr,
      )
    expect(await fails(...get, 'prod/none')).toMatch(/No value found/)
    expect(await fails(...get, 'other')).toMatch(/permission denied/)
    expect(await fails('kv', 'put', '-mount=secret', 'prod/db', 'a=b')).toMatch(/405/)
    expect(await fails('kv', 'patch', '-mount=secret', 'prod/db', 'a=b')).toMatch(/405/)
    expect(await fails('kv', 'delete', '-mount=secret', 'prod/db')).toMatch(/405/)
    expect(await fails('kv', 'metadata', 'delete', '-mount=secret', 'prod/db')).toMatch(/405/)
    expect(await fails('kv', 'destroy', '-mount=secret', '-versions=1', 'prod/db')).toMatch(/404/)
  }, 60_000)
})

describeWith(['external-secrets'], 'External Secrets', () => {
  let kubernetes: Kubernetes
  let scratch: ReturnType<typeof temporaryDirectory>
  beforeAll(async () => {
    scratch = temporaryDirectory()
    kubernetes = await startKubernetes()
    writeFileSync(join(scratch.path, 'kubeconfig'), kubernetes.config)
    writeFileSync(join(scratch.path, 'keys.json'), kubernetes.keys)
  })
  afterAll(async () => {
    await kubernetes?.[Symbol.asyncDispose]()
    scratch[Symbol.dispose]()
  })

  /** What the operator makes of manifests: of each ExternalSecret the values, or why not. */
  async function reconcile(manifests: string) {
    const program = requirePeer('external-secrets')
    const running = run(program, [join(dirname(program), '../external-secrets')], {
      env: { KUBECONFIG: join(scratch.path, 'kubeconfig') },
    })
    running.child.stdin?.end(manifests)
    return JSON.parse((await running).stdout) as Record<string, { data?: object; error?: string }>
  }

  const [plain = ''] = manifestsIn('vault-clients')
  const [, wanted = ''] = plain.split('---\n')
  const [proven = ''] = manifestsIn('vault-clients accounts')
  const data = {
    username: base64('app'),
    password: base64('p4ss'),
    port: base64('5432'),
  }

  test('reads without a login, by the manifests of the guide', async () => {
    await using service = await start()
    expect(await reconcile(shown(plain, service))).toEqual({ db: { data } })
    const others = shown(plain, service).replace('key: db', 'key: none')
    expect((await reconcile(others))['db']).toMatchObject({ missing: true })
    const folder = wanted.replace('extract: {key: db}', 'find: {name: {regexp: ".*"}}')
    const [store = ''] = plain.split('---\n')
    const found = (await reconcile(shown(`${store}---\n${folder}`, service)))['db']
    expect(Object.keys(found?.data ?? {}).toSorted()).toEqual(['db', 'token'])
  })

  test('logs in as a service account at a shared node, and reads what that may', async () => {
    const factor = {
      issuer: ISSUER,
      keys: join(scratch.path, 'keys.json'),
      accounts: new Map([
        ['app/reader', ['prod/db']],
        ['bank/reader', ['prod/bank/*']],
      ]),
      shared: ['tag:external-secrets'],
    }
    await using service = await start({ factor })
    const refused = (await reconcile(shown(plain, service)))['db']?.error
    expect(refused).toMatch(/permission denied|403/)
    const manifests = shown(`${proven}---\n${wanted}`, service)
    expect(await reconcile(manifests)).toEqual({ db: { data } })
    const bank = manifests.replaceAll('namespace: app', 'namespace: bank')
    expect((await reconcile(bank))['db']?.error).toMatch(/permission denied/)
    const cluster = manifests.replace('audiences: [sotto]', 'audiences: [kubernetes]')
    expect((await reconcile(cluster))['db']?.error).toMatch(/403/)
    const reads = service.records().filter(({ via, result }) => via === 'vault' && result === 'ok')
    expect(new Set(reads.map(({ account }) => account))).toEqual(new Set(['app/reader']))
  })
})

/** What the guide shows under that mark. */
function manifestsIn(mark: string): string[] {
  const marked = new RegExp(`<!-- manifests: ${mark} -->\\n\`\`\`\\w+\\n([\\s\\S]*?)\`\`\``, 'g')
  return [...guide.matchAll(marked)].map(([, text = '']) => text)
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}
