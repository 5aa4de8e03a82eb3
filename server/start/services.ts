/** What serves secrets: the backends that are open, the gate, and the service that callers reach through it. */
import { OpenBackends, type OpenBackend } from '../backends/opened.ts'
import { openBaoOpener } from '../backends/openbao/opener.ts'
import { authoritiesIn } from '../backends/own-identity.ts'
import { BackendRegistry } from '../backends/registry.ts'
import { Values } from '../backends/values.ts'
import { Consumers } from '../consumers/consumers.ts'
import type { SecretCache } from '../catalog/cache.ts'
import { Locks } from '../catalog/locks.ts'
import type { BackendsConfig } from '../config/backends.ts'
import { SERVICE_ACCOUNT_TOKEN } from '../config/keys.ts'
import type { Keyring } from '../crypto/keyring.ts'
import type { Commits } from '../gate/commits.ts'
import { Gate } from '../gate/gate.ts'
import type { Scheduler } from '../jobs/scheduler.ts'
import type { Timers } from '../../client/platform/timers.ts'
import { readCredential } from '../secrets/credentials.ts'
import { DOUBT_MS, Doubts } from '../secrets/doubts.ts'
import { ExternalWrites } from '../secrets/external-writes.ts'
import { ORPHANS_JOB } from '../secrets/orphans.ts'
import { Secrets } from '../secrets/secrets.ts'
import type { Adoption } from '../store/adoption.ts'
import type { Logger } from '../platform/logger.ts'
import type { Orphan, Store } from '../store/contract.ts'
import type { StateDirectory } from '../store/directory.ts'
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
  readonly timers: Timers
  /** Whether this server may change what is outside of its store. */
  readonly adoption: Adoption
  readonly state: StateDirectory
  readonly logger: Logger
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
  /** Which versions programs hold. */
  readonly consumers: Consumers
  /** Call it when a backend has values that are to be removed. */
  readonly left: () => void
  /** Where a write may still be under way, which is cleared `later`. */
  readonly doubts: Doubts
  readonly later: (ms: number) => void
}

/** Builds the services. The backends are closed by `undo`. Rejects with `local` for a file that cannot be used. */
export async function buildServices(
  opened: OpenedStore,
  config: BackendsConfig,
  openBackend: OpenBackend | undefined,
  undo: AsyncDisposableStack,
): Promise<Services> {
  const { store, keyring, cache, commits, scheduler, metrics, clock, timers, adoption } = opened
  const { id, branch, former } = store.identity
  const { backendOrigins: origins = [], backendJwtFile: jwtFile = SERVICE_ACCOUNT_TOKEN } = config
  const { backendJwtRoles: roles = [], backendCaFile: caFile, backendProxies: proxies } = config
  const authorities = caFile === undefined ? undefined : await authoritiesIn(caFile)
  const registry = new BackendRegistry(store, keyring)
  // Credentials are read through the gate, which itself opens values by way of the backends.
  const credentialGate = Promise.withResolvers<Gate>()
  const open = new OpenBackends({
    registry,
    owner: { store: id, branch, former },
    adoption,
    knows: (record) => store.isOwnStart(record),
    origins,
    own: { roles, ...(authorities !== undefined && { authorities }) },
    credential: async (ref) => readCredential(cache, await credentialGate.promise, ref),
    open: openBackend ?? openBaoOpener({ origins, jwtFile, authorities, proxies }),
    metrics: metrics.backends,
  })
  undo.defer(() => open.close())
  const values = new Values(keyring, open)
  const consumers = new Consumers({
    path: opened.state.holdings,
    audit: opened.state.audit,
    log: commits.log,
    store: { id, branch },
    timers,
    clock,
    logger: opened.logger,
    metrics: metrics.consumers,
  })
  undo.defer(() => consumers.close())
  const gate = new Gate({ log: commits.log, keyring, values, commits, clock, releases: consumers })
  credentialGate.resolve(gate)
  const locks = new Locks()
  const left = (): void => scheduler.wake(ORPHANS_JOB)
  const doubts = new Doubts(timers)
  const later = (ms: number): void => scheduler.wake(ORPHANS_JOB, ms)
  const doubtful = (place: Orphan): void => {
    doubts.add(place)
    later(DOUBT_MS)
  }
  const externalWrites = new ExternalWrites({ store, keyring, values, doubtful })
  const services = {
    ...opened,
    registry,
    open,
    values,
    gate,
    locks,
    left,
    doubts,
    later,
    consumers,
  }
  return { ...services, secrets: new Secrets({ ...services, externalWrites, claims: consumers }) }
}
