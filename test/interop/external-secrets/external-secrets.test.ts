/**
 * External Secrets reads what a server mirrors to a real OpenBao, and reads and writes at a server, by the
 * manifests and commands of docs/guides/external-secrets.md.
 */
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { readBackends } from '../../../cli/handlers/backend-file.ts'
import { makePair } from '../../support/certificates.ts'
import { filesIn } from '../../support/console.ts'
import { type Kubernetes, startKubernetes } from '../../support/kubernetes.ts'
import { type OpenBao, startOpenBao } from '../../support/openbao.ts'
import { describeWith, requirePeer } from '../../support/peers.ts'
import { bytes, everything, type Service, startService } from '../../support/service.ts'
import { temporaryDirectory } from '../../support/sotto.ts'
import { prepare } from '../backends/fixture.ts'

const run = promisify(execFile)
const pageOf = (name: string): string =>
  readFileSync(new URL(`../../../docs/guides/${name}`, import.meta.url), 'utf8')
const document = pageOf('external-secrets.md')

/** What came of a resource; values of a Secret as text. */
interface Outcome {
  readonly data?: Readonly<Record<string, string>>
  readonly error?: string
  readonly missing?: boolean
}

type Outcomes = Readonly<Record<string, Outcome>>

describeWith(['external-secrets', 'bao'], 'External Secrets', () => {
  let kubernetes: Kubernetes
  let scratch: ReturnType<typeof temporaryDirectory>

  beforeAll(async () => {
    scratch = temporaryDirectory()
    kubernetes = await startKubernetes()
    writeFileSync(join(scratch.path, 'kubeconfig'), kubernetes.config)
  })

  afterAll(async () => {
    await kubernetes?.[Symbol.asyncDispose]()
    scratch[Symbol.dispose]()
  })

  /** What the operator makes of manifests. */
  async function reconcile(...manifests: readonly string[]): Promise<Outcomes> {
    const program = requirePeer('external-secrets')
    const definitions = join(dirname(program), '../external-secrets')
    const running = run(program, [definitions], {
      env: { KUBECONFIG: join(scratch.path, 'kubeconfig') },
    })
    running.child.stdin?.end(manifests.join('\n---\n'))
    const outcomes = JSON.parse((await running).stdout) as Outcomes
    return Object.fromEntries(
      Object.entries(outcomes).map(([name, { data, ...rest }]) => [
        name,
        { ...(data && { data: mapValues(data, decoded) }), ...rest },
      ]),
    )
  }

  describe('through a mirror', () => {
    let bao: OpenBao
    let service: Service

    beforeAll(async () => {
      bao = await startOpenBao()
      await prepare(bao)
      await followCommands(bao)
      service = await startService({}, { backendOrigins: [bao.url] })
      const client = service.client()
      await client.put('backends/vault', bytes(await bao.token({ policies: ['least'] })))
      for (const [name, value] of Object.entries(values)) {
        await client.put(name, Buffer.from(value))
      }
      const [spec] = readBackends(shown(backendFile()), 'vault.yaml')
      await client.operate('backend-apply', spec!)
      await sync()
    })

    afterAll(async () => {
      await service?.[Symbol.asyncDispose]()
      await bao?.[Symbol.asyncDispose]()
    })

    const values = {
      'prod/app/db': '{"username":"app","password":"p<w>&1 ü","port":5432,"ratio":1.5,"tls":true}',
      'prod/app/token': 'a token\nof two lines',
      'prod/app/keystore': Buffer.from([0, 255, 254, 10]),
      'prod/app/empty': '',
      'prod/app/ä b/=': 'encoded',
      'prod/other/token': 'of others',
    }

    /** The commands of the document, run by a shell. */
    async function followCommands({ url, rootToken }: OpenBao): Promise<void> {
      const write = (name: string, text: string): void =>
        writeFileSync(join(scratch.path, name), text)
      write('app-reader.hcl', block('policy'))
      write('kubernetes.crt', makePair(['localhost']).certificate)
      write('reviewer.jwt', kubernetes.token('kube-system', 'reviewer'))
      await run('bash', ['-euc', shown(block('run: external-secrets'))], {
        cwd: scratch.path,
        env: {
          PATH: `${dirname(requirePeer('bao'))}:${process.env['PATH']}`,
          HOME: scratch.path,
          BAO_ADDR: url,
          BAO_TOKEN: rootToken,
        },
      })
    }

    async function sync(): Promise<void> {
      const client = service.client()
      let ended = await client.operate('mirror-sync', { AcceptMount: false })
      while (ended.Running) {
        ended = await client.operate('job-run', { Name: 'mirror', Started: ended.LastStart ?? '' })
      }
      expect(ended.LastResult).toBe('ok')
    }

    /** The document's text with the addresses of this test. */
    function shown(text: string): string {
      return text
        .replaceAll('https://bao.example.com:8200', bao.url)
        .replaceAll('https://kubernetes.example.com:6443', kubernetes.url)
    }

    const store = (): string => shown(block('manifests: mirror'))

    /** The outcome of one entry, by the document's store. */
    async function read(remoteRef: object, namespace = 'app'): Promise<Outcome | undefined> {
      const spec = { data: [{ secretKey: 'it', remoteRef }] }
      const outcomes = await reconcile(store(), externalSecret('one', spec, namespace))
      return outcomes['one']
    }

    const at = (path: string, more: object = {}): object => ({
      key: `sotto/active/prod/${path}`,
      ...more,
    })

    test('the manifests of the document read every kind of value', async () => {
      const { entries, fields, folder } = await reconcile(
        ...blocks('manifests: mirror').map(shown),
        externalSecret('fields', parse(block('spec: fields')) as object, 'app'),
        externalSecret('folder', parse(block('spec: folder')) as object, 'app'),
      )
      expect(entries).toEqual({
        data: {
          user: 'app',
          password: 'p<w>&1 ü',
          token: 'a token\nof two lines',
          keystore: 'AP/+Cg==',
        },
      })
      expect(fields).toEqual({
        data: { username: 'app', password: 'p<w>&1 ü', port: '5432', ratio: '1.5', tls: 'true' },
      })
      expect(mapValues(folder?.data ?? {}, (text) => JSON.parse(text) as unknown)).toEqual({
        db: { username: 'app', password: 'p<w>&1 ü', port: 5432, ratio: 1.5, tls: true },
        token: { value: 'a token\nof two lines' },
        keystore: { value_b64: 'AP/+Cg==' },
        empty: { value: '' },
        _C3_A4_20b__3D: { value: 'encoded' },
      })
    })

    test('whole secrets, empty ones, and names that need an encoding', async () => {
      expect(await read(at('app/token'))).toEqual({
        data: { it: '{"value":"a token\\nof two lines"}' },
      })
      expect(await read(at('app/empty', { property: 'value' }))).toEqual({ data: { it: '' } })
      expect(await read(at('app/=C3=A4=20b/=3D', { property: 'value' }))).toEqual({
        data: { it: 'encoded' },
      })
    })

    test('what the policy does not allow is an error, and what is not there is missing', async () => {
      expect(await read(at('other/token'))).toEqual({
        error: expect.stringContaining('permission denied'),
      })
      expect(await read({ key: 'sotto/versions/prod/app/token/1' })).toEqual({
        error: expect.stringContaining('permission denied'),
      })
      expect(await read(at('app/none'))).toMatchObject({ missing: true })
      expect(await read(at('app/token', { property: 'none' }))).toEqual({
        error: expect.stringContaining('cannot find secret data for key: "none"'),
      })
    })

    test('a service account of another namespace is not let in', async () => {
      const elsewhere = store().replaceAll('namespace: app', 'namespace: elsewhere')
      const wanted = externalSecret('one', { dataFrom: [{ extract: at('app/db') }] }, 'elsewhere')
      expect((await reconcile(elsewhere, wanted))['one']?.error).toMatch(/Code: 403/)
    })

    test('no token is left behind', async () => {
      const tokens = async (): Promise<number> =>
        (await bao.must('GET', 'auth/token/accessors?list=true')).data.keys.length
      const before = await tokens()
      await read(at('app/token'))
      expect(await tokens()).toBe(before)
    })

    test('a path prefix with the name of the mount is not found', async () => {
      await bao.must('POST', 'secret/data/secret/active/x', { data: { value: 'x' } })
      await bao.policy(
        'app-reader',
        `${block('policy')}\npath "secret/data/*" { capabilities = ["read"] }`,
      )
      expect(await read({ key: 'secret/active/x' })).toMatchObject({ missing: true })
      await bao.policy('app-reader', block('policy'))
    })

    test('an activate and a rollback are what is read next, and OpenBao counts them', async () => {
      const client = service.client()
      const token = (more?: object): Promise<Outcome | undefined> =>
        read(at('app/token', { property: 'value', ...more }))
      await client.put('prod/app/token', bytes('second'))
      await sync()
      expect(await token()).toEqual({ data: { it: 'a token\nof two lines' } })
      await client.activate('prod/app/token', 2)
      await sync()
      expect(await token()).toEqual({ data: { it: 'second' } })
      await client.activate('prod/app/token', 1)
      await sync()
      expect(await token()).toEqual({ data: { it: 'a token\nof two lines' } })
      expect(await token({ version: '2' })).toEqual({ data: { it: 'second' } })
      expect(await token({ version: '3' })).toEqual({ data: { it: 'a token\nof two lines' } })
    })

    test('a secret that was deleted is missing', async () => {
      await service.client().delete('prod/app/empty')
      await sync()
      expect(await read(at('app/empty'))).toMatchObject({ missing: true })
    })

    test('a server that is down keeps nobody from reading', async () => {
      await service.server.stop()
      expect(await read(at('app/db', { property: 'username' }))).toEqual({ data: { it: 'app' } })
    })
  })

  describe('straight to Sotto', () => {
    let service: Service

    beforeEach(async () => {
      service = await startService({}, { tailnet: tailnet(grantRules()) })
      const client = root()
      await client.put('prod/app/token', bytes('first'))
      await client.put('prod/app/token', bytes('second'))
      await client.activate('prod/app/token', 2)
      await client.put('prod/app/keystore', Buffer.from([0, 255, 254, 10]))
      await client.put('prod/app/db', bytes('{"username":"app"}'))
      await client.put('prod/other', bytes('of others'))
    })

    afterEach(() => service[Symbol.asyncDispose]())

    const root = (): ReturnType<Service['client']> => service.client('127.0.0.2')

    function tailnet(rules: readonly object[]): Parameters<Service['policy']>[0] {
      const operator = { name: 'external-secrets', tags: ['tag:external-secrets'], rules }
      const person = { name: 'root', user: 'root@example.com', rules: [everything] }
      return { nodes: { '127.0.0.1': operator, '127.0.0.2': person } } as never
    }

    /** The document's text with the address of this test. */
    const shown = (text: string): string =>
      text.replaceAll('https://sotto.example.ts.net', service.url)

    async function read(remoteRef: object): Promise<Outcome | undefined> {
      const spec = {
        secretStoreRef: { kind: 'ClusterSecretStore', name: 'sotto-app' },
        data: [{ secretKey: 'it', remoteRef: { decodingStrategy: 'Base64', ...remoteRef } }],
      }
      const outcomes = await reconcile(
        shown(block('manifests: sotto')),
        externalSecret('one', spec, 'app'),
      )
      return outcomes['one']
    }

    test('the manifests of the document read values and versions', async () => {
      expect(await reconcile(shown(block('manifests: sotto')))).toEqual({
        values: {
          data: { token: 'second', 'first-token': 'first', keystore: 'AP/+Cg==', user: 'app' },
        },
      })
      const gets = service.records().filter(({ action }) => action === 'get')
      expect(gets.length).toBe(4)
      for (const record of gets) expect(JSON.stringify(record)).toContain('external-secrets')
    })

    test('a key is a name and no more, and a version a number', async () => {
      await root().put('prod/app/x","Name":"prod/other', bytes('odd'))
      expect(await read({ key: 'x","Name":"prod/other' })).toEqual({ data: { it: 'odd' } })
      for (const version of ['seven', '0', '1}, {', '-1']) {
        expect(await read({ key: 'token', version })).toEqual({
          error: expect.stringContaining('endpoint gave error 400'),
        })
      }
    })

    test('missing and refused are told apart', async () => {
      expect(await read({ key: 'none' })).toMatchObject({ missing: true })
      expect(await read({ key: 'token', version: '9' })).toMatchObject({ missing: true })
      service.policy(tailnet([{ action: ['get'], secret: ['prod/elsewhere/*'] }]))
      await expect
        .poll(() => read({ key: 'token' }))
        .toEqual({ error: expect.stringContaining('endpoint gave error 403') })
    })

    test('a push is a version, once, and active when it is the first', async () => {
      service.policy(tailnet([...grantRules(), { action: ['put'], secret: ['pushed/app/*'] }]))
      const push = (cookie: string): Promise<Outcomes> =>
        reconcile(shown(block('manifests: sotto-push')), secret('generated-cookie', { cookie }))
      await expect.poll(() => push('one"\n')).toEqual({ cookie: {} })
      expect(await push('one"\n')).toEqual({ cookie: {} })
      expect(await root().info('pushed/app/cookie')).toMatchObject({
        Versions: [1],
        ActiveVersion: 1,
      })
      expect(await push('two')).toEqual({ cookie: {} })
      expect(await root().info('pushed/app/cookie')).toMatchObject({
        Versions: [1, 2],
        ActiveVersion: 1,
      })
      const { Value } = await root().get('pushed/app/cookie')
      expect(Buffer.from(Value).toString()).toBe('one"\n')
    })

    test('a manifest that its definition does not allow is refused', async () => {
      const manifests = shown(block('manifests: sotto'))
      const refused = (text: string): Promise<unknown> =>
        reconcile(text).then(
          () => 'taken',
          ({ stderr }: { stderr: string }) => stderr,
        )
      expect(await refused(manifests.replace('timeout:', 'timeouts:'))).toMatch(
        /unknown fields: spec.provider.webhook.timeouts/,
      )
      expect(await refused(manifests.replace('Base64', 'Base32'))).toMatch(/Unsupported value/)
    })
  })
})

