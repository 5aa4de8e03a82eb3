/** Where a backup is read from, and what opens it. */
import type { KeyObject } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { quote, SottoError } from '../../client/api/errors.ts'
import { backupKeyOf, Keyring, openFileKey, rootFingerprintOf } from '../crypto/keyring.ts'
import type { KeyProvider } from '../crypto/provider.ts'
import { openRootKey, type Wrap } from '../crypto/root-key.ts'
import { isAbsent, systemError } from '../../client/platform/system-error.ts'
import { readFilePieces } from './targets/directory.ts'
import type { StoredKeys } from '../store/contract.ts'
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
  /**
   * The file key of the backup `name`, and the fingerprint of the root key that gave it. Rejects with what is
   * wrong with the key or the head.
   */
  fileKey(
    head: SealedHead,
    name: string,
  ): Promise<{ readonly fileKey: KeyObject; readonly root: string }>
  /** The keyring of the store in a backup whose file key was opened. Throws `store_damaged`. */
  keyring(storeId: string, keys: StoredKeys): Keyring
  /** The key that opened it, for people; undefined where a keyring in memory did. */
  readonly openedWith: string | undefined
  /** Whether only who has that key could make what it opened. */
  readonly provesRoot: boolean
}

/** The backup in the file at `path`. Rejects with `no_backup` where there is none. */
export async function fileSource(path: string): Promise<BackupSource> {
  const status = await stat(path).catch((error: unknown) => {
    if (!isAbsent(error)) throw systemError(error, 'read the backup', path)
  })
  if (!status?.isFile()) {
    const hint = '`sotto backup list DIR` shows the backups in a directory.'
    throw new SottoError('no_backup', `There is no backup file ${quote(path)}`, { hint })
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
  let root: { storeId: string; rootKey: Uint8Array; wrap: Wrap } | undefined
  let openedWith: string | undefined
  let proves = false
  return {
    async fileKey(head, name) {
      // Another backup of the store may be under another root key.
      if (root === undefined || !hasWrap(head, root)) {
        root?.rootKey.fill(0)
        const opened = await openRootKey(providers, head.wraps, head.storeId)
        root = { storeId: head.storeId, ...opened }
        openedWith = `${opened.wrap.provider} key ${opened.wrap.fingerprint}`
        proves = isSymmetric(opened.wrap)
      }
      const { rootKey } = root
      const key = backupKeyOf(rootKey, head.storeId)
      const fileKey = bound(name, () => openFileKey(key, head.storeId, head.hash, head.sealedKey))
      return { fileKey, root: rootFingerprintOf(rootKey, head.storeId) }
    },
    keyring(storeId, keys) {
      if (root?.storeId !== storeId) {
        throw new SottoError('internal', 'The backup of this store was not opened')
      }
      return Keyring.open(storeId, root.rootKey, keys.keys, keys)
    },
    get openedWith() {
      return openedWith
    },
    get provesRoot() {
      return proves
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
    async fileKey(head, name) {
      const root = keyring.rootFingerprint
      if ((head.root ?? root) !== root) {
        const message = `The backup ${quote(name)} is under root key ${head.root}, and the store has root key ${root}`
        throw new SottoError('store_foreign', message)
      }
      return { fileKey: bound(name, () => keyring.openFileKey(head.hash, head.sealedKey)), root }
    },
    keyring: () => keyring,
    openedWith: undefined,
    provesRoot: true,
    [Symbol.dispose]() {},
  }
}

/**
 * Whether who can seal for the key of a wrap can open, too. The recipient of a recovery key is public, and key
 * services give the right to encrypt apart from that to decrypt.
 */
export function isSymmetric({ provider }: Pick<Wrap, 'provider'>): boolean {
  return provider === 'local'
}

function hasWrap(head: SealedHead, { storeId, wrap }: { storeId: string; wrap: Wrap }): boolean {
  const isSame = (each: Wrap) => Buffer.from(each.wrapped).equals(wrap.wrapped)
  return head.storeId === storeId && head.wraps.some(isSame)
}

/** A file key that does not open was sealed for another head, or by another store. */
function bound(name: string, open: () => KeyObject): KeyObject {
  try {
    return open()
  } catch (cause) {
    throw damaged(name, 'its head was altered, or is that of another file', cause)
  }
}
