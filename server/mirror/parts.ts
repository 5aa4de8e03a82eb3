/** How mirrors are set up, and what they work with. */
import type { Timers } from '../../client/platform/timers.ts'
import type { MirrorSpec } from '../../client/api/mirrors.ts'
import type { Backend, BackendReader } from '../backends/contract.ts'
import type { BackendRegistry } from '../backends/registry.ts'
import type { Keyring } from '../crypto/keyring.ts'
import type { Gate } from '../gate/gate.ts'
import type { Secrets } from '../secrets/secrets.ts'
import type { Adoption } from '../store/adoption.ts'
import type { Store } from '../store/contract.ts'
import type { OnDrift } from './decide.ts'

/** A mirror as it is set up, or as one run keeps it. */
export interface MirrorSetup {
  /** The id of the backend. */
  readonly backend: number
  readonly name: string
  readonly spec: Omit<MirrorSpec, 'onDrift'> & { readonly onDrift: OnDrift }
}

/** What mirrors work with. */
export interface MirrorParts {
  readonly store: Store
  readonly secrets: Secrets
  readonly keyring: Keyring
  readonly gate: Gate
  readonly registry: BackendRegistry
  readonly adoption: Adoption
  /** Runs `act`, which only reads, on the backend of that id. */
  readonly use: <T>(backend: number, act: (backend: BackendReader) => Promise<T>) => Promise<T>
  /** Runs `act`, which changes what is there. Rejects with `not_adopted` where this server may not. */
  readonly change: <T>(backend: number, act: (backend: Backend) => Promise<T>) => Promise<T>
  readonly clock: () => Date
  readonly timers: Timers
}
