/** Builds the server from its parts, starts it and stops it. */
import { nodeFiles } from '../../audit/files.ts'
import type { AuditLog } from '../../audit/log.ts'
import { followFolder } from '../../audit/metrics.ts'
import { FolderSize } from '../../audit/size.ts'
import { processTimers, type Timers } from '../platform/timers.ts'
import { asSottoError, SottoError } from '../../client/api/errors.ts'
import { targetAt } from '../backup/targets/place.ts'
import type { BackupsConfig } from '../config/backups.ts'
import type { ServerConfig } from '../config/config.ts'
import type { Keyring } from '../crypto/keyring.ts'
import type { KeyProvider } from '../crypto/provider.ts'
import type { Schedule } from '../http/certificates/certificates.ts'
import { Listener, type ListenerLimits } from '../http/listener.ts'
import { Load, type LoadLimits } from '../http/load.ts'
import { instruments } from './instruments.ts'
import { BackupMemory } from '../backup/schedule/memory.ts'
import { BACKUP_JOB, BackupJob } from '../backup/schedule/job.ts'
import { Backups } from '../operations/backups.ts'
import { Jobs } from '../operations/jobs.ts'
import { ORPHANS_JOB, orphansJob } from '../secrets/orphans-job.ts'
import { Mirrors } from '../operations/mirrors.ts'
import { MirrorJob } from '../mirror/job.ts'
import { rehearsalJob } from '../backup/schedule/rehearsal.ts'
import { rotationJob } from '../keys/rotation-job.ts'
import { Scheduler } from '../jobs/scheduler.ts'
import { processMetrics } from '../metrics/process.ts'
import { Registry } from '../metrics/registry.ts'
import { openNetwork, refuseUnsafeDevelopment } from './network.ts'
import { makeStore } from './new-store.ts'
import { claimState, type LogWorld, openCommits, openKeys, openOwnStore } from './open-store.ts'
import { measuredAll, providersOf } from './providers.ts'
import { AuditQueries } from '../operations/audit.ts'
import type { Commits } from '../gate/commits.ts'
import { Backends } from '../operations/backends.ts'
import { SecretCache } from '../catalog/cache.ts'
import { readCredential } from '../secrets/credentials.ts'
import { ExternalWrites } from '../secrets/external-writes.ts'
import { Gate } from '../gate/gate.ts'
import { Values } from '../backends/values.ts'
import { Keys } from '../operations/keys.ts'
import { Orphans } from '../secrets/orphans.ts'
import { Migration } from '../operations/migration.ts'
import { type OpenBackend, OpenBackends } from '../backends/opened.ts'
import { openBaoOpener } from '../backends/openbao/opener.ts'
import { SERVICE_ACCOUNT_TOKEN } from '../config/keys.ts'
import { BackendRegistry } from '../backends/registry.ts'
import { Rotation } from '../keys/rotation.ts'
import { Secrets } from '../secrets/secrets.ts'
import { Locks } from '../catalog/locks.ts'
import { openKeyring } from '../keys/wraps.ts'
import type { Store } from '../store/contract.ts'
import type { StateDirectory } from '../store/directory.ts'
import { followStore } from '../store/metrics.ts'
import { version } from '../platform/version.ts'

/** Sealed rows and data keys that may be kept in memory, in bytes. */
const CACHE_BYTES = 64 * 1024 * 1024

/** A server that serves. */
export interface RunningServer {
  /** Where it is reached: `https://NAME`, `http://HOST:PORT`, or `unix:PATH` behind a proxy. */
  readonly url: string
  /** The state directory that it owns, and whether that goes with the process. */
  readonly state: { readonly path: string; readonly temporary: boolean }
  /** Finishes what was accepted, writes what is left to write, and lets go of everything. */
  stop(): Promise<void>
}

/** What a server has of the world beside its settings; each part has a default. */
export interface World extends LogWorld {
  /** Where words for the operator go, a line at a time. Default: nowhere. */
  readonly say?: (line: string) => void
  /** Timers of certificates and of addresses. */
  readonly schedule?: Schedule
  /** Timers of the jobs. */
  readonly timers?: Timers
  /** Limits of the listener that differ from its defaults. */
  readonly limits?: Partial<ListenerLimits>
  /** How long the audit log and the store may take for one request, in milliseconds. */
  readonly waitMs?: number
  /** What may be in hand at once. */
  readonly load?: LoadLimits
  /** Where metrics are defined. Default: a registry of the server's own. */
  readonly registry?: Registry
  /** Opens backends. */
  readonly openBackend?: OpenBackend
}

