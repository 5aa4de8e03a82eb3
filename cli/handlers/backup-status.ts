/** Backups, at a server: how old they are, and whether they were proven. It loads no code of backups. */
import type { OperationResponse } from '../../client/api/operations.ts'
import { SottoError } from '../../client/api/errors.ts'
import { visible } from '../../client/api/visible.ts'
import type { Invocation } from '../invocation.ts'
import { table } from '../terminal/table.ts'

type Status = OperationResponse<'backup-status'>
type JobState = NonNullable<Status['Backup']>

/** Prints what a server has of backups. Then throws `job_failed` where a last run failed, or backups are not as they should be. */
export async function backupStatus(invocation: Invocation): Promise<void> {
  const status = await invocation.client().operate('backup-status', {})
  await invocation.print(status, (room) => table(rowsOf(status, invocation.io.now()), { room }))
  const { Findings = [] } = status
  for (const { Words } of Findings) await invocation.io.stderr.write(`${visible(Words)}\n`)
  const failed = [status.Backup, status.Rehearsal].find((each) => each?.LastResult === 'failed')
  const bad = Findings.find(({ Kind }) => ['held', 'lost', 'stranger'].includes(Kind))
  if (!failed && bad) {
    const hint = 'docs/guides/backup.md#findings says what to do.'
    throw new SottoError('job_failed', 'The backups are not as they should be', { hint })
  }
  if (!failed) return
  const heading =
    failed === status.Backup
      ? 'readyz-says-backup-failed-or-the-newest-is-old'
      : 'readyz-says-rehearsal-failed'
  const hint = `docs/guides/runbook.md#${heading} says what to do.`
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
  const minutes = Math.floor((now - Date.parse(moment)) / 60_000)
  // The clock of the server and this one may differ by seconds.
  if (minutes < -1) return `${moment}, by a clock that is ahead of this one`
  const [hours, days] = [Math.floor(minutes / 60), Math.floor(minutes / 1440)]
  const age =
    days > 1 ? `${days} days` : hours > 1 ? `${hours} hours` : `${Math.max(0, minutes)} minutes`
  return `${moment}, ${age} ago`
}
