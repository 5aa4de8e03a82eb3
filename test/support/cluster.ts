/**
 * A real API server of Kubernetes on loopback, with its etcd and the controllers that delete: each a process that can be
 * frozen, killed and started again. There are no nodes.
 */
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, request } from 'undici'
import { parseAllDocuments } from 'yaml'
import { requirePeer } from './peers.ts'
import { TestProcess } from './process.ts'
import { temporaryDirectory } from './sotto.ts'

// oxlint-disable-next-line typescript/no-explicit-any -- resources, which tests pick from
type Json = any

/** An answer of the API server. */
export interface ClusterAnswer {
  readonly status: number
  readonly body: Json
}

/** A cluster. */
export interface Cluster extends AsyncDisposable {
  readonly url: string
  /** The file of the certificate that the API server is checked by. */
  readonly caFile: string
  readonly apiServer: TestProcess
  /** Calls as an administrator, or with another token. */
  call(method: string, path: string, body?: object, options?: ClusterCall): Promise<ClusterAnswer>
  /** As `call`; throws for any answer that is no success. */
  must(method: string, path: string, body?: object, options?: ClusterCall): Promise<Json>
  /** Applies manifests, as `kubectl apply --server-side` does. */
  apply(manifests: string, namespace?: string): Promise<void>
  /** A token of a service account. */
  token(namespace: string, account: string): Promise<string>
  /** Calls `changed` with each resource that is changed from when it is `opened`. */
  follow(path: string, changed: (resource: unknown) => void): Following
  /** Has etcd forget everything but what there is now. */
  compact(): Promise<void>
  /** Kills the API server, and starts it again. */
  restartApiServer(): Promise<void>
}

/** A watch of a test. */
interface Following {
  readonly opened: Promise<void>
  close(): Promise<void>
}

/** How a call differs from one of an administrator in JSON. */
export interface ClusterCall {
  readonly token?: string
  readonly type?: string
}

const ADMIN = 'administrators-token'

/** The last part of the path of each kind, and what is before it. */
const kinds: Readonly<Record<string, readonly [group: string, plural: string]>> = {
  Namespace: ['/api/v1', 'namespaces'],
  ServiceAccount: ['/api/v1', 'serviceaccounts'],
  Secret: ['/api/v1', 'secrets'],
  ConfigMap: ['/api/v1', 'configmaps'],
  Deployment: ['/apis/apps/v1', 'deployments'],
  ClusterRole: ['/apis/rbac.authorization.k8s.io/v1', 'clusterroles'],
  ClusterRoleBinding: ['/apis/rbac.authorization.k8s.io/v1', 'clusterrolebindings'],
  Role: ['/apis/rbac.authorization.k8s.io/v1', 'roles'],
  RoleBinding: ['/apis/rbac.authorization.k8s.io/v1', 'rolebindings'],
  CustomResourceDefinition: ['/apis/apiextensions.k8s.io/v1', 'customresourcedefinitions'],
  SecretDefinition: ['/apis/secrets-manager.tuenti.io/v1alpha1', 'secretdefinitions'],
}

/** The path of a resource; of all of its kind in the namespace without a name. */
export function pathOf(kind: string, namespace: string | undefined, name?: string): string {
  const [group, plural] = kinds[kind] ?? []
  if (group === undefined) throw new Error(`No path is known for ${kind}`)
  const within = namespace === undefined ? '' : `/namespaces/${namespace}`
  return `${group}${within}/${plural}${name === undefined ? '' : `/${name}`}`
}

