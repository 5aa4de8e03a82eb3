/** Builds the server from its parts, starts it and stops it: the only place that wires. */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type FileSystem, nodeFiles } from '../audit/files.ts'
import { AuditLog, findRecord } from '../audit/log.ts'
import { followFolder, type LogMetrics } from '../audit/metrics.ts'
import { FolderSize } from '../audit/size.ts'
import { processTimers, type Timers } from '../audit/timers.ts'
import { asSottoError, quote, SottoError } from '../client/api/errors.ts'
import type { BackupsConfig } from './backups-config.ts'
import { targetAt } from './backup/place.ts'
import { createBackup, type CreatedBackup, type CreateParts } from './backup/create.ts'
import type { InitConfig, KeysConfig, OpenersConfig, ServerConfig } from './config.ts'
import { awsKmsProvider } from './crypto/aws-kms.ts'
import { bounded } from './crypto/bounded.ts'
import { Keyring } from './crypto/keyring.ts'
import { createKeyFile, localKeyProvider } from './crypto/local-key.ts'
import { type KeyMetrics, measured } from './crypto/metrics.ts'
import { openbaoTransitProvider } from './crypto/openbao-transit.ts'
import type { KeyProvider } from './crypto/provider.ts'
import { identityProvider } from './crypto/recovery.ts'
import type { Wrap } from './crypto/root-key.ts'
import type { Schedule } from './http/certificates.ts'
import { Listener, type ListenerLimits } from './http/listener.ts'
import { Load, type LoadLimits } from './http/load.ts'
import { instruments } from './instruments.ts'
import { BACKUP_JOB, BackupJob } from './jobs/backup.ts'
import { BackupMemory } from './jobs/backup-memory.ts'
import { Backups } from './jobs/backups.ts'
import { Jobs } from './jobs/jobs.ts'
import { LEFTOVERS_JOB, leftoversJob } from './jobs/leftovers.ts'
import { rotationJob } from './jobs/rotation.ts'
import { Mirrors } from './jobs/mirror/mirrors.ts'
import { rehearsalJob } from './jobs/rehearsal.ts'
import { Scheduler } from './jobs/scheduler.ts'
import { processMetrics } from './metrics/process.ts'
import { Registry } from './metrics/registry.ts'
import { refuseUnsafeDevelopment, openNetwork } from './network.ts'
import { Questions } from './questions/questions.ts'
import { Agreement } from './secrets/agreement.ts'
import { Backends } from './secrets/backends.ts'
import { SecretCache } from './secrets/cache.ts'
import { readCredential } from './secrets/credentials.ts'
import { Deposits } from './secrets/deposits.ts'
import { Gate } from './secrets/gate.ts'
import { Homes } from './secrets/homes.ts'
import { type KeyActs, keyActs } from './secrets/key-acts.ts'
import { Keys } from './secrets/keys.ts'
import { Leftovers } from './secrets/leftovers.ts'
import { type OpenBackend, OpenBackends } from './secrets/open-backends.ts'
import { Migration } from './secrets/migration.ts'
import { openBaoOpener, SERVICE_ACCOUNT_TOKEN } from './secrets/openbao.ts'
import { Roster } from './secrets/roster.ts'
import { entriesOf, type EntryUse, Rotation } from './secrets/rotation.ts'
import { Secrets } from './secrets/secrets.ts'
import { Turns } from './secrets/turns.ts'
import { type OpenedKeyring, openKeyring, Wraps } from './secrets/wraps.ts'
import type { Store, StoredWrap } from './store/contract.ts'
import {
  madeStateDirectory,
  type StateDirectory,
  stateDirectory,
  temporaryStateDirectory,
} from './store/directory.ts'
import { lockDirectory } from './store/lock.ts'
import { followStore, type StoreMetrics } from './store/metrics.ts'
import { createStore, openStore } from './store/sqlite/store.ts'
import { version } from './version.ts'

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
export interface World {
  /** Where words for the operator go, a line at a time. Default: nowhere. */
  readonly say?: (line: string) => void
  readonly clock?: () => Date
  /** Timers of certificates and of addresses. */
  readonly schedule?: Schedule
  /** Timers of the jobs. */
  readonly timers?: Timers
  /** The disk that the audit log is on, for tests that break it. */
  readonly auditFiles?: FileSystem
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
  const store = await openOwnStore(config, state, { ...world, metrics: metrics.store }, undo)
  followStore(registry, metrics.store, store)
  const network = await openNetwork(config, { ...world, whoIs: metrics.whoIs }, undo)
  const { identity, certificates } = network
  metrics.certificate.follow(() => certificates && certificates.current.endsAt.getTime() / 1000)
  const { keyring, wrap } = await openKeys(config, state, store, { say, metrics: metrics.keys })
  const cache = new SecretCache(store, keyring, CACHE_BYTES, metrics.cache)
  const logWorld = { ...world, metrics: metrics.log }
  const agreement = await openAgreement(state, store, cache, logWorld, undo)
  const { log } = agreement
  followFolder(registry, metrics.log, new FolderSize(world.auditFiles ?? nodeFiles, state.audit))

