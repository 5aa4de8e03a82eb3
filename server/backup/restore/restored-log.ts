/** The audit log that a restored store gets: out of backups, or what survived of it. */
import { existsSync } from 'node:fs'
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { planCopy, readStart } from '../../../audit/copy.ts'
import { nodeFiles } from '../../../audit/files.ts'
import { beginning } from '../../../audit/line.ts'
import type { Receipt } from '../../../audit/record.ts'
import { damageError, findRecord, recover } from '../../../audit/recovery.ts'
import { verifyLog } from '../../../audit/verify.ts'
import { quote, SottoError } from '../../../client/api/errors.ts'
import { extract } from '../extract.ts'
import type { Manifest } from '../manifest.ts'
import { OpenedBackup } from '../open.ts'
import type { BackupKeys, BackupSource } from '../source.ts'
import { sync } from '../../platform/durable.ts'

/** Where the log before that of a backup comes from. */
interface EarlierLog {
  readonly keys: BackupKeys
  /** Gives an earlier backup by name; undefined where it is not there. Absent: none is looked for. */
  readonly earlier?: (name: string) => Promise<BackupSource | undefined>
}

/**
 * Completes the log that was unpacked out of `backup` into the folder `directory` with what earlier
 * backups have. Resolves with the record that it then begins after; id 0: it is whole. Rejects with
 * `backup_damaged` for an earlier one that cannot be used.
 */
export async function gatherLog(
  backup: OpenedBackup,
  directory: string,
  { keys, earlier }: EarlierLog,
): Promise<Receipt> {
  const { log } = backup.manifest
  if (log === null) return beginning
  let { after } = log
  let { follows } = backup.manifest
  while (follows !== null && after.id > 0) {
    const source = await earlier?.(follows)
    if (source === undefined) break
    await using opened = await OpenedBackup.open(source, keys)
    await takeSegments(opened, directory)
    after = opened.manifest.log?.after ?? after
    follows = opened.manifest.follows
  }
  await prove(directory, after, log.last)
  return after
}

/**
 * Puts a copy of the log in the folder `from` into the folder `to`, in the place of what is there.
 * Resolves with the record that it begins after. Rejects with `audit_cut` or `audit_damaged` where
 * it is not whole or not the log that continues the backup of that manifest, with `store_foreign` for that of another store.
 */
export async function survivingLog(
  from: string,
  to: string,
  { store, log }: Pick<Manifest, 'store' | 'log'>,
): Promise<Receipt> {
  if (!existsSync(from)) {
    throw new SottoError('local', `There is no audit log in ${quote(from)}`, {
      hint: 'Name the folder `audit` of the state directory that was lost.',
    })
  }
  const { recovered } = await recover(nodeFiles, from, store.id)
  const { last } = recovered
  if (last === null || last.id < (log?.last.id ?? 0)) {
    const message = `The audit log ${quote(from)} ends at record ${last?.id ?? 0}, and the backup has records up to ${log?.last.id ?? 0}`
    throw new SottoError('audit_cut', message, {
      hint: 'Restore without --audit: the backup has all that this log has.',
    })
  }
  const known = log && (await findRecord(from, log.last.id))
  if (log !== null && known?.hash !== log.last.hash) {
    const message = `The audit log ${quote(from)} does not continue the backup: its record ${log.last.id} is another one`
    throw new SottoError('audit_damaged', message, {
      hint: 'It was altered, or belongs to another copy of the store. Restore without --audit to do without it.',
    })
  }
  const plan = await planCopy(from, { after: 0, last })
  await rm(to, { recursive: true, force: true })
  await mkdir(to, { mode: 0o700 })
  for (const { name, bytes } of plan.segments) await copyStart(from, to, name, bytes)
  await sync(to)
  await prove(to, plan.after, last)
  return plan.after
}

async function copyStart(from: string, to: string, name: string, bytes: number): Promise<void> {
  await using file = await open(join(to, name), 'wx', 0o600)
  for await (const piece of readStart(join(from, name), bytes)) await file.writev([piece])
  await file.sync()
}

/** Takes the segments that are not there yet: what a later backup has of one is more of it. */
async function takeSegments(backup: OpenedBackup, directory: string): Promise<void> {
  const draft = `${directory}.earlier`
  await mkdir(draft, { mode: 0o700 })
  const wanted = (name: string): boolean =>
    name.startsWith('audit/') && !existsSync(join(directory, name.slice('audit/'.length)))
  // All of it is read, and so proven, before any of it is taken.
  await extract(backup, draft, { wanted })
  const folder = join(draft, 'audit')
  for (const name of existsSync(folder) ? await readdir(folder) : []) {
    await rename(join(folder, name), join(directory, name))
  }
  await rm(draft, { recursive: true })
  await sync(directory)
}

async function prove(directory: string, after: Receipt, head: Receipt): Promise<void> {
  const { damage } = await verifyLog(directory, { after, head })
  if (damage) throw damageError(directory, damage)
}
