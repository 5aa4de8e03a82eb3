/** What is done on the files of a store that no server has open. */
import { createBackup, type CreatedBackup, type CreateParts } from '../backup/create.ts'
import type { KeysConfig } from '../config/config.ts'
import type { Keyring } from '../crypto/keyring.ts'
import { type LogWorld, openCommits, openFiles } from './open-store.ts'
import { SecretCache } from '../catalog/cache.ts'
import { type KeyActs, keyActs } from '../gate/key-acts.ts'
import { entriesOf, type EntryUse, Rotation } from '../keys/rotation.ts'
import { type OpenedKeyring, openKeyring, Wraps } from '../keys/wraps.ts'

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
  /** Begins a rotation of the keyring, or continues one, and finishes it. Rejects as `Rotation.run`. */
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
    const commits = await openCommits(state, store, cache, world, undo)
    return keyActs(commits, { operator }, clock)
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
  const { operator, clock } = world
  await using undo = new AsyncDisposableStack()
  const { state, store, providers } = await openFiles(config, undo)
  const opened = await openKeyring(store.identity.id, await store.keys(), providers)
  opened.rootKey.fill(0)
  const { keyring } = opened
  const { log } = await openCommits(state, store, new SecretCache(store, keyring, 0), world, undo)
  let announced = 0
  return await createBackup({
    ...wanted,
    alone: true,
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
    ...(clock && { clock }),
  })
}
