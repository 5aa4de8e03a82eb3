/** Opens a store and what belongs to it: its keyring, and the audit log in agreement with it. */
import type { FileSystem } from '../../audit/files.ts'
import { AuditLog } from '../../audit/log.ts'
import { newestIntents } from '../../audit/newest-intents.ts'
import { findRecord } from '../../audit/recovery.ts'
import type { LogMetrics } from '../../audit/metrics.ts'
import { quote, SottoError } from '../../client/api/errors.ts'
import type { KeysConfig, ServerConfig } from '../config/config.ts'
import type { Keyring } from '../crypto/keyring.ts'
import type { KeyMetrics } from '../crypto/metrics.ts'
import type { KeyProvider } from '../crypto/provider.ts'
import { measuredAll, providersOf } from './providers.ts'
import { Commits } from '../gate/commits.ts'
import { StoreMacs } from '../gate/store-macs.ts'
import type { SecretCache } from '../catalog/cache.ts'
import { openKeyring } from '../keys/wraps.ts'
import type { Logger } from '../platform/logger.ts'
import type { Store, StoredWrap, StoreIdentity } from '../store/contract.ts'
import {
  madeStateDirectory,
  type StateDirectory,
  stateDirectory,
  temporaryStateDirectory,
} from '../store/directory.ts'
import { lockDirectory } from '../store/lock.ts'
import type { StoreMetrics } from '../store/metrics.ts'
import { openStore } from '../store/sqlite/store.ts'

/** What surrounds an audit log; each part has a default. */
export interface LogWorld {
  readonly clock?: () => Date
  /** The disk that it is on, for tests that break it. */
  readonly auditFiles?: FileSystem
  /** How long it may take for one record, in milliseconds. */
  readonly waitMs?: number
}

/** The state directory of a server, locked until `undo` is disposed. Throws why it cannot be used. */
export function claimState(config: ServerConfig, undo: AsyncDisposableStack): StateDirectory {
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

/**
 * Opens the store of a server, for as long as `undo` stands. Rejects with `store_foreign` where a development server
 * would open a production store or the other way round, and as `openStore`.
 */
export async function openOwnStore(
  config: ServerConfig,
  state: StateDirectory,
  { waitMs, metrics }: { readonly waitMs?: number; readonly metrics: StoreMetrics },
  undo: AsyncDisposableStack,
): Promise<Store> {
  refuseUnfinished(state)
  const store = await openStore(state.store, { metrics, ...(waitMs !== undefined && { waitMs }) })
  undo.defer(() => store.close())
  refuseOtherMode(state, store.identity, config.dev)
  return store
}

/** Throws `store_foreign` where a store was made for development and is not used so, or the other way round. */
export function refuseOtherMode(
  { path }: StateDirectory,
  { development }: StoreIdentity,
  dev: boolean,
): void {
  if (dev === development) return
  const made = development ? 'was made' : 'was not made'
  throw new SottoError('store_foreign', `The store in ${quote(path)} ${made} by --dev`, {
    hint: dev
      ? 'Give --dev a directory of its own; it never opens a production store.'
      : 'Make a production store with `sotto init --state-dir DIR`.',
  })
}

/**
 * Opens the keyring of a server's store with the first available key that opens it, and says which. Rejects as
 * `openKeyring`.
 */
export async function openKeys(
  config: ServerConfig,
  state: StateDirectory,
  store: Store,
  { logger, metrics }: { readonly logger: Logger; readonly metrics: KeyMetrics },
): Promise<{ keyring: Keyring; wrap: StoredWrap }> {
  const stored = await store.keys()
  const providers = measuredAll(providersOf(config, state, stored.wraps), metrics)
  const opened = await openKeyring(store.identity.id, stored, providers)
  const { keyring, rootKey, wrap, failures } = opened
  rootKey.fill(0)
  for (const { code, message } of failures) {
    logger.warn(`a key did not open the store: ${message}`, { code })
  }
  logger.info(`the store was opened with ${wrap.provider} key ${wrap.fingerprint}`)
  return { keyring, wrap }
}

/**
 * Opens a store that no server has open, for as long as `undo` stands. Rejects with what is in the way.
 */
export async function openFiles(
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

/**
 * Opens the audit log in agreement with the store, for as long as `undo` stands. Rejects as `Commits.open`.
 */
export async function openCommits(
  state: StateDirectory,
  store: Store,
  keyring: Keyring,
  cache: SecretCache,
  { auditFiles, clock, waitMs, metrics }: LogWorld & { readonly metrics?: LogMetrics },
  undo: AsyncDisposableStack,
): Promise<Commits> {
  const commits = await Commits.open({
    store,
    cache,
    findRecord: (id) => findRecord(state.audit, id, auditFiles),
    newestIntents: () => newestIntents(state.audit, auditFiles),
    openMacs: (found) => StoreMacs.open(store, keyring, found),
    openLog: (revision, macsFrom, accept) =>
      AuditLog.open({
        directory: state.audit,
        logId: store.identity.id,
        revision,
        macs: { keys: keyring, branch: store.identity.branch, from: macsFrom },
        accept,
        ...(auditFiles && { files: auditFiles }),
        ...(clock && { clock }),
        ...(metrics && { metrics }),
        ...(waitMs !== undefined && { waitMs }),
      }),
  })
  undo.defer(() => commits.log.close())
  undo.defer(() => commits.close())
  return commits
}

/** Throws `no_store` where a restore that was cut short left none, and this is not the place for a new one. */
export function refuseUnfinished({ path, restoring, entries }: StateDirectory): void {
  if (restoring.length === 0 || entries.includes('sotto.db')) return
  throw new SottoError('no_store', `There is no store in ${quote(path)}: a restore was cut short`, {
    hint: `Run the same \`sotto restore FILE --to ${path}\` again.`,
  })
}
