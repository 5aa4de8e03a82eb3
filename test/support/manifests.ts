/** The manifests of docs/deploy/kubernetes, as far as tests look into them. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'

export const manifestsFolder = new URL('../../docs/deploy/kubernetes', import.meta.url).pathname

interface Probe {
  readonly exec?: { readonly command: readonly string[] }
}

export interface ContainerSpec {
  readonly name: string
  readonly image: string
  readonly args: readonly string[]
  readonly env?: readonly { readonly name: string; readonly value?: string }[]
  readonly volumeMounts: readonly { readonly mountPath: string; readonly subPath?: string }[]
  readonly securityContext: {
    readonly runAsUser?: number
    readonly allowPrivilegeEscalation: boolean
    readonly readOnlyRootFilesystem: boolean
    readonly capabilities: { readonly drop: readonly string[]; readonly add?: readonly string[] }
  }
  readonly startupProbe?: Probe
  readonly readinessProbe?: Probe
  readonly livenessProbe?: Probe
}

interface Workload {
  readonly spec: {
    readonly template: {
      readonly spec: {
        readonly containers: readonly ContainerSpec[]
        readonly initContainers?: readonly ContainerSpec[]
        readonly terminationGracePeriodSeconds: number
        readonly securityContext: {
          readonly runAsUser: number
          readonly fsGroup: number
          readonly fsGroupChangePolicy?: string
        }
      }
    }
  }
}

interface Resource {
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly data?: Readonly<Record<string, string>>
}

const all = readdirSync(manifestsFolder).flatMap((name) =>
  parseAllDocuments(readFileSync(join(manifestsFolder, name), 'utf8')).map(
    (document) => document.toJS() as Resource,
  ),
)

/** The workloads, by their kind. */
export const manifests = {
  StatefulSet: found('StatefulSet', 'sotto') as unknown as Workload,
  Job: found('Job', 'sotto-init') as unknown as Workload,
}

/** The settings that the containers of Sotto have in their environment. */
export const settings: Readonly<Record<string, string>> = found('ConfigMap', 'sotto').data ?? {}

/** What tailscaled serves. */
export const serveConfig: string = found('ConfigMap', 'sotto-serve').data?.['serve.json'] ?? ''

export function container({ spec }: Workload, name: string): ContainerSpec {
  const { containers, initContainers = [] } = spec.template.spec
  const one = [...containers, ...initContainers].find((each) => each.name === name)
  if (one === undefined) throw new Error(`There is no container ${name}`)
  return one
}

function found(kind: string, name: string): Resource {
  const one = all.find((each) => each.kind === kind && each.metadata.name === name)
  if (one === undefined) throw new Error(`There is no ${kind} ${name}`)
  return one
}
