/** What is done on the files of a store that no server has open. */
import type { BatchKeys } from '../../audit/batches.ts'
import { createBackup, type CreatedBackup, type CreateParts } from '../backup/create.ts'
import type { KeysConfig } from '../config/config.ts'
import type { Keyring } from '../crypto/keyring.ts'
import { type LogWorld, openCommits, openFiles } from './open-store.ts'
import { SecretCache } from '../catalog/cache.ts'
import { type KeyActs, keyActs } from '../gate/key-acts.ts'
import type { KeyProvider } from '../crypto/provider.ts'
import { entriesOf, type EntryUse, type RootInfo, Rotation } from '../keys/rotation.ts'
import { openKeyring, Wraps } from '../keys/wraps.ts'
import { stateDirectory } from '../store/directory.ts'
import { asStoreError } from '../store/sqlite/faults.ts'
import { Reader } from '../store/sqlite/reader.ts'
import { providersOf } from './providers.ts'

/** The surroundings of work on the files of a store. */
export interface FilesWorld extends LogWorld {
  /** Who works on the files, for the audit log. */
  readonly operator: string
}

/** The keys of a store that no server has open. */
export interface KeysOnFiles {
  readonly wraps: Wraps
  /** The entries of the keyring; their fingerprints are known only once it was opened. */
  entries(): Promise<EntryUse[]>
  /** The root key; its fingerprint is known only once it was opened. */
  root(): Promise<RootInfo>
  /**
   * Begins a rotation of the keyring, or continues one, and finishes it. `root`: with a new root key, and
   * given the recipients of recovery keys. `signal` leaves the rest to the next one. Rejects as `Rotation.beginRoot` and `Rotation.run`.
   */
  rotate(root?: readonly KeyProvider[], signal?: AbortSignal): Promise<void>
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
    const commits = await openCommits(state, store, keyring, cache, world, undo)
    return keyActs(commits, { operator }, clock)
  }
  // The log is opened by the first change, and once.
  let begun: Promise<KeyActs> | undefined
  const acts = (keyring: Keyring): Promise<KeyActs> => (begun ??= begin(keyring))
  let opened: Keyring | undefined
  return await act({
    wraps: new Wraps({ store, providers, acts, clock }),
    entries: () => entriesOf(store, opened),
    async root() {
      const { root } = await store.keys()
      return { number: root.number, ...(opened && { fingerprint: opened.rootFingerprint }) }
    },
    async rotate(recipients, signal) {
      const { keyring, rootKey } = await openKeyring(
        store.identity.id,
        await store.keys(),
        providers,
      )
      rootKey.fill(0)
      opened = keyring
      const rotation = new Rotation({
        store,
        keyring,
        providers: async () => providers,
        clock,
        shared: false,
        alone: (_of, task) => task(),
      })
      const by = await acts(keyring)
      if (recipients) await rotation.beginRoot(by, recipients)
      else await rotation.begin(by)
      await rotation.run(by, signal)
    },
  })
}

/**
 * The keys of the audit log of a store, which a server may be using, and the record from which on each batch has a
 * MAC. Nothing is changed. Rejects with the SottoError of what is in the way.
 */
export async function auditKeysOf(
  config: KeysConfig,
): Promise<{ keys: BatchKeys; macsFrom?: number }> {
  const state = stateDirectory(config.stateDir)
  const reader = new Reader(state.store)
  try {
    const stored = reader.look('keys')
    const providers = providersOf(config, state, stored.wraps)
    const { keyring, rootKey } = await openKeyring(reader.look('identify').id, stored, providers)
    rootKey.fill(0)
    const { macsFrom } = reader.look('standing')
    return { keys: keyring, ...(macsFrom !== undefined && { macsFrom }) }
  } catch (error) {
    throw asStoreError(error, 'read it', state.store)
  } finally {
    reader.close()
  }
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
  const { operator, clock } = world
  await using undo = new AsyncDisposableStack()
  const { state, store, providers } = await openFiles(config, undo)
  const opened = await openKeyring(store.identity.id, await store.keys(), providers)
  opened.rootKey.fill(0)
  const { keyring } = opened
  const { log } = await openCommits(
    state,
    store,
    keyring,
    new SecretCache(store, keyring, 0),
    world,
    undo,
  )
  let announced = 0
  return await createBackup({
    ...wanted,
    alone: true,
    store,
    keyring,
    auditDirectory: state.audit,
    logHead: () => log.head,
    records: {
      async announce(backup, root) {
        const target = wanted.target.description
        announced = (await log.append({ kind: 'backup', backup, target, root, operator })).id
      },
      async abandon(reason) {
        await log.append({ kind: 'abandoned', of: announced, reason }).catch(() => {})
      },
    },
    ...(clock && { clock }),
  })
}