  const { backendOrigins: origins = [], backendJwtFile: jwtFile = SERVICE_ACCOUNT_TOKEN } = config
  const roster = new Roster(store, keyring)
  const open = new OpenBackends({
    roster,
    storeId: store.identity.id,
    origins,
    credential: (ref) => readCredential({ cache, gate }, ref),
    open: world.openBackend ?? openBaoOpener({ origins, jwtFile }),
    metrics: metrics.backends,
  })
  undo.defer(() => open.close())
  const homes = new Homes({ keyring, backends: open })
  const changed = (): void => mirrors.changed()
  const gate = new Gate({ log, homes, agreement, clock, changed })
  const turns = new Turns()
  const left = (): void => scheduler.wake(LEFTOVERS_JOB)
  const deposits = new Deposits({ store, keyring, homes, left })
  const secrets = new Secrets({ store, keyring, cache, gate, roster, deposits, turns, left })
  const migration = new Migration({ store, keyring, cache, gate, homes, roster, turns, left })
  const backends = new Backends({ store, cache, gate, roster, open, clock })
  const scheduler = new Scheduler({
    say,
    clock,
    metrics: metrics.jobs,
    ...(world.timers && { timers: world.timers }),
  })
  scheduler.add(leftoversJob(new Leftovers({ store, cache, homes, turns })))
  const jobs = new Jobs(scheduler, gate)
  const questions = new Questions({
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
  const mirrors = new Mirrors({
    store,
    secrets,
    keyring,
    gate,
    scheduler,
    clock,
    timers: world.timers ?? processTimers,
    metrics: metrics.mirrors,
    use: (id, act) => open.use(id, act),
    setups: async () =>
      (await roster.read()).backends.flatMap(({ id, name, config: { mirror } }) =>
        mirror ? [{ backend: id, name, spec: mirror }] : [],
      ),
  })
  scheduler.add(mirrors.job())
  const backups = await openBackups(
    config.backups,
    { ...world, say, clock },
    { state, store, keyring, agreement, gate, scheduler, providers },
  )
  backups.follow(metrics.backups)
  const listener = new Listener(
    {
      identity,
      gate,
      secrets,
      operations: {
        'audit-query': (call, request) => questions.ask(call, request),
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
          await agreement.check()
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
  undo.defer(() => questions.close())
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

/**
 * Makes a new store, sealed under the key of AWS KMS that is given, and under a new local key where one
 * is named or no other is given. Rejects with `store_exists` when the directory has anything in it, and as
 * the key provider does, and then made no store.
 */
export async function initialise(config: InitConfig): Promise<NewStore> {
  const state = madeStateDirectory(config.stateDir)
  refuseOccupied(state)
  const lock = lockDirectory(state.path)
  try {
    return await makeStore(state, config, false)
  } finally {
    lock.release()
  }
}

/** A store that was just made, and what opens it. */
export interface NewStore {
  readonly store: string
  /** The keys of key services, each named by its provider and fingerprint. */
  readonly services: readonly Pick<Wrap, 'provider' | 'fingerprint'>[]
  /** Absent where no local key opens it. */
  readonly keyFile?: string
}

/** What the files of a store are worked on in. */
export interface FilesWorld extends Pick<World, 'clock' | 'auditFiles' | 'waitMs'> {
  /** Who works on the files, for the audit log. */
  readonly operator: string
}

/** The keys of a store that no server has open. */
export interface KeysOnFiles {
  readonly wraps: Wraps
  /** The entries of the keyring; their fingerprints are known only once it was opened. */
  entries(): Promise<EntryUse[]>
  /** Begins a rotation of the keyring, or goes on with one, and ends it. Rejects as `Rotation.run`. */
  rotate(): Promise<void>
}

/**
 * Runs `act` on the keys of a store that no server has open. Rejects with what `act` rejects with, or
 * with the SottoError of what is in the way.
 */
export async function withKeys<T>(
  config: KeysConfig,
  world: FilesWorld,
  act: (keys: KeysOnFiles) => Promise<T>,
): Promise<T> {
  const { operator, clock = () => new Date() } = world
  await using undo = new AsyncDisposableStack()
  const { state, store, providers } = await openFiles(config, undo)
  const begin = async (keyring: Keyring): Promise<KeyActs> => {
    const cache = new SecretCache(store, keyring, 0)
    const agreement = await openAgreement(state, store, cache, world, undo)
    return keyActs({ agreement, actor: { operator }, clock })
  }
  // The log is opened by the first change, and once.
  let begun: Promise<KeyActs> | undefined
  const acts = (keyring: Keyring): Promise<KeyActs> => (begun ??= begin(keyring))
  const openAnew = async (): Promise<OpenedKeyring> =>
    openKeyring(store.identity.id, await store.keys(), providers)
  let opened: Keyring | undefined
  return await act({
    wraps: new Wraps({ store, providers, acts, clock }),
    entries: () => entriesOf(store, opened),
    async rotate() {
      const { keyring, rootKey } = await openAnew()
      rootKey.fill(0)
      opened = keyring
      const rotation = new Rotation({ store, keyring, openAnew, clock, shared: false })
      const by = await acts(keyring)
      await rotation.begin(by)
      await rotation.run(by)
    },
  })
}

/**
 * Makes a backup of a store that no server has open. Rejects as `createBackup`, or with the SottoError of
 * what is in the way.
 */
export async function backUp(
  config: KeysConfig,
  world: FilesWorld,
  wanted: Pick<CreateParts, 'target' | 'wholeLog' | 'signal' | 'progress'>,
): Promise<CreatedBackup> {
  const { operator, auditFiles, clock } = world
  await using undo = new AsyncDisposableStack()
  const { state, store, providers } = await openFiles(config, undo)
  const opened = await openKeyring(store.identity.id, await store.keys(), providers)
  opened.rootKey.fill(0)
  const { keyring } = opened
  const { log } = await openAgreement(state, store, new SecretCache(store, keyring, 0), world, undo)
  let announced = 0
  return await createBackup({
    ...wanted,
    store,
    keyring,
    auditDirectory: state.audit,
    logHead: () => log.head,
    records: {
      async announce(backup) {
        const target = wanted.target.description
        announced = (await log.append({ kind: 'backup', backup, target, operator })).id
      },
      async abandon(reason) {
        await log.append({ kind: 'abandoned', of: announced, reason }).catch(() => {})
      },
    },
    ...(auditFiles && { auditFiles }),
    ...(clock && { clock }),
  })
}

/**
 * The keys that are at hand where no state directory is: those that are named, and the local key in the
 * state directory that is named, if there is one.
 */
export function providersAtHand({ stateDir, keyFile, ...others }: OpenersConfig): KeyProvider[] {
  const own = stateDir === undefined ? undefined : join(stateDir, 'local.key')
  const local = keyFile ?? (own !== undefined && existsSync(own) ? own : undefined)
  return providersNamed({ keyFile: local, ...others })
}

/** A store that no server has open, for as long as `undo` stands. */
async function openFiles(
  config: KeysConfig,
  undo: AsyncDisposableStack,
): Promise<{ state: StateDirectory; store: Store; providers: KeyProvider[] }> {
  const state = stateDirectory(config.stateDir)
  const lock = lockDirectory(state.path)
  undo.defer(() => lock.release())
  refuseUnfinished(state)
  const store = await openStore(state.store)
  undo.defer(() => store.close())
  return { state, store, providers: providersOf(config, state, (await store.keys()).wraps) }
}

/** The state directory, locked, with a store in it if this is a fresh development server. */
function claimState(config: ServerConfig, undo: AsyncDisposableStack): StateDirectory {
  if (config.stateDir === undefined) {
    const temporary = temporaryStateDirectory()
    undo.defer(() => temporary.remove())
    return temporary
  }
  const state = config.dev ? madeStateDirectory(config.stateDir) : stateDirectory(config.stateDir)
  const lock = lockDirectory(state.path)
  undo.defer(() => lock.release())
  return state
}

async function openOwnStore(
  config: ServerConfig,
  state: StateDirectory,
  { waitMs, metrics }: World & { readonly metrics: StoreMetrics },
  undo: AsyncDisposableStack,
): Promise<Store> {
  if (config.dev && state.empty) await makeStore(state, config, true)
  refuseUnfinished(state)
  const store = await openStore(state.store, { metrics, ...(waitMs !== undefined && { waitMs }) })
  undo.defer(() => store.close())
  const { development } = store.identity
  if (config.dev && !development) {
    throw new SottoError(
      'store_foreign',
      `The store in ${quote(state.path)} was not made by --dev`,
      {
        hint: 'Give --dev a directory of its own; it never opens a production store.',
      },
    )
  }
  if (!config.dev && development) {
    throw new SottoError('store_foreign', `The store in ${quote(state.path)} was made by --dev`, {
      hint: 'Make a production store with `sotto init --state-dir DIR`.',
    })
  }
  return store
}

async function makeStore(
  state: StateDirectory,
  given: Omit<InitConfig, 'stateDir'>,
  development: boolean,
): Promise<NewStore> {
  const id = randomBytes(16).toString('hex')
  const createdAt = new Date().toISOString()
  const { rootKey, keys } = Keyring.create(id)
  try {
    // First: when a key service cannot be used, nothing was made.
    const services: Wrap[] = []
    for (const service of servicesOf(given)) {
      services.push(await provenWrap(bounded(service), rootKey, id))
    }
    const path = given.keyFile ?? (services.length > 0 ? undefined : state.keyFile)
    const local = path === undefined ? undefined : await localWrap(path, rootKey, id)
    const wraps = [
      ...services.map((wrap) => ({ ...wrap, createdAt, provenAt: createdAt })),
      ...(local ? [{ ...local, createdAt }] : []),
    ]
    createStore(state.store, { identity: { id, development, createdAt }, keys, wraps })
    return {
      store: state.store,
      services,
      ...(path !== undefined && { keyFile: path }),
    }
  } finally {
    rootKey.fill(0)
  }
}

async function localWrap(path: string, rootKey: Uint8Array, storeId: string): Promise<Wrap> {
  await createKeyFile(path)
  return wrapWith(localKeyProvider(path), rootKey, storeId)
}

/** A wrap that was opened again: who may wrap may perhaps not unwrap. */
async function provenWrap(key: KeyProvider, rootKey: Uint8Array, storeId: string): Promise<Wrap> {
  const wrap = await wrapWith(key, rootKey, storeId)
  const opened = await key.unwrap(wrap.wrapped, storeId)
  const same = opened.length === rootKey.length && timingSafeEqual(opened, rootKey)
  opened.fill(0)
  if (same) return wrap
  throw new SottoError(
    'key_wrong',
    `Cannot seal a store under ${key.name} key ${wrap.fingerprint}: it does not give back what it wrapped`,
  )
}

async function wrapWith(key: KeyProvider, rootKey: Uint8Array, storeId: string): Promise<Wrap> {
  const fingerprint = await key.fingerprint()
  return { provider: key.name, fingerprint, wrapped: await key.wrap(rootKey, storeId) }
}

/**
 * The keys that are at hand, in the order in which they are asked: the offline one is the last. A
 * local key is looked for where one is named or has a wrap.
 */
function providersOf(
  { keyFile, ...others }: Omit<KeysConfig, 'stateDir'>,
  state: StateDirectory,
  wraps: readonly StoredWrap[],
): KeyProvider[] {
  const local = wraps.some(({ provider }) => provider === 'local') ? state.keyFile : undefined
  return providersNamed({ keyFile: keyFile ?? local, ...others })
}

function providersNamed(given: Omit<KeysConfig, 'stateDir'>): KeyProvider[] {
  const { keyFile, recoveryIdentity } = given
  return [
    ...servicesOf(given),
    ...(keyFile === undefined ? [] : [localKeyProvider(keyFile)]),
    ...(recoveryIdentity === undefined ? [] : [identityProvider(recoveryIdentity)]),
  ]
}

/** The keys of key services that are at hand. */
function servicesOf({ awsKms, transit }: Pick<KeysConfig, 'awsKms' | 'transit'>): KeyProvider[] {
  return [
    ...(awsKms ? [awsKmsProvider(awsKms)] : []),
    ...(transit ? [openbaoTransitProvider(transit)] : []),
  ]
}

/** A call that does not come back is noted when its time is up. */
function measuredAll(providers: readonly KeyProvider[], metrics: KeyMetrics): KeyProvider[] {
  return providers.map((each) => measured(bounded(each), metrics))
}

async function openKeys(
  config: ServerConfig,
  state: StateDirectory,
  store: Store,
  { say, metrics }: { readonly say: (line: string) => void; readonly metrics: KeyMetrics },
): Promise<{ keyring: Keyring; wrap: StoredWrap }> {
  const stored = await store.keys()
  const providers = measuredAll(providersOf(config, state, stored.wraps), metrics)
  const opened = await openKeyring(store.identity.id, stored, providers)
  const { keyring, rootKey, wrap, failures } = opened
  rootKey.fill(0)
  for (const { message } of failures) say(`a key did not open the store: ${message}`)
  say(`the store was opened with ${wrap.provider} key ${wrap.fingerprint}`)
  return { keyring, wrap }
}

/** What the backups of a server are made of. */
interface BackedUp {
  readonly state: StateDirectory
  readonly store: Store
  readonly keyring: Keyring
  readonly agreement: Agreement
  readonly gate: Gate
  readonly scheduler: Scheduler
  readonly providers: () => Promise<KeyProvider[]>
}

/** The backups of a server, with their jobs begun. */
async function openBackups(
  config: BackupsConfig | undefined,
  { say, clock, auditFiles }: Required<Pick<World, 'say' | 'clock'>> & Pick<World, 'auditFiles'>,
  { state, agreement, scheduler, providers, ...others }: BackedUp,
): Promise<Backups> {
  if (config === undefined) return new Backups(others.gate, undefined)
  const { keep, rehearsal } = config
  const target = targetAt(config.place)
  const memory = await BackupMemory.open(state.backups)
  const { log } = agreement
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
  agreement.whenChanged(() => scheduler.wake(BACKUP_JOB))
  if (rehearsal) {
    const { everyMs, directory = state.path } = rehearsal
    scheduler.add(rehearsalJob({ ...parts, providers, directory, everyMs }))
  }
  return new Backups(others.gate, { scheduler, job, target, keep, memory })
}

async function openAgreement(
  state: StateDirectory,
  store: Store,
  cache: SecretCache,
  { auditFiles, clock, waitMs, metrics }: World & { readonly metrics?: LogMetrics },
  undo: AsyncDisposableStack,
): Promise<Agreement> {
  const agreement = await Agreement.open({
    store,
    cache,
    findRecord: (id) => findRecord(state.audit, id, auditFiles),
    openLog: (revision, accept) =>
      AuditLog.open({
        directory: state.audit,
        logId: store.identity.id,
        revision,
        accept,
        ...(auditFiles && { files: auditFiles }),
        ...(clock && { clock }),
        ...(metrics && { metrics }),
        ...(waitMs !== undefined && { waitMs }),
      }),
  })
  undo.defer(() => agreement.log.close())
  undo.defer(() => agreement.close())
  return agreement
}

async function refuseBrokenLog(log: AuditLog): Promise<void> {
  const state = log.state()
  if (!state.ok) throw new SottoError('audit_unavailable', `The audit log failed: ${state.reason}`)
}

/** A restore that was cut short left no store, and this is not the place for a new one. */
function refuseUnfinished({ path, restoring, entries }: StateDirectory): void {
  if (restoring.length === 0 || entries.includes('sotto.db')) return
  throw new SottoError('no_store', `There is no store in ${quote(path)}: a restore was cut short`, {
    hint: `Run the same \`sotto restore FILE --to ${path}\` again.`,
  })
}

function refuseOccupied(state: StateDirectory): void {
  if (state.empty) return
  if (state.leftovers.length > 0) {
    const names = state.leftovers.map((name) => quote(name)).join(' and ')
    const found = `has no store, but ${names}`
    throw new SottoError('store_exists', `The state directory ${quote(state.path)} ${found}`, {
      hint: 'A `sotto init` was cut short, or a store was moved away. If it was the first, delete what it left and try again.',
    })
  }
  throw new SottoError('store_exists', `The state directory ${quote(state.path)} is not empty`, {
    hint: 'A store is never replaced. Give an empty directory, or start the server on this one.',
  })
}
