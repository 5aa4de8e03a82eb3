/** Builds the server from its parts, starts it and stops it. */
import { nodeFiles } from '../../audit/files.ts'
import { followFolder } from '../../audit/metrics.ts'
import { asSottoError, SottoError } from '../../client/api/errors.ts'
import type { OpenBackend } from '../backends/opened.ts'
import { SecretCache } from '../catalog/cache.ts'
import type { ServerConfig } from '../config/config.ts'
import type { KeyProvider } from '../crypto/provider.ts'
import type { Probe } from '../http/app.ts'
import { Listener, type ListenerLimits } from '../http/listener.ts'
import { Load, type LoadLimits } from '../http/load.ts'
import { Scheduler } from '../jobs/scheduler.ts'
import { processMetrics } from '../metrics/process.ts'
import { Registry } from '../metrics/registry.ts'
import { reportStaleCopies } from '../mirror/stale-copies.ts'
import { AuditQueries } from '../operations/audit.ts'
import type { Timers } from '../platform/timers.ts'
import { version } from '../platform/version.ts'
import type { StoredWrap } from '../store/contract.ts'
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
}

/**
 * Starts a server. Rejects with a SottoError that says why it cannot start; then nothing runs and nothing
 * was changed.
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
  followFolder(registry, metrics.log, world.auditFiles ?? nodeFiles, state.audit)

  const scheduler = new Scheduler({
    say,
    clock,
    metrics: metrics.jobs,
    ...(world.timers && { timers: world.timers }),
  })
  const opened = { store, keyring, cache, commits, scheduler, metrics, clock }
  const services = buildServices(opened, config, world.openBackend, undo)
  const { gate, secrets } = services
  const providers = async (): Promise<KeyProvider[]> =>
    measuredAll(providersOf(config, state, (await store.keys()).wraps), metrics.keys)
  const jobs = await addJobs(services, config.backups, { ...world, say, state, providers })
  const audit = new AuditQueries({
    directory: state.audit,
    gate,
    ...(world.waitMs !== undefined && { waitMs: world.waitMs }),
  })
  const listener = new Listener(
    {
      identity,
      gate,
      secrets,
      operations: async () => {
        const { operationsOf } = await import('./operations.ts')
        return operationsOf(services, { ...jobs, audit, providers })
      },
      load: new Load(world.load, metrics.load),
      requests: metrics.requests,
      registry,
      version,
      logFault: ({ request, code, message }) =>
        say(`request ${request} failed: ${code}: ${message}`),
      probes: probesOf(network, opened),
      facts: () => ({
        key: `${wrap.provider} ${wrap.fingerprint}`,
        ...(certificates && { certificateEnds: certificates.current.endsAt.toISOString() }),
        ...jobs.backups.facts(),
      }),
    },
    world.limits,
  )
  await recordRun(services, wrap, say, undo)
  undo.defer(() => scheduler.close())
  undo.defer(() => audit.close())
  undo.defer(() => listener.close())
  await reportStaleCopies(store, services.registry, say).catch((error: unknown) => {
    say(`copies that mirrors kept were not reported: ${asSottoError(error).message}`)
  })
  const url = await network.open(listener, undo)

  const running = undo.move()
  return {
    url,
    state: { path: state.path, temporary: config.stateDir === undefined },
    stop: () => running.disposeAsync(),
  }
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

/** Records the start of the server, and its stop when `undo` comes to it; and that the key opened the store. */
async function recordRun(
  { store, commits: { log }, gate, clock }: Services,
  { provider, fingerprint }: StoredWrap,
  say: (line: string) => void,
  undo: AsyncDisposableStack,
): Promise<void> {
  await log.append({ kind: 'start', version, provider, fingerprint })
  undo.defer(async () => {
    await gate.flush()
    await log.append({ kind: 'stop', version }).catch((error: unknown) => {
      say(`the audit log has no record of this stop: ${asSottoError(error).message}`)
    })
  })
  await store.noteProven(provider, fingerprint, clock().toISOString()).catch((error: unknown) => {
    say(`when the key was proven was not noted: ${asSottoError(error).message}`)
  })
}
