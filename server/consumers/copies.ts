/** Which versions a row holds, in how many copies: nearly always one, which stands in the columns of the table. */
import type { Table } from './table.ts'

/** Copies of a further version, and when that was last named, in ticks. */
export interface Further {
  count: number
  named: number
}

/** Further versions of one row. Of more, the lowest gets the copies, which are never seen to go then. */
const MAX_FURTHER = 16
/** Where a column ends. */
const MAX_COUNT = 0xffffffff

/** The copies of every row. */
export class Copies {
  readonly #table: Table
  readonly #further = new Map<number, Map<number, Further>>()

  constructor(table: Table) {
    this.#table = table
  }

  /** How many copies of `version` a row has. */
  of(row: number, version: number): number {
    const { version: versions, count } = this.#table.columns
    if (versions[row] === version) return count[row] as number
    return this.#further.get(row)?.get(version)?.count ?? 0
  }

  /** How many it has of all versions. */
  total(row: number): number {
    let total = this.#table.columns.count[row] as number
    for (const { count } of this.#further.get(row)?.values() ?? []) total += count
    return total
  }

  /** How many rows have further versions. */
  get withFurther(): number {
    return this.#further.size
  }

  /** Versions besides the one in the table. */
  further(row: number): ReadonlyMap<number, Further> | undefined {
    return this.#further.get(row)
  }

  /** Adds copies of `version`, which is named by that at `now`. */
  add(row: number, version: number, now: number, added = 1): void {
    const { version: versions, count, named } = this.#table.change(row)
    const had = count[row] as number
    if (had === 0 || versions[row] === version) {
      named[row] = had === 0 ? now : Math.max(named[row] as number, now)
      versions[row] = version
      count[row] = Math.min(had + added, MAX_COUNT)
      return
    }
    let further = this.#further.get(row)
    if (!further) this.#further.set(row, (further = new Map()))
    const isFull = further.size >= MAX_FURTHER && !further.has(version)
    const key = isFull ? Math.min(...further.keys()) : version
    const found = further.get(key)
    if (!found) further.set(key, { count: added, named: now })
    else {
      found.count += added
      found.named = Math.max(found.named, now)
    }
  }

  /** Notes that `version`, of which there are copies, was named. */
  name(row: number, version: number, now: number): void {
    const { version: versions, named } = this.#table.change(row)
    const found = this.#further.get(row)?.get(version)
    if (versions[row] === version) named[row] = now
    else if (found) found.named = now
  }

  /** Takes away a copy of `version`, of which there are some. */
  remove(row: number, version: number): void {
    const { version: versions, count, named } = this.#table.change(row)
    const further = this.#further.get(row)
    if (versions[row] !== version) {
      const found = further?.get(version)
      if (found && --found.count === 0) further?.delete(version)
    } else {
      count[row] = (count[row] as number) - 1
      const [next] = count[row] === 0 ? (further ?? []) : []
      if (next) {
        const [moved, found] = next
        further?.delete(moved)
        versions[row] = moved
        count[row] = found.count
        named[row] = found.named
      }
    }
    if (further?.size === 0) this.#further.delete(row)
  }

  /** Has the row hold `version` alone; 0: nothing. */
  set(row: number, version: number, now: number): void {
    this.#table.change(row).count[row] = 0
    this.#further.delete(row)
    if (version > 0) this.add(row, version, now)
  }
}
