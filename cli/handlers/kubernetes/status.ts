/** What a definition says of itself: conditions, and which version each key has. */
import type { KubernetesApi } from './api.ts'
import {
  API_VERSION,
  type Condition,
  type DefinitionResource,
  type DefinitionStatus,
} from './resource.ts'

/** Why a definition is, or is not, as it should be. The first is the only good one. */
export type Reason = 'Synced' | 'Denied' | 'Missing' | 'Conflict' | 'Invalid' | 'Unreachable'

/** What there is to say. */
export interface Outcome {
  readonly reason: Reason
  readonly message: string
}

/** What is to be said. What is undefined stays as it is. */
export interface Said {
  readonly outcome: Outcome
  readonly secretName?: string
  readonly previous?: string
  readonly restarted?: string
  readonly versions?: ReadonlyMap<string, number>
}

/** The status that a resource has. */
export function statusOf({ status }: DefinitionResource): DefinitionStatus {
  return status ?? {}
}

/** Writes the status where it says something else, and an event where the reason is another. */
export async function tell(
  api: KubernetesApi,
  resource: DefinitionResource,
  said: Said,
  now: Date,
): Promise<DefinitionStatus> {
  const before = statusOf(resource)
  const after = statusAfter(resource, said, now.toISOString().replace(/\.\d+Z$/, 'Z'))
  if (JSON.stringify(after) === JSON.stringify(picked(before))) return before
  const { namespace = '', name } = resource.metadata
  const path = `/apis/${API_VERSION}/namespaces/${namespace}/secretdefinitions/${name}`
  await api.merge(`${path}/status`, { metadata: { uid: resource.metadata.uid }, status: after })
  const isNew = readyOf(before)?.reason !== said.outcome.reason
  if (isNew) await announce(api, resource, said.outcome, now).catch(() => {})
  return after
}

function statusAfter(resource: DefinitionResource, said: Said, now: string): DefinitionStatus {
  const before = statusOf(resource)
  const observedGeneration = resource.metadata.generation ?? 0
  const { reason, message } = said.outcome
  const condition = (type: string, status: 'True' | 'False'): Condition => {
    const last = before.conditions?.find((each) => each.type === type && each.status === status)
    return {
      type,
      status,
      reason,
      message,
      observedGeneration,
      lastTransitionTime: last?.lastTransitionTime ?? now,
    }
  }
  const isTrouble = reason === 'Denied' || reason === 'Missing' || reason === 'Conflict'
  return {
    observedGeneration,
    secretName: said.secretName ?? before.secretName ?? null,
    previous: said.previous ?? before.previous ?? null,
    restarted: said.restarted ?? before.restarted ?? null,
    keys: said.versions
      ? [...said.versions].map(([key, version]) => {
          const last = before.keys?.find((each) => each.key === key && each.version === version)
          return { key, version, since: last?.since ?? now }
        })
      : (before.keys ?? []),
    conditions: [
      condition('Ready', reason === 'Synced' ? 'True' : 'False'),
      ...(isTrouble ? [condition(reason, 'True')] : []),
    ],
  }
}

/** In the order of `statusAfter`: the API server has an order of its own. */
function picked(status: DefinitionStatus): DefinitionStatus {
  const { observedGeneration, secretName = null, previous = null, restarted = null } = status
  const { keys = [] } = status
  return {
    ...(observedGeneration !== undefined && { observedGeneration }),
    secretName,
    previous,
    restarted,
    keys: keys.map(({ key, version, since }) => ({ key, version, since })),
    conditions: (status.conditions ?? []).map((each) => ({
      type: each.type,
      status: each.status,
      reason: each.reason,
      message: each.message,
      observedGeneration: each.observedGeneration,
      lastTransitionTime: each.lastTransitionTime,
    })),
  }
}

/** The condition that sums up the others. */
export function readyOf({ conditions }: DefinitionStatus): Condition | undefined {
  return conditions?.find(({ type }) => type === 'Ready')
}

async function announce(
  api: KubernetesApi,
  { metadata }: DefinitionResource,
  { reason, message }: Outcome,
  now: Date,
): Promise<void> {
  const { namespace = '', name, uid } = metadata
  const time = now.toISOString().replace(/\.\d+Z$/, 'Z')
  await api.create(`/api/v1/namespaces/${namespace}/events`, {
    metadata: { generateName: `${name.slice(0, 200)}.`, namespace },
    involvedObject: {
      apiVersion: API_VERSION,
      kind: 'SecretDefinition',
      namespace,
      name,
      uid,
    },
    reason,
    message,
    type: reason === 'Synced' ? 'Normal' : 'Warning',
    source: { component: 'sotto' },
    firstTimestamp: time,
    lastTimestamp: time,
    count: 1,
  })
}
