/** Which blocking queries were recorded within the last hour: one that comes again leaves no further record. */
import { hash } from 'node:crypto'

/** How long a record counts, in milliseconds. */
const RECENT_MS = 3_600_000
/** Queries that are remembered; past that the oldest is recorded again. */
const MAX_RECENT = 10_000

/** Remembers queries by what they are about. */
export class RecentQueries {
  readonly #now: () => number
  /** When each was recorded, oldest first. */
  readonly #recorded = new Map<string, number>()

  /** `now` is in milliseconds since any moment, never set back. */
  constructor(now: () => number) {
    this.#now = now
  }

  /** Whether `node` asked lately for the same names, with the same ones denied; if not, it counts as recorded now. */
  isKnown(node: string, names: readonly string[], isAllowed: (name: string) => boolean): boolean {
    const about = names.toSorted().map((name) => [name, isAllowed(name)])
    const key = hash('sha256', JSON.stringify([node, about]), 'base64')
    const now = this.#now()
    const at = this.#recorded.get(key)
    if (at !== undefined && now - at < RECENT_MS) return true
    this.#recorded.delete(key)
    this.#recorded.set(key, now)
    const [oldest] = this.#recorded.keys()
    if (this.#recorded.size > MAX_RECENT && oldest !== undefined) this.#recorded.delete(oldest)
    return false
  }
}
