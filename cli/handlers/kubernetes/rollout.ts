/** Restarts workloads for a content, each once, whoever does it and however often it is tried. */
import { createHash } from 'node:crypto'
import { isStatus, type KubernetesApi } from './api.ts'
import { type Workload, workloads } from './definition.ts'
import type { Resource } from './reflector.ts'

interface WorkloadResource extends Resource {
  readonly spec?: {
    readonly template?: {
      readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> }
      readonly spec?: object
    }
  }
}

/** What workloads are restarted for. */
export interface NewContent {
  /** The Secret as the definition names it. */
  readonly secret: string
  /** Another one for each content. */
  readonly mark: string
  /** The name of the Secret that has it. */
  readonly name: string
  /** Names that pods may have for it so far. */
  readonly names: readonly string[]
}

/**
 * Has the pods of a workload replaced, unless they were for this content: its template then has the mark. Where the Secret
 * has another name, the template gets that. Resolves with whether they are. A workload that is not there needs none. Throws
 * ApiFailure.
 */
export async function restart(
  api: KubernetesApi,
  namespace: string,
  { kind, name }: Workload,
  content: NewContent,
): Promise<boolean> {
  const path = `/apis/apps/v1/namespaces/${namespace}/${workloads[kind]}/${name}`
  const annotation = annotationOf(content.secret)
  try {
    const { metadata, spec } = await api.get<WorkloadResource>(path)
    const template = spec?.template
    if (template?.metadata?.annotations?.[annotation] === content.mark) return false
    const pods = template?.spec ?? {}
    const renamed = withNames(pods, content)
    const isRenamed = JSON.stringify(renamed) !== JSON.stringify(pods)
    await api.merge(path, {
      // Lists are replaced whole: only over what was read.
      metadata: {
        uid: metadata.uid,
        ...(isRenamed && { resourceVersion: metadata.resourceVersion }),
      },
      spec: {
        template: {
          metadata: { annotations: { [annotation]: content.mark } },
          ...(isRenamed && { spec: renamed }),
        },
      },
    })
    return true
  } catch (error) {
    if (isStatus(error, 404)) return false
    throw error
  }
}

/** By the field that a reference to a Secret is in, the field of its name. */
const references: Readonly<Record<string, string>> = {
  secretKeyRef: 'name',
  secretRef: 'name',
  secret: 'secretName',
}

/** `pods`, and all below it, with the new name in each reference to one of those before. */
function withNames(pods: unknown, content: NewContent, within = ''): unknown {
  const { names, name } = content
  if (Array.isArray(pods)) return pods.map((each) => withNames(each, content, within))
  if (typeof pods !== 'object' || pods === null) return pods
  return Object.fromEntries(
    Object.entries(pods).map(([key, value]: [string, unknown]) => {
      // A projected volume has `secret` with `name`.
      const isName = references[within] === key || (within === 'secret' && key === 'name')
      if (isName && typeof value === 'string' && names.includes(value)) return [key, name]
      return [key, withNames(value, content, key)]
    }),
  )
}

/** Of a name that is too long for one, a short one. */
function annotationOf(secret: string): string {
  if (secret.length <= 63) return `sotto/${secret}`
  return `sotto/${createHash('sha256').update(secret).digest('hex').slice(0, 32)}`
}
