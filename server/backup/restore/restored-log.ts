/** The audit log that a restored store gets: out of backups, or what survived of it. */
import { existsSync } from 'node:fs'
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { BatchKeys } from '../../../audit/batches.ts'
import { planCopy, readStart } from '../../../audit/copy.ts'
import { nodeFiles } from '../../../audit/files.ts'
import { beginning } from '../../../audit/line.ts'
import { readLog } from '../../../audit/reader.ts'
import { isIntent, type Receipt } from '../../../audit/record.ts'
import { damageError, findRecord, recover } from '../../../audit/recovery.ts'
import { verifyLog } from '../../../audit/verify.ts'
import { quote, SottoError } from '../../../client/api/errors.ts'
import { extract } from '../extract.ts'
import type { Manifest } from '../manifest.ts'
import { OpenedBackup } from '../open.ts'
import type { BackupKeys, BackupSource } from '../source.ts'
import { sync } from '../../../client/platform/durable.ts'
import { NO_BRANCH } from '../../store/branch.ts'

/** Where the log before that of a backup comes from. */
interface EarlierLog {
  readonly keys: BackupKeys
  /** Gives an earlier backup by name; undefined where it is not there. Absent: none is looked for. */
  readonly earlier?: (name: string) => Promise<BackupSource | undefined>
  readonly signal?: AbortSignal
}

/**
 * Completes the log that was unpacked out of `backup` into the folder `directory` with what earlier
 * backups have. Resolves with the record that it then begins after; id 0: it is whole. Rejects with
 * `backup_damaged` for an earlier one that cannot be used.
 */
export async function gatherLog(
  backup: OpenedBackup,
  directory: string,
  { keys, earlier, signal }: EarlierLog,
): Promise<Receipt> {
  const { log } = backup.manifest
  if (log === null) return beginning
  let { after } = log
  let { follows } = backup.manifest
  while (follows !== null && after.id > 0) {
    const source = await earlier?.(follows)
    if (source === undefined) break
    await using opened = await OpenedBackup.open(source, keys)
    await takeSegments(opened, directory, signal)
    after = opened.manifest.log?.after ?? after
    follows = opened.manifest.follows
  }
  await prove(directory, after, log.last, signal)
  return after
}

/**
 * Puts a copy of the log in the folder `from` into the folder `to`, in the place of what is there.
 * Resolves with the record that it begins after. Rejects with `audit_cut` or `audit_damaged` where
 * it is not whole, or not what the store of the backup of that manifest, whose keys are given, wrote since; with
 * `store_foreign` for that of another store, of another branch, or of a later root key.
 */
export async function survivingLog(
  from: string,
  to: string,
  { store, log }: Pick<Manifest, 'store' | 'log'>,
  keys: BatchKeys,
  { signal }: Pick<EarlierLog, 'signal'> = {},
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
  if (log === null) await refuseUnproven(from, signal)
  const known = log && (await findRecord(from, log.last.id))
  if (log !== null && known?.hash !== log.last.hash) {
    const message = `The audit log ${quote(from)} does not continue the backup: its record ${log.last.id} is another one`
    throw new SottoError('audit_damaged', message, {
      hint: 'It was altered, or belongs to another copy of the store. Restore without --audit to do without it.',
    })
  }
  await refuseOther(from, { after: log?.last.id ?? 0, branch: store.branch, keys, signal })
  const plan = await planCopy(from, { after: 0, last })
  await rm(to, { recursive: true, force: true })
  await mkdir(to, { mode: 0o700 })
  for (const { name, bytes } of plan.segments) {
    signal?.throwIfAborted()
    await copyStart(from, to, name, bytes)
  }
  await sync(to)
  const { damage } = await verifyLog(to, { after: plan.after, head: last, keys, signal })
  if (damage === undefined) return plan.after
  const { message } = damageError(from, damage)
  throw new SottoError('audit_damaged', message, {
    hint: 'It was altered, or the store of the backup did not write it. Restore without --audit to do without it.',
  })
}

/**
 * What another branch did is not what was lost: it gave the same numbers to other values. Nor can be told who wrote
 * what has MACs by a key that the backup has not.
 */
async function refuseOther(
  from: string,
  wish: {
    readonly after: number
    readonly branch: string
    readonly keys: BatchKeys
    readonly signal: AbortSignal | undefined
  },
): Promise<void> {
  const { after, branch, keys, signal } = wish
  const [newest = 0] = keys.auditKeys
  for await (const { record } of readLog(from, { after, signal })) {
    if (record.kind !== 'segment') continue
    const other = record.branch ?? NO_BRANCH
    const wrong = (why: string, hint: string): SottoError =>
      new SottoError('store_foreign', `Cannot use the audit log ${quote(from)}: ${why}`, { hint })
    if (other !== branch) {
      throw wrong(
        `from record ${record.id} on it is that of branch ${other} of the store, and the backup is of branch ${branch}`,
        'A restore began that branch: use a backup of it, or restore without --audit.',
      )
    }
    if ((record.key ?? 0) <= newest) continue
    throw wrong(
      `from record ${record.id} on it was written under root key number ${record.key}, and the backup has number ${newest}`,
      'Use a backup from after `sotto key rotate --root`, or restore without --audit.',
    )
  }
}

/**
 * A backup that has nothing of the log cannot tell that this is its log: that is no harm only where the log has no
 * change.
 */
async function refuseUnproven(from: string, signal: AbortSignal | undefined): Promise<void> {
  for await (const { record } of readLog(from, { signal })) {
    if (!isIntent(record)) continue
    const message = `The audit log ${quote(from)} has changes, and the backup has nothing of a log that would say whether it is the same`
    throw new SottoError('audit_damaged', message, {
      hint: 'Use another backup: one of a server always has the log. Restore without --audit to do without the log.',
    })
  }
}

async function copyStart(from: string, to: string, name: string, bytes: number): Promise<void> {
  await using file = await open(join(to, name), 'wx', 0o600)
  for await (const piece of readStart(join(from, name), bytes)) await file.writev([piece])
  await file.sync()
}

/** Takes the segments that are not there yet: what a later backup has of one is more of it. */
async function takeSegments(
  backup: OpenedBackup,
  directory: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const draft = `${directory}.earlier`
  await mkdir(draft, { mode: 0o700 })
  const wanted = (name: string): boolean =>
    name.startsWith('audit/') && !existsSync(join(directory, name.slice('audit/'.length)))
  // All of it is read, and so proven, before any of it is taken.
  await extract(backup, draft, { wanted, ...(signal && { signal }) })
  const folder = join(draft, 'audit')
  for (const name of existsSync(folder) ? await readdir(folder) : []) {
    await rename(join(folder, name), join(directory, name))
  }
  await rm(draft, { recursive: true })
  await sync(directory)
}

async function prove(
  directory: string,
  after: Receipt,
  head: Receipt,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { damage } = await verifyLog(directory, { after, head, signal })
  if (damage) throw damageError(directory, damage)
}
