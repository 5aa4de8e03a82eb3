/** What serves secrets: the backends that are open, the gate, and the service that callers reach through it. */
import { OpenBackends, type OpenBackend } from '../backends/opened.ts'
import { openBaoOpener } from '../backends/openbao/opener.ts'
import { BackendRegistry } from '../backends/registry.ts'
import { Values } from '../backends/values.ts'
import type { SecretCache } from '../catalog/cache.ts'
import { Locks } from '../catalog/locks.ts'
import type { BackendsConfig } from '../config/backends.ts'
import { SERVICE_ACCOUNT_TOKEN } from '../config/keys.ts'
import type { Keyring } from '../crypto/keyring.ts'
import type { Commits } from '../gate/commits.ts'
import { Gate } from '../gate/gate.ts'
import type { Scheduler } from '../jobs/scheduler.ts'
import { readCredential } from '../secrets/credentials.ts'
import { ExternalWrites } from '../secrets/external-writes.ts'
import { ORPHANS_JOB } from '../secrets/orphans.ts'
import { Secrets } from '../secrets/secrets.ts'
import type { Store } from '../store/contract.ts'
import type { Instruments } from './instruments.ts'

/** The store of a server, open, and what its services are built with. */
export interface OpenedStore {
  readonly store: Store
  readonly keyring: Keyring
  readonly cache: SecretCache
  readonly commits: Commits
  readonly scheduler: Scheduler
  readonly metrics: Instruments
  readonly clock: () => Date
}

/** The services of a server. */
export interface Services extends OpenedStore {
  readonly registry: BackendRegistry
  readonly open: OpenBackends
  readonly values: Values
  readonly gate: Gate
  /** Changes to one secret run one after another. */
  readonly locks: Locks
  readonly secrets: Secrets
  /** Call it when a backend has values that are to be removed. */
  readonly left: () => void
}

/** Builds the services. The backends are closed by `undo`. */
export function buildServices(
  opened: OpenedStore,
  config: BackendsConfig,
  openBackend: OpenBackend | undefined,
  undo: AsyncDisposableStack,
): Services {
  const { store, keyring, cache, commits, scheduler, metrics, clock } = opened
  const { backendOrigins: origins = [], backendJwtFile: jwtFile = SERVICE_ACCOUNT_TOKEN } = config
  const registry = new BackendRegistry(store, keyring)
  // Credentials are read through the gate, which itself opens values by way of the backends.
  const credentialGate = Promise.withResolvers<Gate>()
  const open = new OpenBackends({
    registry,
    storeId: store.identity.id,
    origins,
    credential: async (ref) => readCredential(cache, await credentialGate.promise, ref),
    open: openBackend ?? openBaoOpener({ origins, jwtFile }),
    metrics: metrics.backends,
  })
  undo.defer(() => open.close())
  const values = new Values(keyring, open)
  const gate = new Gate({ log: commits.log, keyring, values, commits, clock })
  credentialGate.resolve(gate)
  const locks = new Locks()
  const left = (): void => scheduler.wake(ORPHANS_JOB)
  const externalWrites = new ExternalWrites({ store, keyring, values, left })
  const services = { ...opened, registry, open, values, gate, locks, left }
  return { ...services, secrets: new Secrets({ ...services, externalWrites }) }
}
