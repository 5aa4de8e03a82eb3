/** What counts and measures: noting something only adds to a number in memory. */

/** A number on the page, with what its series differs in from the others of its family. */
export interface Sample {
  readonly suffix: '' | '_bucket' | '_sum' | '_count'
  /** The upper bound of a bucket, inclusive. */
  readonly le?: number
  readonly value: number
}

/** A series of a family, or several that belong together. */
export interface Instrument {
  /** Its present values; empty while they are not known. */
  samples(): readonly Sample[]
}

/** Returns a number; undefined where there is none. */
export type Reader = () => number | undefined

/** A number that is kept, or read each time a page is made. */
abstract class Single implements Instrument {
  #read: Reader | undefined

  /** Reads the number from `read` from now on. It must not throw, nor touch a disk. */
  follow(read: Reader): void {
    this.#read = read
  }

  samples(): readonly Sample[] {
    const value = this.#read ? this.#read() : this.kept
    return value === undefined ? [] : [{ suffix: '', value }]
  }

  protected abstract readonly kept: number | undefined
}

/** A number that is set. */
export class Gauge extends Single {
  protected kept: number | undefined

  set(value: number): void {
    this.kept = value
  }

  /** Leaves the number out of the page until it is set again. */
  clear(): void {
    this.kept = undefined
  }
}

/** A count that only goes up, from 0 when the process begins. */
export class Counter extends Single {
  protected kept = 0

  /** Adds `amount`, which is not negative. */
  add(amount = 1): void {
    this.kept += amount
  }
}

/** Counts measurements in buckets. */
export class Histogram implements Instrument {
  readonly #bounds: readonly number[]
  /** Of each bucket by itself; the last one is for what is above all bounds. */
  readonly #counts: Float64Array
  #sum = 0

  /** `bounds` are the upper bounds of the buckets, ascending. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds
    this.#counts = new Float64Array(bounds.length + 1)
  }

  /** Counts a measurement. */
  observe(value: number): void {
    const bounds = this.#bounds
    let at = 0
    // Most are small: going up from the first bound finds their bucket soonest.
    while (at < bounds.length && value > (bounds[at] as number)) at++
    this.#counts[at] = (this.#counts[at] as number) + 1
    this.#sum += value
  }

  samples(): readonly Sample[] {
    let count = 0
    const buckets = [...this.#bounds, Number.POSITIVE_INFINITY].map((le, at): Sample => {
      count += this.#counts[at] as number
      return { suffix: '_bucket', le, value: count }
    })
    return [...buckets, { suffix: '_sum', value: this.#sum }, { suffix: '_count', value: count }]
  }
}
