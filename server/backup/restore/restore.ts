/** Makes a store out of a backup, in an empty directory. */
import { join } from 'node:path'
import type { Receipt } from '../../../audit/record.ts'
import type { Manifest } from '../manifest.ts'
import { backupNameOf } from '../name.ts'
import { OpenedBackup } from '../open.ts'
import type { BackupKeys, BackupSource } from '../source.ts'
import type { Progress } from '../targets/target.ts'
import { type Continued, type Continuing, continueStore } from './continue.ts'
import { publishState } from './publish.ts'
import { gatherLog, survivingLog } from './restored-log.ts'
import { demandRoot } from './root.ts'
import { type KeyName, opensOf, provenStore, unpack } from './verify.ts'

/** What a store is restored with. */
export interface RestoreParts extends Omit<Continuing, 'exact' | 'root'> {
  readonly source: BackupSource
  readonly keys: BackupKeys
  /** The state directory to be: absent or empty. */
  readonly to: string
  /** The folder of the audit log of the same store, where it survived. */
  readonly audit?: string
  /** Gives the earlier backups that have the log before, by name. Absent: that part is left out. */
  readonly earlier?: (name: string) => Promise<BackupSource | undefined>
  /** The fingerprint of the root key that the backup must be under. */
  readonly expectRoot?: string
  readonly progress?: Progress
}

/** A store that came back. */
export interface RestoredStore extends Continued {
  readonly to: string
  readonly backup: string
  readonly manifest: Manifest
  /** The key that opened the backup. */
  readonly openedWith: string | undefined
  /** The fingerprint of its root key, which the backup was under. */
  readonly root: string
  /** The keys that open it again. */
  readonly opens: readonly KeyName[]
  /** The record that the log which came back begins after; id 0: it is whole. */
  readonly logAfter: Receipt
}

/**
 * Restores a backup. The store is another branch then, and changes nothing outside of it until an operator adopts
 * it. Rejects with `store_exists` when the directory has anything in it, as `verifyBackup` for the
 * backup, with `audit_cut`, `audit_damaged` or `store_foreign` for a log that does not continue the backup's, or tells of
 * another root key,
 * with `local`, and with the reason of the signal. Until it resolves there is no store in the directory, whenever
 * it is cut short; where only the last step is left, `finishRestore` takes it.
 */
export async function restoreBackup(parts: RestoreParts): Promise<RestoredStore> {
  return publishState(parts.to, (draft) => build(parts, draft))
}

/** Builds the whole state in the directory `path`. */
async function build(parts: RestoreParts, path: string): Promise<RestoredStore> {
  const { source, keys, to, audit } = parts
  await using opened = await OpenedBackup.open(source, keys)
  await demandRoot(backupNameOf(opened.manifest), opened.root, {
    ...parts,
    proves: keys.provesRoot,
  })
  await unpack(opened, path, parts)
  const { name: backup, manifest, root } = opened
  await using proven = await provenStore(opened, path, keys, parts)
  const folder = join(path, 'audit')
  const logAfter =
    audit === undefined
      ? await gatherLog(opened, folder, parts)
      : await survivingLog(audit, folder, manifest, proven.keyring, parts)
  const exact = audit !== undefined
  const draft = { path, backup, manifest, proven }
  const continued = await continueStore(draft, { ...parts, exact, root })
  const { openedWith } = keys
  return { to, backup, manifest, openedWith, root, opens: opensOf(opened), logAfter, ...continued }
}