/** Starts one. */
export async function startCluster(): Promise<Cluster> {
  const program = requirePeer('cluster')
  const scratch = temporaryDirectory()
  const file = (name: string): string => join(scratch.path, name)
  const [etcdPort = 0, peerPort = 0, port = 0] = await freePorts(3)
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  writeFileSync(file('sa.key'), privateKey.export({ type: 'pkcs1', format: 'pem' }))
  writeFileSync(file('tokens.csv'), `${ADMIN},admin,admin,system:masters\n`)
  const url = `https://127.0.0.1:${port}`
  const etcdUrl = `http://127.0.0.1:${etcdPort}`
  const peerUrl = `http://127.0.0.1:${peerPort}`
  const etcd = new TestProcess(program, [
    'etcd',
    `--data-dir=${file('etcd')}`,
    `--listen-client-urls=${etcdUrl}`,
    `--advertise-client-urls=${etcdUrl}`,
    `--listen-peer-urls=${peerUrl}`,
    `--initial-advertise-peer-urls=${peerUrl}`,
    `--initial-cluster=default=${peerUrl}`,
    '--unsafe-no-fsync',
    '--log-level=error',
  ])
  const agent = new Agent({ connect: { rejectUnauthorized: false } })
  const apiServerArgs = [
    'apiserver',
    `--etcd-servers=${etcdUrl}`,
    '--bind-address=127.0.0.1',
    `--secure-port=${port}`,
    `--cert-dir=${file('certs')}`,
    '--service-cluster-ip-range=10.0.0.0/24',
    '--endpoint-reconciler-type=none',
    `--token-auth-file=${file('tokens.csv')}`,
    '--authorization-mode=RBAC',
    `--service-account-key-file=${file('sa.key')}`,
    `--service-account-signing-key-file=${file('sa.key')}`,
    `--service-account-issuer=${url}`,
    '--disable-admission-plugins=ServiceAccount',
    '--allow-privileged',
  ]
  let apiServer = new TestProcess(program, apiServerArgs)
  async function call(
    method: string,
    path: string,
    body?: object,
    { token = ADMIN, type = 'application/json' }: ClusterCall = {},
  ): Promise<ClusterAnswer> {
    const answer = await request(`${url}${path}`, {
      dispatcher: agent,
      method: method as 'GET',
      headers: { authorization: `Bearer ${token}`, 'content-type': type },
      ...(body && { body: JSON.stringify(body) }),
    })
    const text = await answer.body.text()
    let parsed: Json = text
    if (/^[{[]/.test(text)) parsed = JSON.parse(text)
    return { status: answer.statusCode, body: parsed }
  }
  async function must(
    method: string,
    path: string,
    body?: object,
    options?: ClusterCall,
  ): Promise<Json> {
    const answer = await call(method, path, body, options)
    if (answer.status < 300) return answer.body
    throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
  }
  async function ready(): Promise<void> {
    for (;;) {
      if (!apiServer.isRunning) throw new Error(`The API server ended: ${apiServer.output}`)
      const answer = await call('GET', '/readyz').catch(() => undefined)
      if (answer?.status === 200) return
      await sleep(100)
    }
  }
  await ready()
  const controllers = new TestProcess(program, ['controllers', url, ADMIN])
  await controllers.firstLine()
  return {
    url,
    caFile: file('certs/apiserver.crt'),
    get apiServer() {
      return apiServer
    },
    call,
    must,
    async apply(manifests, namespace = 'default') {
      for (const document of parseAllDocuments(manifests)) {
        const resource: Json = document.toJS()
        if (!resource) continue
        const [, plural = ''] = kinds[resource.kind] ?? []
        const isOfAll = /^(?:namespaces|cluster.*|custom.*)$/.test(plural)
        const within = isOfAll ? undefined : (resource.metadata.namespace ?? namespace)
        const path = pathOf(resource.kind, within, resource.metadata.name)
        await must('PATCH', `${path}?fieldManager=test&force=true`, resource, {
          type: 'application/apply-patch+yaml',
        })
      }
    },
    async token(namespace, account) {
      const path = `${pathOf('ServiceAccount', namespace, account)}/token`
      const { status } = await must('POST', path, { spec: { expirationSeconds: 3600 } })
      return status.token
    },
    follow(path, changed) {
      const ends = new AbortController()
      const opened = Promise.withResolvers<void>()
      const running = (async () => {
        const { body } = await request(`${url}${path}?watch=true`, {
          dispatcher: agent,
          headers: { authorization: `Bearer ${ADMIN}` },
          signal: ends.signal,
        })
        opened.resolve()
        let rest = ''
        for await (const piece of body) {
          const lines = (rest + String(piece)).split('\n')
          rest = lines.pop() ?? ''
          for (const line of lines) changed(JSON.parse(line).object)
        }
      })().catch((error: unknown) => {
        opened.reject(error)
        if (!ends.signal.aborted) throw error
      })
      return {
        opened: opened.promise,
        async close() {
          ends.abort()
          await running
        },
      }
    },
    async compact() {
      const post = async (method: string, body: object): Promise<Json> => {
        const answer = await request(`${etcdUrl}/v3/${method}`, {
          method: 'POST',
          body: JSON.stringify(body),
        })
        return answer.body.json()
      }
      const { header } = await post('kv/range', { key: Buffer.from('x').toString('base64') })
      await post('kv/compaction', { revision: header.revision, physical: true })
    },
    async restartApiServer() {
      await apiServer.kill()
      apiServer = new TestProcess(program, apiServerArgs)
      await ready()
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([controllers.kill(), apiServer.kill(), etcd.kill()])
      await agent.close()
      scratch[Symbol.dispose]()
    },
  }
}

/** Applies the definition of SecretDefinitions, and resolves when the API server serves them. */
export async function establish(cluster: Cluster): Promise<void> {
  await cluster.apply(readFileSync('docs/deploy/kubernetes-secrets/crd.yaml', 'utf8'))
  const path = pathOf('SecretDefinition', 'default')
  while ((await cluster.call('GET', path)).status !== 200) await sleep(50)
}

/** Ports that nobody listens on now. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  const ports: number[] = []
  for (const server of servers) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    ports.push((server.address() as { port: number }).port)
  }
  for (const server of servers) {
    server.close()
    await once(server, 'close')
  }
  return ports
}
