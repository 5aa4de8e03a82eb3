/**
 * When each rotation is due, also by a clock that was moved: a date that is too far away was left by a clock that was
 * ahead, or is read by one that is behind. Its next date stands in for it, in memory alone, so that a clock that comes
 * back finds the date that was stored.
 */
import type { Timers } from '../../client/platform/timers.ts'
import type { RotationRecord } from './registry.ts'
import type { Schedule } from './schedule.ts'

/** A date in place of one that is too far away. */
interface StandIn {
  readonly date: Date
  /** When that comes, by the timers. */
  readonly comes: number
}

/** How much a clock may gain on the timers, in milliseconds. */
const SLACK_MS = 60_000

/** The dates of the rotations of one server. */
export class Dates {
  readonly #schedule: () => Promise<Schedule>
  readonly #timers: Pick<Timers, 'now'>
  /** By the id of the rotation. */
  readonly #standIns = new Map<number, StandIn>()

  /** `schedule` loads what reads schedules; it is asked only of rotations that have one. */
  constructor(schedule: () => Promise<Schedule>, timers: Pick<Timers, 'now'>) {
    this.#schedule = schedule
    this.#timers = timers
  }

  /** When the next run of a rotation is due, which may be past, by a clock that shows `now`; undefined: not by itself. */
  async dueOf(
    { id, config, state }: Pick<RotationRecord, 'id' | 'config' | 'state'>,
    now: Date,
  ): Promise<Date | undefined> {
    if (state.due === undefined) return undefined
    const due = new Date(state.due)
    const next = await this.#insteadOf(due, config, now)
    if (next === undefined) {
      this.#standIns.delete(id)
      return due
    }
    const known = this.#standIns.get(id)
    if (known && this.#holds(known, next, now)) return known.date
    const comes = this.#timers.now() + next.getTime() - now.getTime()
    this.#standIns.set(id, { date: next, comes })
    return next
  }

  /** The next date where `due` is too far away: a clock that went back by less than that has no run begin twice. */
  async #insteadOf(
    due: Date,
    config: RotationRecord['config'],
    now: Date,
  ): Promise<Date | undefined> {
    if (config.schedule === undefined || due <= now) return undefined
    const { after, first } = await this.#schedule()
    // What a person gave is meant, however far it is.
    if (first(config, now)?.getTime() === due.getTime()) return undefined
    const next = after(config, now)
    const second = next && after(config, next)
    return second && due > second ? next : undefined
  }

  /** Whether a date is still the one: not where a clock jumped over it, or back before the one that comes first now. */
  #holds({ date, comes }: StandIn, next: Date, now: Date): boolean {
    return date > now ? date <= next : this.#timers.now() >= comes - SLACK_MS
  }
}