/**
 * Starts a server. Rejects with the SottoError of what is in the way, and then left nothing running
 * and nothing changed.
 */
export async function startServer(config: ServerConfig, world: World = {}): Promise<RunningServer> {
  const { say = () => {}, clock = () => new Date(), registry = new Registry() } = world
  await using undo = new AsyncDisposableStack()
  if (config.dev) await refuseUnsafeDevelopment(config)
  const state = claimState(config, undo)
  const metrics = instruments(registry)
  undo.defer(processMetrics(registry, { version, node: process.version }))
  if (config.dev && state.empty) await makeStore(state, config, true)
  const store = await openOwnStore(config, state, { ...world, metrics: metrics.store }, undo)
  followStore(registry, metrics.store, store)
  const network = await openNetwork(config, { ...world, whoIs: metrics.whoIs }, undo)
  const { identity, certificates } = network
  metrics.certificate.follow(() => certificates && certificates.current.endsAt.getTime() / 1000)
  const { keyring, wrap } = await openKeys(config, state, store, { say, metrics: metrics.keys })
  const cache = new SecretCache(store, keyring, CACHE_BYTES, metrics.cache)
  const logWorld = { ...world, metrics: metrics.log }
  const commits = await openCommits(state, store, cache, logWorld, undo)
  const { log } = commits
  followFolder(registry, metrics.log, new FolderSize(world.auditFiles ?? nodeFiles, state.audit))

  const { backendOrigins: origins = [], backendJwtFile: jwtFile = SERVICE_ACCOUNT_TOKEN } = config
  const backendRegistry = new BackendRegistry(store, keyring)
  const open = new OpenBackends({
    registry: backendRegistry,
    storeId: store.identity.id,
    origins,
    credential: (ref) => readCredential({ cache, gate }, ref),
    open: world.openBackend ?? openBaoOpener({ origins, jwtFile }),
    metrics: metrics.backends,
  })
  undo.defer(() => open.close())
  const values = new Values({ keyring, backends: open })
  const gate = new Gate({ log, keyring, values, commits, clock })
  const locks = new Locks()
  const left = (): void => scheduler.wake(ORPHANS_JOB)
  const externalWrites = new ExternalWrites({ store, keyring, values, left })
  const secrets = new Secrets({
    store,
    keyring,
    cache,
    gate,
    registry: backendRegistry,
    externalWrites,
    locks,
    left,
  })
  const migration = new Migration({
    store,
    keyring,
    cache,
    gate,
    values,
    registry: backendRegistry,
    locks,
    left,
  })
  const backends = new Backends({ store, cache, gate, registry: backendRegistry, open, clock })
  const scheduler = new Scheduler({
    say,
    clock,
    metrics: metrics.jobs,
    ...(world.timers && { timers: world.timers }),
  })
  scheduler.add(orphansJob(new Orphans({ store, cache, values, locks })))
  const jobs = new Jobs(scheduler, gate)
  const audit = new AuditQueries({
    directory: state.audit,
    gate,
    ...(world.waitMs !== undefined && { waitMs: world.waitMs }),
  })
  const providers = async (): Promise<KeyProvider[]> =>
    measuredAll(providersOf(config, state, (await store.keys()).wraps), metrics.keys)
  const rotation = new Rotation({
    store,
    keyring,
    openAnew: async () => openKeyring(store.identity.id, await store.keys(), await providers()),
    clock,
    ...(world.timers && { timers: world.timers }),
  })
  scheduler.add(rotationJob(rotation, gate))
  const begun = (): void => scheduler.wake('rotation')
  const keys = new Keys({ store, gate, rotation, providers, clock, begun })
  const { provider, fingerprint } = wrap
  const timers = world.timers ?? processTimers
  const mirrorJob = new MirrorJob({
    store,
    secrets,
    keyring,
    registry: backendRegistry,
    scheduler,
    clock,
    timers,
    metrics: metrics.mirrors,
    use: (id, act) => open.use(id, act),
  })
  scheduler.add(mirrorJob.job())
  commits.whenCommitted((subject) => void mirrorJob.committed(subject))
  const mirrors = new Mirrors({ store, gate, scheduler, job: mirrorJob, clock, timers })
  const backups = await openBackups(
    config.backups,
    { ...world, say, clock },
    { state, store, keyring, commits, gate, scheduler, providers },
  )
  backups.follow(metrics.backups)
  const listener = new Listener(
    {
      identity,
      gate,
      secrets,
      operations: {
        'audit-query': (call, request) => audit.ask(call, request),
        'job-status': (call) => jobs.status(call),
        'job-run': (call, request) => jobs.run(call, request),
        'mirror-status': (call, request) => mirrors.status(call, request),
        'mirror-sync': (call, request) => mirrors.sync(call, request),
        'mirror-plan': (call, request) => mirrors.plan(call, request),
        'backup-create': (call) => backups.create(call),
        'backup-status': (call) => backups.status(call),
        'backend-list': (call) => backends.list(call),
        'backend-describe': (call, request) => backends.describe(call, request),
        'backend-create': (call, request) => backends.create(call, request),
        'backend-apply': (call, request) => backends.apply(call, request),
        'backend-delete': (call, request) => backends.delete(call, request),
        'backend-test': (call, request) => backends.test(call, request),
        'key-status': (call) => keys.status(call),
        'key-rotate': (call) => keys.rotate(call),
        'key-rewrap': (call, request) => keys.rewrap(call, request),
        'migrate-plan': (call, request) => migration.plan(call, request),
        'migrate-secret': (call, request) => migration.move(call, request),
      },
      load: new Load(world.load, metrics.load),
      requests: metrics.requests,
      registry,
      version,
      logFault: ({ request, code, message }) =>
        say(`request ${request} failed: ${code}: ${message}`),
      probes: {
        store: async () => {
          await store.check()
          await commits.check()
        },
        audit: async () => refuseBrokenLog(log),
        identity: () => identity.check(),
        ...(certificates && { certificate: () => certificates.check() }),
      },
      facts: () => ({
        key: `${provider} ${fingerprint}`,
        ...(certificates && { certificateEnds: certificates.current.endsAt.toISOString() }),
        ...backups.facts(),
      }),
    },
    world.limits,
  )
  await log.append({ kind: 'start', version, provider, fingerprint })
  undo.defer(async () => {
    await gate.flush()
    await log.append({ kind: 'stop', version }).catch((error: unknown) => {
      say(`the audit log has no record of this stop: ${asSottoError(error).message}`)
    })
  })
  undo.defer(() => scheduler.close())
  undo.defer(() => audit.close())
  undo.defer(() => listener.close())
  await store.noteProven(provider, fingerprint, clock().toISOString()).catch((error: unknown) => {
    say(`when the key was proven was not noted: ${asSottoError(error).message}`)
  })
  const url = await network.open(listener, undo)

  const running = undo.move()
  return {
    url,
    state: { path: state.path, temporary: config.stateDir === undefined },
    stop: () => running.disposeAsync(),
  }
}

