/** What a SecretDefinition asks for: that of secrets-manager, and fields that it does not have. */
import { z } from 'zod'
import { nameProblem } from '../../../client/api/names.ts'
import { MAX_VERSION } from '../../../client/api/types.ts'
import type { Policy } from './policy.ts'
import type { DefinitionResource } from './resource.ts'

/** Kinds of workloads that can be restarted, with the last part of their path. */
export const workloads = {
  Deployment: 'deployments',
  StatefulSet: 'statefulsets',
  DaemonSet: 'daemonsets',
} as const

/** Secrets of these types are logins by themselves: who may ask for one here need not be who may make one. */
const minting = new Set(['kubernetes.io/service-account-token', 'bootstrap.kubernetes.io/token'])

const source = z.object({
  path: z.string(),
  key: z.string().optional(),
  encoding: z.string().optional(),
  version: z.int().min(1).max(MAX_VERSION).optional(),
})

const spec = z.object({
  name: z.string(),
  type: z.string().optional(),
  keysMap: z.record(z.string(), source),
  onMissing: z.enum(['keepOld', 'fail']).default('keepOld'),
  deletionPolicy: z.enum(['Delete', 'Retain']).default('Delete'),
  adopt: z.boolean().default(false),
  immutable: z.enum(['hashName']).optional(),
  rollout: z
    .array(z.object({ kind: z.enum(['Deployment', 'StatefulSet', 'DaemonSet']), name: z.string() }))
    .default([]),
})

/** Where the value of one key comes from. */
export interface Entry {
  /** The key in the Secret. */
  readonly key: string
  /** The name of the secret in Sotto. */
  readonly name: string
  /** Undefined: the active one. */
  readonly version: number | undefined
  /** Undefined: the whole value. */
  readonly field: string | undefined
  readonly isBase64: boolean
}

/** What is to be kept equal. */
export interface Definition {
  readonly entries: readonly Entry[]
  /** The name of the Secret, before what is added to it where it is immutable. */
  readonly secret: string
  readonly type: string
  readonly onMissing: 'keepOld' | 'fail'
  readonly isRetained: boolean
  readonly adopts: boolean
  /** Whether each content has a Secret of its own, which is never changed. */
  readonly isImmutable: boolean
  readonly rollout: readonly Workload[]
}

export interface Workload {
  readonly kind: keyof typeof workloads
  readonly name: string
}

/** The definition, or, as a sentence, why it is none. Nothing of it is looked up here. */
export function definitionOf(resource: DefinitionResource, policy: Policy): Definition | string {
  const parsed = spec.safeParse(resource.spec)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    return `spec.${issue?.path.map(String).join('.')}: ${issue?.message}`
  }
  const { keysMap, name, ...rest } = parsed.data
  if (!isSecretName(rest.immutable ? `${name}-12345678` : name))
    return 'spec.name is not the name of a Secret'
  if (minting.has(rest.type ?? '')) return 'spec.type is one that gives rights, which is refused'
  const entries: Entry[] = []
  for (const [key, { path, key: field, encoding = '', version }] of Object.entries(keysMap)) {
    const at = `spec.keysMap.${key}`
    if (!/^[-._a-zA-Z0-9]{1,253}$/.test(key)) return `${at} is not a key of a Secret`
    if (!['', 'text', 'base64'].includes(encoding)) return `${at}.encoding is not text or base64`
    const wanted = policy.nameAt(path)
    const problem = nameProblem(wanted)
    if (problem !== undefined) return `${at}.path names no secret: ${problem}`
    const isBase64 = encoding === 'base64'
    // secrets-manager reads the field `data` where the key is empty.
    entries.push({ key, name: wanted, version, field: field === '' ? 'data' : field, isBase64 })
  }
  if (entries.length === 0) return 'spec.keysMap has no keys'
  return {
    entries: entries.toSorted((a, b) => (a.key < b.key ? -1 : 1)),
    secret: name,
    type: rest.type ?? 'Opaque',
    onMissing: rest.onMissing,
    isRetained: rest.deletionPolicy === 'Retain',
    adopts: rest.adopt,
    isImmutable: rest.immutable !== undefined,
    rollout: rest.rollout,
  }
}

/** The names that are wanted and not allowed, each once. */
export function deniedOf(
  { entries }: Definition,
  namespace: string,
  policy: Policy,
): readonly string[] {
  const names = new Set(entries.map(({ name }) => name))
  return [...names].filter((name) => !policy.allows(namespace, name))
}

function isSecretName(name: string): boolean {
  return (
    name.length <= 253 &&
    /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(name)
  )
}
