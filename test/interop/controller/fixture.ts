/** A cluster, a server, and the controller between them as it is deployed: its own account, and the roles of docs/deploy. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { TailnetFile } from '../../../server/identity/development.ts'
import { type Cluster, establish, pathOf, startCluster } from '../../support/cluster.ts'
import { TestProcess } from '../../support/process.ts'
import { cli, temporaryDirectory } from '../../support/sotto.ts'
import { everything, type Service, startService } from '../../support/service.ts'

// oxlint-disable-next-line typescript/no-explicit-any -- resources, which tests pick from
export type Json = any

const deploy = (name: string): string =>
  readFileSync(`docs/deploy/kubernetes-secrets/${name}`, 'utf8')

/** The namespace of the controller. */
const OWN = 'sotto-kubernetes'
/** The address that the controller calls the server from. */
const NODE = '127.0.0.9'

/** What a test works with. */
export interface World extends AsyncDisposable {
  readonly cluster: Cluster
  readonly service: Service
  /** Adds a version and makes it the active one. */
  put(name: string, value: string | Uint8Array): Promise<void>
  /** Starts a controller; resolves when it has the Lease, unless it is to wait for it. */
  controller(options?: ControllerOptions): Promise<TestProcess>
  /** Writes the token of the controller again. */
  renewToken(): Promise<void>
  namespace(name: string): Promise<void>
  /** Applies a definition. */
  define(name: string, spec: object, namespace?: string): Promise<void>
  definition(name: string, namespace?: string): Promise<Json>
  /** Its values as text; undefined where there is no Secret. */
  secret(name: string, namespace?: string): Promise<Record<string, string> | undefined>
  /** Resolves when the definition is ready or not for that reason. */
  reason(name: string, reason: string, namespace?: string): Promise<Json>
  /** Resolves when a controller with a page of metrics has so many definitions in order, and nothing to do. */
  inSync(controller: TestProcess, count: number): Promise<void>
  /** What Sotto allows the controller from now on. */
  allow(names: readonly string[]): void
}

export interface ControllerOptions {
  readonly policy?: object
  /** Default: that of the test. */
  readonly server?: string
  readonly args?: readonly string[]
  /** Default: true. */
  readonly leads?: boolean
}

/** What namespaces may have, where a test says nothing else. */
const policy = {
  kind: 'kubernetespolicy',
  allow: { '*': ['NAMESPACE/*'], default: ['pathtosecret1'] },
}

/** Starts a cluster with the definition of SecretDefinitions, and a server. */
export async function startWorld({ crd = true }: { crd?: boolean } = {}): Promise<World> {
  await using starting = new AsyncDisposableStack()
  const cluster = starting.use(await startCluster())
  const service = starting.use(await startService({}, { tailnet: tailnet(['*']) }))
  const scratch = starting.use(temporaryDirectory())
  if (crd) await establish(cluster)
  await cluster.apply(deploy('rbac.yaml'))
  const file = (name: string): string => join(scratch.path, name)
  const client = service.client()
  const renewToken = async (): Promise<void> =>
    writeFileSync(file('token'), await cluster.token(OWN, 'sotto-kubernetes'))
  await renewToken()
  let controllers = 0
  const processes = starting.use(new AsyncDisposableStack())
  const parts = starting.move()
  const world: World = {
    cluster,
    service,
    async put(name, value) {
      const version = await client.put(name, Buffer.from(value))
      await client.activate(name, version)
    },
    async controller({ leads = true, args = [], ...options } = {}) {
      const policyFile = file(`policy-${controllers++}.yaml`)
      writeFileSync(policyFile, JSON.stringify(options.policy ?? policy))
      const started = new TestProcess(process.execPath, [
        cli,
        'kubernetes',
        `--server=${options.server ?? service.url}`,
        `--local-address=${NODE}`,
        `--policy=${policyFile}`,
        `--api-server=${cluster.url}`,
        `--token-file=${file('token')}`,
        `--ca-file=${cluster.caFile}`,
        `--own-namespace=${OWN}`,
        ...args,
      ])
      processes.use(started)
      if (leads) await started.line(/has the Lease/)
      return started
    },
    renewToken,
    async namespace(name) {
      await cluster.must('POST', pathOf('Namespace', undefined), { metadata: { name } })
    },
    define(name, spec, namespace = 'default') {
      const kind = 'SecretDefinition'
      const apiVersion = 'secrets-manager.tuenti.io/v1alpha1'
      const resource = { apiVersion, kind, metadata: { name, namespace }, spec }
      return cluster.apply(JSON.stringify(resource))
    },
    async definition(name, namespace = 'default') {
      return (await cluster.call('GET', pathOf('SecretDefinition', namespace, name))).body
    },
    async secret(name, namespace = 'default') {
      const { status, body } = await cluster.call('GET', pathOf('Secret', namespace, name))
      if (status === 404) return undefined
      const values = Object.entries((body.data ?? {}) as Record<string, string>)
      return Object.fromEntries(
        values.map(([key, text]) => [key, Buffer.from(text, 'base64').toString()]),
      )
    },
    async reason(name, reason, namespace = 'default') {
      await expect
        .poll(async () => {
          const { status, metadata } = await world.definition(name, namespace)
          const ready = status?.conditions?.find(({ type }: Json) => type === 'Ready')
          return ready?.observedGeneration === metadata.generation && ready.reason
        })
        .toBe(reason)
      return world.definition(name, namespace)
    },
    async inSync(controller, count) {
      const synced = 'sotto_kubernetes_definitions{reason="Synced"}'
      await expect
        .poll(
          async () =>
            (await pageOf(controller)).match(/^sotto_kubernetes_definitions.*Synced.*/m)?.[0],
          { timeout: 200_000 + 200 * count },
        )
        .toBe(`${synced} ${count}`)
    },
    allow: (names) => service.policy(tailnet(names)),
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  }
  return world
}

/** The controller may get the secrets of those names. */
function tailnet(secret: readonly string[]): TailnetFile {
  const rules = [{ action: ['get' as const], secret: [...secret] }]
  const node = { name: 'kubernetes', tags: ['tag:kubernetes'], rules }
  const root = { name: 'root', user: 'root@example.com', rules: [everything] }
  return { nodes: { '127.0.0.1': root, [NODE]: node } }
}

/** The page of metrics of a controller. */
export async function pageOf(controller: TestProcess): Promise<string> {
  const [, port] = await controller.line(/metrics are on port (\d+)/)
  return (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
}
