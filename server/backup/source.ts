/** Where a backup is read from, and what opens it. */
import type { KeyObject } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { quote, SottoError } from '../../client/api/errors.ts'
import { backupKeyOf, Keyring, openFileKey, type SealedEntry } from '../crypto/keyring.ts'
import type { KeyProvider } from '../crypto/provider.ts'
import { openRootKey } from '../crypto/root-key.ts'
import { readFilePieces } from './targets/directory.ts'
import { damaged } from './damage.ts'
import type { SealedHead } from './head.ts'
import type { BackupTarget, TargetObject } from './targets/target.ts'

/** One backup, to be read from its beginning as often as is asked. */
export interface BackupSource {
  readonly name: string
  /** Bytes of it. */
  readonly size: number
  /** Rejects with `no_backup` where it is not there any more. */
  read(): Promise<AsyncIterable<Uint8Array>>
}

/** What opens backups of a store, given the head of each. */
export interface BackupKeys extends Disposable {
  /** The file key of the backup `name`. Rejects with what is wrong with the key or the head. */
  fileKey(head: SealedHead, name: string): Promise<KeyObject>
  /** The keyring of the store in a backup whose file key was opened. Throws `store_damaged`. */
  keyring(storeId: string, keys: readonly SealedEntry[]): Keyring
  /** The key that opened it, for people; undefined where a keyring in memory did. */
  readonly openedWith: string | undefined
}

/** The backup in the file at `path`. Rejects with `no_backup` where there is none. */
export async function fileSource(path: string): Promise<BackupSource> {
  const status = await stat(path).catch((error: NodeJS.ErrnoException) => error)
  if (status instanceof Error || !status.isFile()) {
    const why = status instanceof Error && status.code !== 'ENOENT' ? ` (${status.code})` : ''
    throw new SottoError('no_backup', `There is no backup file ${quote(path)}${why}`, {
      hint: '`sotto backup list DIR` shows the backups in a directory.',
    })
  }
  return { name: basename(path), size: status.size, read: () => readFilePieces(path) }
}

/** A backup that `target` listed. */
export function objectSource(target: BackupTarget, { name, size }: TargetObject): BackupSource {
  return { name, size, read: () => target.get(name) }
}

/** The backup `name` in a target. Rejects with `no_backup` where there is none. */
export async function targetSource(target: BackupTarget, name: string): Promise<BackupSource> {
  const found = (await target.list()).find((each) => each.name === name)
  if (found) return objectSource(target, found)
  throw new SottoError('no_backup', `There is no backup ${quote(name)} in ${target.description}`)
}

/** Opens backups with whichever provider has a key that wrapped their root key. */
export function providerKeys(providers: readonly KeyProvider[]): BackupKeys {
  let root: { readonly storeId: string; readonly rootKey: Uint8Array } | undefined
  let openedWith: string | undefined
  return {
    async fileKey(head, name) {
      if (root?.storeId !== head.storeId) {
        root?.rootKey.fill(0)
        const opened = await openRootKey(providers, head.wraps, head.storeId)
        root = { storeId: head.storeId, rootKey: opened.rootKey }
        openedWith = `${opened.wrap.provider} key ${opened.wrap.fingerprint}`
      }
      const key = backupKeyOf(root.rootKey, head.storeId)
      return bound(name, () => openFileKey(key, head.storeId, head.hash, head.sealedKey))
    },
    keyring(storeId, keys) {
      if (root?.storeId !== storeId) {
        throw new SottoError('internal', 'The backup of this store was not opened')
      }
      return Keyring.open(storeId, root.rootKey, keys)
    },
    get openedWith() {
      return openedWith
    },
    [Symbol.dispose]() {
      root?.rootKey.fill(0)
      root = undefined
    },
  }
}

/** Opens backups of the store of a keyring that is in memory. */
export function keyringKeys(keyring: Keyring): BackupKeys {
  return {
    fileKey: async (head, name) =>
      bound(name, () => keyring.openFileKey(head.hash, head.sealedKey)),
    keyring: () => keyring,
    openedWith: undefined,
    [Symbol.dispose]() {},
  }
}

/** A file key that does not open was sealed for another head, or by another store. */
function bound(name: string, open: () => KeyObject): KeyObject {
  try {
    return open()
  } catch (cause) {
    throw damaged(name, 'its head was altered, or is that of another file', cause)
  }
}
