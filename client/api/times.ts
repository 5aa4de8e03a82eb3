/** How people write moments and lengths of time: one grammar for flags, settings and fields of the API. */
import { quote, SottoError } from './errors.ts'

/**
 * What a moment looks like: a date, or a date and a time, in UTC unless it has an offset. Also as in the name of a
 * backup, with the day of the week of systemd before it, and with the name of the zone after its offset, as Go prints it.
 */
export const momentPattern =
  /^(?!\d{8}$)(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) )?(\d{4})(-?)(\d\d)\2(\d\d)(?:[Tt ](\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9}))?)?(?: ?(?:[Zz]|UTC|([+-])(\d\d)(?::?(\d\d))?(?: [A-Z]{3,5})?))?)?$/

/** Units, the longest first, with their milliseconds. A month or a year has no fixed length. */
const units = { w: 604_800_000, d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 }

const durationPattern = new RegExp(
  `^${Object.keys(units)
    .map((unit) => String.raw`(?:(\d{1,9}(?:\.\d{1,9})?)${unit} ?)?`)
    .join('')}$`,
)

/** What to write. */
const durations = 'Units are w, d, h, m (minutes), s and ms, the longest first: 90s, 1h30m, 2d'
const momentHint =
  'Write 2026-01-31, 2026-01-31T18:00:00Z, 2026-01-31 18:00 +0100, or how long ago: 90s, 1h30m, 7d.'

/** The moment that `text` names, in whole milliseconds; undefined for what is not one, such as February 30. */
export function parseMoment(text: string): Date | undefined {
  const found = momentPattern.exec(text)
  if (!found) return undefined
  const [, year = '', , month = '', day = '', hour = '00', minute = '00', second = '00'] = found
  const [fraction = '', sign, hours = '00', minutes = '00'] = found.slice(8)
  const written = `${year}-${month}-${day}T${hour}:${minute}:${second}.${fraction.slice(0, 3).padEnd(3, '0')}Z`
  const there = new Date(written)
  // Date takes February 30 for March 2.
  if (Number.isNaN(there.getTime()) || there.toISOString() !== written) return undefined
  if (Number(hours) > 23 || Number(minutes) > 59) return undefined
  const ahead = (Number(hours) * units.h + Number(minutes) * units.m) * (sign === '-' ? -1 : 1)
  return new Date(there.getTime() - ahead)
}

/** The milliseconds that `text` names, such as `1h30m`; undefined for what is not a length of time. */
export function parseDuration(text: string): number | undefined {
  const counts = durationPattern.exec(text)?.slice(1) ?? []
  if (counts.every((count) => count === undefined)) return undefined
  const sizes = Object.values(units)
  return Math.round(
    counts.reduce((sum, count, at) => sum + Number(count ?? 0) * (sizes[at] ?? 0), 0),
  )
}

/**
 * The length of time that `text`, the value of `flag`, names, in milliseconds, from `least` to `most`, which are
 * written in the same way. Throws `usage` for any other, with `or`, the end of the hint that says what else fits.
 */
export function durationOf(
  flag: string,
  text: string,
  [least, most]: readonly [string, string],
  or = '',
): number {
  const ms = parseDuration(text)
  if (ms !== undefined && ms >= Number(parseDuration(least)) && ms <= Number(parseDuration(most))) {
    return ms
  }
  const problem =
    ms === undefined ? 'expected a length of time such as 1h30m' : `expected ${least} to ${most}`
  throw new SottoError('usage', `Cannot use ${quote(text)} as --${flag}: ${problem}`, {
    hint: `${durations}${or}.`,
  })
}

/** The moment that `text`, the value of `flag`, names, or how long before `now` it was. Throws `usage`. */
export function momentOf(flag: string, text: string, now: number): Date {
  const moment = parseMoment(text) ?? new Date(now - (parseDuration(text) ?? Number.NaN))
  if (!Number.isNaN(moment.getTime())) return moment
  const wanted = 'expected a date, a date and time, or an age such as 24h'
  throw new SottoError('usage', `Cannot use ${quote(text)} as --${flag}: ${wanted}`, {
    hint: momentHint,
  })
}

/** A time as people read it: to the second. */
export function toSeconds(time: string): string {
  return time.replace(/\.\d+Z$/, 'Z')
}
