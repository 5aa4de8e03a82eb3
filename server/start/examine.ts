/**
 * Looks at a store as a server that starts on it does, with the same code, and changes nothing. A server may be using
 * the store meanwhile.
 */
import { existsSync, statSync } from 'node:fs'
import { type FileSystem, nodeFiles } from '../../audit/files.ts'
import { newestIntents } from '../../audit/newest-intents.ts'
import { findRecord, recover } from '../../audit/recovery.ts'
import { unavailable } from '../../audit/unavailable.ts'
import { SottoError } from '../../client/api/errors.ts'
import type { KeysConfig } from '../config/config.ts'
import type { Keyring } from '../crypto/keyring.ts'
import { refuseDisagreement } from '../gate/commits.ts'
import { StoreMacs } from '../gate/store-macs.ts'
import { openKeyring, type WrapProof, Wraps } from '../keys/wraps.ts'
import { accessFault, systemError } from '../../client/platform/system-error.ts'
import type { Store } from '../store/contract.ts'
import { type StateDirectory, stateDirectory } from '../store/directory.ts'
import { lockOwner } from '../store/lock.ts'
import { openToRead } from '../store/sqlite/store.ts'
import { refuseOtherMode, refuseUnfinished } from './open-store.ts'
import { providersOf } from './providers.ts'

/** A store that is looked at. */
export interface Examined {
  readonly state: StateDirectory
  /** It can only be read: what is to be noted in it is dropped. */
  readonly store: Store
  /** The process of the server that is using it, 0 where that is not known; undefined for none. */
  readonly usedBy: number | undefined
}

/** Opens the store of a server, until `undo` is disposed. Rejects with why a server could not. */
export async function examine(
  { stateDir }: Pick<KeysConfig, 'stateDir'>,
  undo: AsyncDisposableStack,
): Promise<Examined> {
  const state = stateDirectory(stateDir)
  refuseUnfinished(state)
  const usedBy = lockOwner(state.path)
  refuseUnwritable(state)
  const opened = await openToRead(state.store)
  undo.defer(() => opened.close())
  refuseOtherMode(state, opened.identity, false)
  const dropped = { noteProven: async () => {}, authenticate: () => {} }
  // No server is in the middle of a change: what is not there now never will be.
  const { hasChanges: committed } = opened
  return { state, store: { ...opened, ...dropped, committed } as unknown as Store, usedBy }
}

const acts = () => Promise.reject(new Error('Nothing is changed here'))

/**
 * The keyring as a server opens it, and what each available key proves. Rejects as `openKeyring`, and with `local`
 * where one that is available, and that the store knows, does not open it.
 */
export async function examineKeys(
  config: KeysConfig,
  { state, store }: Examined,
): Promise<{ readonly keyring: Keyring; readonly proofs: readonly WrapProof[] }> {
  const stored = await store.keys()
  const providers = providersOf(config, state, stored.wraps)
  const { keyring, rootKey } = await openKeyring(store.identity.id, stored, providers)
  rootKey.fill(0)
  const wraps = new Wraps({ store, providers, acts, clock: () => new Date() })
  return { keyring, proofs: await wraps.check() }
}

/** A server makes the folder of the log when it first starts. */
const logFiles: FileSystem = {
  ...nodeFiles,
  list: async (path) => (existsSync(path) ? nodeFiles.list(path) : []),
}

/** What each available key proves of the wraps of a store that a server is using; it is noted nowhere. */
export async function proofsBeside(config: KeysConfig): Promise<readonly WrapProof[]> {
  await using undo = new AsyncDisposableStack()
  const { state, store } = await examine(config, undo)
  const providers = providersOf(config, state, (await store.keys()).wraps)
  return await new Wraps({ store, providers, acts, clock: () => new Date() }).check()
}

/** Compares the audit log with the store, and verifies both, where no server uses them. Rejects as `openCommits`. */
export async function examineLog({ state, store }: Examined, keyring: Keyring): Promise<void> {
  const { id } = store.identity
  const { recovered, nextId } = await recover(logFiles, state.audit, id, { keys: keyring }).catch(
    (error: unknown) => {
      throw error instanceof SottoError ? error : unavailable(state.audit, error)
    },
  )
  const found = { ...recovered, nextId }
  await refuseDisagreement(
    {
      store,
      findRecord: (record) => findRecord(state.audit, record, logFiles),
      newestIntents: () => newestIntents(state.audit, logFiles),
    },
    found,
  )
  // A store of an early release gets its MACs at its next start.
  const { mac } = await store.standing()
  if (mac !== undefined) await StoreMacs.open(store, keyring, found)
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}

/** A command that another user ran may have left files that the server cannot change. */
function refuseUnwritable({ path, store, audit, backups }: StateDirectory): void {
  const files = ['', '-wal', '-shm'].map((ending) => store + ending)
  const others = [`${path}/lock`, `${path}/lock.pid`, backups]
  const faults = [
    accessFault(path, true),
    ...(isFolder(audit) ? [accessFault(audit, true)] : []),
    ...[...files, ...others].map((each) => accessFault(each)),
  ]
  const fault = faults.find((each) => each !== undefined && each.code !== 'ENOENT')
  if (fault === undefined) return
  throw systemError(fault, 'use', fault.path ?? path, {
    hint: `Another user made it, such as root with sudo. As root: chown -R ${process.geteuid?.()} ${path}`,
  })
}
