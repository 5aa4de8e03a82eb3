/**
 * Whether a backup is that of the store that is meant. Anybody can make a store of the same id under a root key of
 * their own, and wrap that for a key whose public half they have, or which they may encrypt with: a backup of it
 * opens with that key. Only the fingerprint of the root key tells the two apart.
 */
import { existsSync } from 'node:fs'
import { readLog } from '../../../audit/reader.ts'
import { quote, SottoError } from '../../../client/api/errors.ts'

/** Throws `store_foreign` where the backup `name` is under another root key than `expected`. */
export function refuseOtherRoot(name: string, root: string, expected: string | undefined): void {
  if (expected === undefined || expected === root) return
  throw new SottoError(
    'store_foreign',
    `Cannot use ${quote(name)}: it is under root key ${root}, and ${expected} is expected`,
    {
      hint: 'Anyone who can write where backups are kept may have put it there. A backup from before `sotto key rotate --root` has the root key of then: see docs/guides/backup.md#the-root-fingerprint.',
    },
  )
}

/** What vouches for a root key. */
export interface Vouchers {
  /** The fingerprint that was noted elsewhere. */
  readonly expectRoot?: string
  /** The folder of the audit log of the store, where it survived. */
  readonly audit?: string
  /** Whether only who has the key that opened it could make it. */
  readonly proves: boolean
}

/**
 * Resolves where something vouches for `root`, the fingerprint of the root key of the backup `name`. Rejects with
 * `store_foreign` where it is another one than is expected or the log tells, and with `local` where nothing vouches.
 */
export async function demandRoot(
  name: string,
  root: string,
  { expectRoot, audit, proves }: Vouchers,
): Promise<void> {
  refuseOtherRoot(name, root, expectRoot)
  const told = audit !== undefined && (await compareLog(audit, name, root))
  if (told || proves || expectRoot !== undefined) return
  throw new SottoError(
    'local',
    `Cannot tell whether ${quote(name)} is of your store: its root key is ${root}, and anyone who can encrypt for the key that opened it could have made it`,
    {
      hint: `Compare that with the fingerprint that was noted with the store. If it is the same, give --expect-root ${root}.`,
    },
  )
}

/**
 * Whether the log in the folder `directory` tells of root keys. Throws `store_foreign` where that of the backup
 * `name`, or that of every backup in it, is not `root`.
 */
async function compareLog(directory: string, name: string, root: string): Promise<boolean> {
  if (!existsSync(directory)) return false
  const told = new Set<string>()
  for await (const { record } of readLog(directory)) {
    if ((record.kind !== 'backup' && record.kind !== 'restore') || !record.root) continue
    if (record.kind === 'backup' && record.backup === name) {
      refuseOtherRoot(name, root, record.root)
    }
    told.add(record.root)
  }
  if (told.size > 0 && !told.has(root)) refuseOtherRoot(name, root, [...told].join(' or '))
  return told.size > 0
}
