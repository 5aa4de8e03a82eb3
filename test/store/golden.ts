/** Golden stores: what a release of each schema left in a state directory, and in the backend that keeps some of it. */
import { ORIGIN } from '../support/backend-spec.ts'
import { MemoryBackend, type SharedMemory } from '../support/memory-backend.ts'
import type { Backend, Owner } from '../../server/backends/contract.ts'
import { type Service, startService } from '../support/service.ts'

/** The leaves of a backend in memory, as the file `leaves.json` of a golden store has them. */
export type Leaves = readonly (readonly [
  key: string,
  leaf: { readonly owner: Owner; readonly incarnation: number; readonly value: string },
])[]

/** Serves the store in `state`, whose backend has its values in `shared`. */
export function serve(state: string, shared: SharedMemory): Promise<Service> {
  const openBackend = (_: unknown, { owner }: { readonly owner: Owner }): Backend =>
    new MemoryBackend(owner, shared)
  return startService({ openBackend }, { state, backendOrigins: [ORIGIN] })
}
