/** Builds the server from its parts, starts it and stops it. */
import { nodeFiles } from '../../audit/files.ts'
import { followFolder } from '../../audit/metrics.ts'
import { asSottoError, type ErrorCode, SottoError } from '../../client/api/errors.ts'
import type { OpenBackend } from '../backends/opened.ts'
import { SecretCache } from '../catalog/cache.ts'
import type { ServerConfig } from '../config/config.ts'
import type { SettingValues } from '../config/settings/setting.ts'
import type { KeyProvider } from '../crypto/provider.ts'
import type { Probe } from '../http/app.ts'
import type { ErrorLog, Fault } from '../http/error-log.ts'
import { type Front, Listener, type ListenerLimits, type ListenerParts } from '../http/listener.ts'
import { Load, type LoadLimits } from '../http/load.ts'
import { readyMetrics } from '../http/metrics.ts'
import { Routes } from '../http/routes.ts'
import type { Watching } from '../http/watch/handler.ts'
import { watchLimits, Watchers } from '../http/watch/watchers.ts'
import { Scheduler } from '../jobs/scheduler.ts'
import { processMetrics } from '../metrics/process.ts'
import { Registry } from '../metrics/registry.ts'
import { reportStaleCopies } from '../mirror/stale-copies.ts'
import { AuditQueries } from '../operations/audit.ts'
import { Operators, withOperators } from '../identity/operators.ts'
import { hostOf } from '../platform/host.ts'
import { type Logger, silentLogger } from '../platform/logger.ts'
import { described } from '../../client/platform/system-error.ts'
import { processTimers, type Timers } from '../../client/platform/timers.ts'
import { version } from '../platform/version.ts'
import { ActiveVersions } from '../secrets/active-versions.ts'
import { ManySecrets } from '../secrets/many.ts'
import { Adoption } from '../store/adoption.ts'
import type { StoredWrap } from '../store/contract.ts'
import type { StateDirectory } from '../store/directory.ts'
import { followStore } from '../store/metrics.ts'
import { instruments } from './instruments.ts'
import { addJobs } from './jobs.ts'
import { openNetwork, refuseUnsafeDevelopment } from './network.ts'
import { makeStore } from './new-store.ts'
import { claimState, type LogWorld, openCommits, openKeys, openOwnStore } from './open-store.ts'
import { measuredAll, providersOf } from './providers.ts'
import { buildServices, type OpenedStore, type Services } from './services.ts'
import type { Network, NetworkWorld } from './tailnet.ts'

/** Sealed rows and data keys that may be kept in memory, in bytes. */
const CACHE_BYTES = 64 * 1024 * 1024

/** A server that serves. */
export interface RunningServer {
  /** Where it is reached: `https://NAME`, `http://HOST:PORT`, or `unix:PATH` behind a proxy. */
  readonly url: string
  /** Where Vault's clients reach it; absent: nowhere. */
  readonly vaultUrl?: string
  /** The state directory that it owns, and whether that is deleted with the process. */
  readonly state: { readonly path: string; readonly temporary: boolean }
  /** Finishes the requests that were accepted, writes what is still to be written, and closes everything. */
  stop(): Promise<void>
}

/** What surrounds a server in addition to its settings; each part has a default. */
export interface World extends LogWorld, Omit<NetworkWorld, 'whoIs'> {
  /** Timers of the jobs. */
  readonly timers?: Timers
  /** Limits of the listener that differ from its defaults. */
  readonly limits?: Partial<ListenerLimits>
  /** How long the audit log and the store may take for one request, in milliseconds. */
  readonly waitMs?: number
  /** How much may be in progress at once. */
  readonly load?: LoadLimits
  /** Where metrics are defined. Default: a registry of the server's own. */
  readonly registry?: Registry
  /** Opens backends. */
  readonly openBackend?: OpenBackend
  /** Reads variables of the environment. Default: there are none. */
  readonly variable?: SettingValues['variable']
  /** Where the server runs, as `hostOf` names it. Default: this machine, and the state directory on it. */
  readonly host?: string
}

/**
 * Starts a server. Rejects with a SottoError that says why it cannot start; then nothing runs and nothing
 * was changed.
 */
