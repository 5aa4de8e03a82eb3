/**
 * When rotations are due. A date that passed while the server was down, or that a clock jumped over, counts once;
 * with a window it counts only while that is open.
 */
import { SottoError } from '../../client/api/errors.ts'
import type { RotationConfig } from '../../client/api/rotations.ts'
import { parseDuration, parseMoment } from '../../client/api/times.ts'

/** When the next date of a rotation is. */
export interface Schedule {
  /** The first date of `config` after `now`; undefined: there is none. Throws `bad_request` for what is not a schedule. */
  readonly after: (config: RotationConfig, now: Date) => Date | undefined
  /** The same of the date that is due once, which may be past. */
  readonly first: (config: RotationConfig, now: Date) => Date | undefined
}

/** What is to be done at a time, and when the date after it is. */
export type Due =
  | { readonly is: 'waits' }
  | { readonly is: 'begins' | 'missed'; readonly next: Date | undefined }

/** Loads what reads schedules. */
export async function openSchedule(): Promise<Schedule> {
  const { Cron } = await import('croner')
  const after = ({ schedule }: RotationConfig, now: Date): Date | undefined => {
    if (schedule === undefined) return undefined
    try {
      return new Cron(schedule, { timezone: 'UTC', mode: '5-part' }).nextRun(now) ?? undefined
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      throw new SottoError(
        'bad_request',
        `Cannot use the schedule ${JSON.stringify(schedule)}: ${why}`,
        {
          hint: 'Write five fields as in a crontab, in UTC: minute, hour, day, month, day of the week.',
        },
      )
    }
  }
  const first = (config: RotationConfig, now: Date): Date | undefined =>
    config.kind === 'manual' && config.due !== undefined
      ? parseMoment(config.due)
      : after(config, now)
  return { after, first }
}

/** What to do at `now` about a rotation that is due at `due`. */
export function decide(
  { after }: Pick<Schedule, 'after'>,
  config: RotationConfig,
  due: Date | undefined,
  now: Date,
): Due {
  if (due === undefined || due > now) return { is: 'waits' }
  const next = after(config, now)
  const window = config.kind === 'manual' ? undefined : config.window
  const open = window === undefined ? Infinity : (parseDuration(window) ?? Infinity)
  return { is: now.getTime() > due.getTime() + open ? 'missed' : 'begins', next }
}

/** How long after it was due a rotation that does not begin is overdue. */
const LATE_MS = 3_600_000

/** Whether a run that is due did not begin, or a person has not made the version that is due. */
export function isOverdue(
  { kind }: RotationConfig,
  { step, due }: { readonly step: string; readonly due: Date | undefined },
  now: Date,
): boolean {
  if (kind === 'manual' && step === 'planned') return true
  const late = kind === 'manual' ? 0 : LATE_MS
  return due !== undefined && now.getTime() > due.getTime() + late
}
