/** Which backups are kept. Pure: it goes by what is inside them. */
import { quote, SottoError } from '../../client/api/errors.ts'
import type { OwnBackup } from './own.ts'

/** How many backups are kept of each kind; one may be of several. */
export interface Keep {
  /** The newest ones. */
  readonly last: number
  /** The first one of each day that has any, of so many of the newest such days; so on for the others. Days are UTC. */
  readonly daily: number
  /** Weeks begin on Monday. */
  readonly weekly: number
  readonly monthly: number
}

/** What is kept when nothing else is said. */
export const DEFAULT_KEEP: Keep = { last: 30, daily: 14, weekly: 8, monthly: 12 }

const kinds = ['last', 'daily', 'weekly', 'monthly'] as const

/** The text that `parseKeep` reads, in the order of the table. */
export function keepText(keep: Keep): string {
  return kinds.map((kind) => `${kind}=${keep[kind]}`).join(',')
}

/**
 * Reads `last=30,daily=14`; kinds that are not named are kept 0 of. Undefined for `all`: nothing is deleted.
 * Throws `usage`, also where nothing would be kept.
 */
export function parseKeep(text: string): Keep | undefined {
  if (text === 'all') return undefined
  const keep = { last: 0, daily: 0, weekly: 0, monthly: 0 }
  for (const each of text.split(',')) {
    const [, kind, count] = /^(last|daily|weekly|monthly)=(\d{1,5})$/.exec(each) ?? []
    if (kind === undefined) {
      throw new SottoError('usage', `Cannot read ${quote(text)} as --backup-keep`, {
        hint: `It looks like ${keepText(DEFAULT_KEEP)}, or is all.`,
      })
    }
    keep[kind as keyof Keep] = Number(count)
  }
  if (keep.last > 0) return keep
  throw new SottoError(
    'usage',
    `Cannot use ${quote(text)} as --backup-keep: last must be 1 or more`,
    {
      hint: 'The newest backup is never deleted.',
    },
  )
}

/** What `expired` goes by besides what is to be kept. */
export interface Retained {
  readonly now: Date
  /** Names that are kept whatever is said. */
  readonly needed?: ReadonlySet<string>
}

/**
 * Those of `backups`, which are of one branch and in their order, that are to be deleted, the oldest first. The
 * order is that of their revisions. Days, weeks and months go by dates, and by none that cannot be: a backup that
 * is dated after `now`, or out of order with its revision, is kept and takes the place of no other. Never deleted:
 * the newest, the one that it follows, and the first of the newest day, which those of that day follow.
 */
export function expired(
  backups: readonly OwnBackup[],
  keep: Keep,
  { now, needed = new Set() }: Retained,
): OwnBackup[] {
  const sure = dated(backups, now)
  const newest = backups.at(-1)
  // By name: a listing may have one twice, and what is deleted is a name.
  const kept = new Set(
    [
      ...sure.slice(-Math.max(1, keep.last)),
      ...firsts(sure, dayOf, Math.max(1, keep.daily)),
      ...firsts(sure, weekOf, keep.weekly),
      ...firsts(sure, monthOf, keep.monthly),
    ].map(({ name }) => name),
  )
  const isSpared = ({ name }: OwnBackup): boolean =>
    kept.has(name) || needed.has(name) || name === newest?.name || name === newest?.follows
  return sure.filter((each) => !isSpared(each))
}

/**
 * Those of `backups`, which are in their order, whose dates can be: none is after `now`, and they go up with the
 * order. Where some contradict others, the greater number is right.
 */
export function dated(backups: readonly OwnBackup[], now: Date): OwnBackup[] {
  const limit = now.toISOString()
  // The longest run that goes up: tails[n] ends the one of n + 1 backups whose end is the earliest.
  const tails: Run[] = []
  for (const backup of backups) {
    const { created } = backup
    if (created > limit) continue
    let at = tails.length
    while (at > 0 && (tails[at - 1] as Run).backup.created > created) at--
    tails[at] = { backup, before: tails[at - 1] }
  }
  const found: OwnBackup[] = []
  for (let run = tails.at(-1); run; run = run.before) found.unshift(run.backup)
  return found
}

interface Run {
  readonly backup: OwnBackup
  readonly before: Run | undefined
}

/** The first of each of the newest `count` periods. */
function firsts(
  backups: readonly OwnBackup[],
  periodOf: (created: string) => string,
  count: number,
): OwnBackup[] {
  const periods = [...Map.groupBy(backups, ({ created }) => periodOf(created)).values()]
  return periods.slice(Math.max(0, periods.length - count)).flatMap((each) => each.slice(0, 1))
}

function dayOf(created: string): string {
  return created.slice(0, 10)
}

function monthOf(created: string): string {
  return created.slice(0, 7)
}

/** The Monday of the week. */
function weekOf(created: string): string {
  const day = new Date(`${dayOf(created)}T00:00:00Z`)
  day.setUTCDate(day.getUTCDate() - ((day.getUTCDay() + 6) % 7))
  return dayOf(day.toISOString())
}
