/** A SecretDefinition as the API server has it. */
import type { Resource } from './reflector.ts'

export const API_VERSION = 'secrets-manager.tuenti.io/v1alpha1'

/** A SecretDefinition as the API server has it. */
export interface DefinitionResource extends Resource {
  readonly spec?: unknown
  readonly status?: DefinitionStatus
}

/** One thing that is so, or not, and since when. */
export interface Condition {
  readonly type: string
  readonly status: 'True' | 'False'
  readonly reason: string
  readonly message: string
  readonly observedGeneration: number
  readonly lastTransitionTime: string
}

/** The version that a key has, and since when. */
interface KeyStatus {
  readonly key: string
  readonly version: number
  readonly since: string
}

/** The status of a definition. */
export interface DefinitionStatus {
  readonly observedGeneration?: number
  readonly secretName?: string | null
  /** Where each content has a Secret of its own, that of the content before. */
  readonly previous?: string | null
  /** The mark of the content that workloads were restarted for. */
  readonly restarted?: string | null
  readonly keys?: readonly KeyStatus[]
  readonly conditions?: readonly Condition[]
}