export async function startServer(config: ServerConfig, world: World = {}): Promise<RunningServer> {
  const { logger = silentLogger, clock = () => new Date(), registry = new Registry() } = world
  const { timers = processTimers } = world
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
  const { keyring, wrap } = await openKeys(config, state, store, { logger, metrics: metrics.keys })
  const cache = new SecretCache(store, keyring, CACHE_BYTES, metrics.cache)
  const logWorld = { ...world, metrics: metrics.log }
  const commits = await openCommits(state, store, keyring, cache, logWorld, undo)
  const { unproven } = commits.log.recovered
  if (unproven) {
    const { count, first } = unproven
    logger.warn(
      `${count} audit records from ${first.record.id} on are not this server's, or were cut short: not used`,
    )
  }
  followFolder(registry, metrics.log, world.auditFiles ?? nodeFiles, state.audit)

  const scheduler = new Scheduler({
    logger,
    clock,
    metrics: metrics.jobs,
    timers,
  })
  const adoption = new Adoption(store, world.host ?? hostOf(state.path, network.node ?? ''))
  const opened: OpenedStore = {
    store,
    keyring,
    cache,
    commits,
    scheduler,
    metrics,
    clock,
    timers,
    adoption,
    state,
    logger,
  }
  const services = await buildServices(opened, config, world.openBackend, undo)
  const { gate, secrets } = services
  const providers = async (): Promise<KeyProvider[]> =>
    measuredAll(providersOf(config, state, (await store.keys()).wraps), metrics.keys)
  const jobs = await addJobs(services, config, { ...world, logger, state, providers })
  const audit = new AuditQueries({
    directory: state.audit,
    gate,
    ...(world.waitMs !== undefined && { waitMs: world.waitMs }),
  })
  const load = new Load(world.load, metrics.load)
  const watching = watchingOf(services, config, load)
  const probes = probesOf(network, opened)
  readyMetrics(registry, probes)
  const listening = {
    load,
    identity: withOperators(identity),
    gate,
    isOwnName: (name: string) => config.hostNames?.includes(name) || network.isOwnName(name),
    requests: metrics.requests,
    logFault: (fault: Fault) => logFault(logger, fault),
  }
  const listener = new Listener(
    {
      ...listening,
      front: (errorLog) =>
        new Routes({
          identity: listening.identity,
          gate,
          errorLog,
          secrets,
          many: new ManySecrets({ cache, gate, claims: services.consumers }),
          position: commits.position,
          operations: async () => {
            const { operationsOf } = await import('./operations.ts')
            const { variable = () => undefined } = world
            return operationsOf(services, { ...jobs, audit, providers, variable })
          },
          watching,
          registry,
          version,
          probes,
          facts: () => ({
            ...(certificates && { certificateEnds: certificates.current.endsAt.toISOString() }),
            ...jobs.backups.facts(),
            ...(adoption.adopted() ? {} : { branch: 'not adopted: see `sotto branch`' }),
          }),
        }),
    },
    world.limits,
  )
  await recordRun(services, wrap, logger, undo)
  undo.defer(() => scheduler.close())
  // Not before: what a job does outside carries the start that was recorded.
  scheduler.start()
  undo.defer(() => audit.close())
  undo.defer(() => listener.close())
  await reportStaleCopies(store, services.registry, logger).catch((error: unknown) => {
    logger.warn(`copies that mirrors kept were not reported: ${asSottoError(error).message}`)
  })
  for (const { code, message, hint } of await services.open.refused().catch(() => [])) {
    logger.error(message, { code, hint })
  }
  const url = await network.open(listener, undo)
  const vaultUrl = await openVault(config, services, listening, network, world, undo)
  void services.consumers.begin()
  if (!config.dev) await openOperators(listener, state, logger)

  const running = undo.move()
  return {
    url,
    ...(vaultUrl !== undefined && { vaultUrl }),
    state: { path: state.path, temporary: config.stateDir === undefined },
    stop: () => running.disposeAsync(),
  }
}