/** The mirror of mirror.md, changed as the document says. */
function backendFile(): string {
  expect(document).toContain('of `prod/*`, with `onDelete: remove`')
  const file = filesIn(pageOf('mirror.md')).get('vault.yaml') ?? ''
  expect(file).toContain('secrets: ["prod/*"]')
  return file.replace('onDelete: keep', 'onDelete: remove')
}

/** The rules that the document grants. */
function grantRules(): object[] {
  const { grants } = JSON.parse(block('grant')) as {
    grants: readonly { app: Record<string, object[]> }[]
  }
  return grants.flatMap(({ app }) => app['tailscale.com/cap/secrets'] ?? [])
}

/** The first of the document's blocks under that mark. */
function block(mark: string): string {
  const [first] = blocks(mark)
  if (first === undefined) throw new Error(`the document has no block "${mark}"`)
  return first
}

function blocks(mark: string): string[] {
  const marked = new RegExp(`<!-- ${mark} -->\\n\`\`\`\\w+\\n([\\s\\S]*?)\`\`\``, 'g')
  return [...document.matchAll(marked)].map(([, text = '']) => text)
}

function externalSecret(name: string, spec: object, namespace: string): string {
  return JSON.stringify({
    apiVersion: 'external-secrets.io/v1',
    kind: 'ExternalSecret',
    metadata: { name, namespace },
    spec: { secretStoreRef: { kind: 'SecretStore', name: 'sotto' }, ...spec },
  })
}

function secret(name: string, stringData: Readonly<Record<string, string>>): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: 'app' },
    data: mapValues(stringData, (text) => Buffer.from(text).toString('base64')),
  })
}

/** As text, or in Base64 where it is none. */
function decoded(base64: string): string {
  const value = Buffer.from(base64, 'base64')
  return Buffer.from(value.toString()).equals(value) ? value.toString() : base64
}

function mapValues<From, To>(
  record: Readonly<Record<string, From>>,
  map: (value: From) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]))
}