/** What the backups of a server are made of. */
interface BackedUp {
  readonly state: StateDirectory
  readonly store: Store
  readonly keyring: Keyring
  readonly commits: Commits
  readonly gate: Gate
  readonly scheduler: Scheduler
  readonly providers: () => Promise<KeyProvider[]>
}

/** The backups of a server, with their jobs begun. */
async function openBackups(
  config: BackupsConfig | undefined,
  { say, clock, auditFiles }: Required<Pick<World, 'say' | 'clock'>> & Pick<World, 'auditFiles'>,
  { state, commits, scheduler, providers, ...others }: BackedUp,
): Promise<Backups> {
  if (config === undefined) return new Backups(others.gate, undefined)
  const { keep, rehearsal } = config
  const target = targetAt(config.place)
  const memory = await BackupMemory.open(state.backups)
  const { log } = commits
  const auditDirectory = state.audit
  const parts = { ...others, place: config.place, target, memory, clock }
  const job = new BackupJob({
    ...parts,
    keep,
    log,
    auditDirectory,
    say,
    ...(auditFiles && { auditFiles }),
  })
  scheduler.add(job.job())
  commits.whenCommitted(() => scheduler.wake(BACKUP_JOB))
  if (rehearsal) {
    const { everyMs, directory = state.path } = rehearsal
    scheduler.add(rehearsalJob({ ...parts, providers, directory, everyMs }))
  }
  return new Backups(others.gate, { scheduler, job, target, keep, memory })
}

async function refuseBrokenLog(log: AuditLog): Promise<void> {
  const state = log.state()
  if (!state.ok) throw new SottoError('audit_unavailable', `The audit log failed: ${state.reason}`)
}
