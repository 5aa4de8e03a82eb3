/** Backups, at a server: how old they are, and whether they were proven. It loads no code of backups. */
import type { OperationResponse } from '../../client/api/operations.ts'
import { SottoError } from '../../client/api/errors.ts'
import type { Invocation } from '../invocation.ts'
import { table, visible } from '../terminal/text.ts'

type Status = OperationResponse<'backup-status'>
type JobState = NonNullable<Status['Backup']>

/** Prints what a server has of backups. Then throws `job_failed` where a last run failed. */
export async function backupStatus(invocation: Invocation): Promise<void> {
  const status = await invocation.client().operate('backup-status', {})
  await invocation.print(status, () => table(rowsOf(status, invocation.io.now())))
  const failed = [status.Backup, status.Rehearsal].find((each) => each?.LastResult === 'failed')
  if (!failed) return
  const hint = 'docs/operations.md says what to do.'
  throw new SottoError('job_failed', `The last ${visible(failed.Name)} failed`, { hint })
}

function rowsOf(
  { Target, Keep, Newest, Proven, Backup, Rehearsal }: Status,
  now: number,
): string[][] {
  return [
    ['Target:', Target],
    ['Kept:', Keep],
    ['Newest:', Newest ? `${Newest.Name}, ${Newest.Size} bytes` : 'none'],
    ...(Newest ? [['  made:', momentOf(Newest.Created, now)]] : []),
    ['Proven:', Proven ? `${Proven.Name}, ${Proven.Values} values opened` : 'none'],
    ...(Proven ? [['  on:', momentOf(Proven.At, now)]] : []),
    ...(Backup ? [['Last backup:', endOf(Backup)]] : []),
    ['Last rehearsal:', Rehearsal ? endOf(Rehearsal) : 'never: --rehearse-every never'],
    ...(Rehearsal?.NextRun === undefined ? [] : [['  next:', Rehearsal.NextRun]]),
  ]
}

function endOf({ Running, LastEnd, LastResult, LastMessage = '' }: JobState): string {
  if (Running) return 'running'
  return LastEnd === undefined ? 'not since the start' : `${LastResult} ${LastEnd}: ${LastMessage}`
}

/** A moment, and how long ago that was. */
function momentOf(moment: string, now: number): string {
  const minutes = Math.max(0, Math.floor((now - Date.parse(moment)) / 60_000))
  const [hours, days] = [Math.floor(minutes / 60), Math.floor(minutes / 1440)]
  const age = days > 1 ? `${days} days` : hours > 1 ? `${hours} hours` : `${minutes} minutes`
  return `${moment}, ${age} ago`
}