/** Lets Vault's clients in, where the settings say so, and resolves with the URL that they use. */
async function openVault(
  { vault }: ServerConfig,
  { gate, secrets, clock, timers, logger }: Services,
  listening: Omit<ListenerParts, 'front'>,
  { openMore }: Network,
  { limits }: World,
  undo: AsyncDisposableStack,
): Promise<string | undefined> {
  if (!vault || !openMore) return undefined
  const { identity } = listening
  const { mounts, factor } = vault
  const { Surface } = await import('../vault/surface.ts')
  const front = (errorLog: ErrorLog): Front =>
    new Surface({
      identity,
      gate,
      errorLog,
      secrets,
      mounts,
      clock,
      timers,
      ...(factor && { factor }),
    })
  const listener = new Listener({ ...listening, front }, limits)
  undo.defer(() => listener.close())
  const url = await openMore(listener, vault.listen, undo)
  logger.info(`Vault's clients are served on ${url}`)
  return url
}

/** What watches work with; they hear of each commit. */
function watchingOf(
  { cache, commits, consumers, metrics, timers }: Services,
  {
    watchers: most = watchLimits.watchers,
    watchersPerNode: perNode = watchLimits.perNode,
  }: ServerConfig,
  load: Load,
): Watching {
  const active = new ActiveVersions(cache)
  // The other half of the connections is for requests.
  const half = Math.ceil(load.limits.connections / 2)
  const limits = { ...watchLimits, watchers: Math.min(most, half), perNode }
  const watchers = new Watchers({ limits, timers, metrics: metrics.watches })
  commits.whenCommitted((subject) => {
    if (typeof subject === 'object') active.changed(subject.secret)
    watchers.committed(subject)
  })
  return { watchers, active, position: commits.position, consumers, timers }
}

/** The longest path of a unix socket, in bytes. */
const MAX_SOCKET_PATH = 107

/** Lets operators of the host in. Not fatal: callers from the network are served without. */
async function openOperators(
  listener: Listener,
  { operatorSocket: path, operators }: StateDirectory,
  logger: Logger,
): Promise<void> {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH) {
    logger.warn(
      `operators of this host cannot call: ${path} has more than ${MAX_SOCKET_PATH} bytes`,
    )
    return
  }
  try {
    await listener.listenOperators(path, new Operators(operators))
  } catch (error) {
    logger.warn(`operators of this host cannot call: ${described(error).message}`)
  }
}

/** Errors that need nobody: the server is busy or stops, or one caller is at fault. */
const passing: ReadonlySet<ErrorCode> = new Set(['overloaded', 'shutting_down', 'unidentified'])

function logFault(logger: Logger, { request, code, message, hint }: Fault): void {
  const log = passing.has(code) ? logger.warn : logger.error
  log(`request ${request} failed: ${code}: ${message}`, { hint, code, requestId: request })
}

/** The parts that `/readyz` asks about. */
function probesOf(
  { identity, certificates }: Network,
  { store, commits }: OpenedStore,
): Record<string, Probe> {
  return {
    store: async () => {
      await store.check()
      await commits.check()
    },
    audit: async () => {
      const state = commits.log.state()
      if (state.ok) return
      throw new SottoError('audit_unavailable', `The audit log failed: ${state.reason}`)
    },
    identity: () => identity.check(),
    ...(certificates && { certificate: () => certificates.check() }),
  }
}

/** Records the start of the server, also in the store, and its stop when `undo` comes to it; and that the key opened the store. */
async function recordRun(
  { store, commits: { log }, gate, clock, adoption }: Services,
  { provider, fingerprint }: StoredWrap,
  logger: Logger,
  undo: AsyncDisposableStack,
): Promise<void> {
  await adoption.started(await log.append({ kind: 'start', version, provider, fingerprint }))
  if (adoption.reason !== undefined) {
    logger.warn(`backends and backups stay as they are: ${adoption.reason}; see \`sotto branch\``)
  }
  undo.defer(async () => {
    await gate.flush()
    await log.append({ kind: 'stop', version }).catch((error: unknown) => {
      logger.error(`the audit log has no record of this stop: ${asSottoError(error).message}`)
    })
  })
  await store.noteProven(provider, fingerprint, clock().toISOString()).catch((error: unknown) => {
    logger.warn(`when the key was proven was not noted: ${asSottoError(error).message}`)
  })
}
