/** Which backups are kept. Pure: it needs nothing but names. */
import { quote, SottoError } from '../../client/api/errors.ts'
import { type NamedBackup, ownBackups } from './name.ts'

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
      throw new SottoError('usage', `Cannot read ${quote(text)} as what to keep of backups`, {
        hint: `It looks like ${keepText(DEFAULT_KEEP)}, or is all.`,
      })
    }
    keep[kind as keyof Keep] = Number(count)
  }
  if (keep.last > 0) return keep
  throw new SottoError('usage', `Cannot keep ${quote(text)} of backups: last must be 1 or more`, {
    hint: 'The newest backup is never deleted.',
  })
}

/**
 * The names in `names` that are to be deleted, the oldest first: backups of the store `storeId` that `keep` does
 * not keep. Never one that is in `needed`, never the newest, never the first of the newest day, which those of
 * that day follow, and never what is not the name of a backup of that store.
 */
export function expired(
  names: readonly string[],
  storeId: string,
  keep: Keep,
  needed: ReadonlySet<string> = new Set(),
): string[] {
  const named = names.map((name) => ({ name }))
  const backups = ownBackups(named, storeId)
  const kept = new Set([
    ...backups.slice(-Math.max(1, keep.last)),
    ...firsts(backups, dayOf, Math.max(1, keep.daily)),
    ...firsts(backups, weekOf, keep.weekly),
    ...firsts(backups, monthOf, keep.monthly),
  ])
  return backups.filter((each) => !kept.has(each) && !needed.has(each.name)).map(({ name }) => name)
}

/** The first of each of the newest `count` periods. */
function firsts(
  backups: readonly NamedBackup[],
  periodOf: (created: string) => string,
  count: number,
): NamedBackup[] {
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
