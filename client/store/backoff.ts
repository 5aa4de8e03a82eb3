/**
 * How long to wait after failures: anything up to a bound that doubles, so that programs which failed together do not
 * come back together.
 */
export class Backoff {
  readonly #first: number
  readonly #most: number
  readonly #random: () => number
  #failures = 0

  /** The bound begins at `first` milliseconds and ends at `most`. `random` is from 0 to below 1. */
  constructor(first: number, most: number, random: () => number) {
    this.#first = first
    this.#most = most
    this.#random = random
  }

  /** Milliseconds to wait after one more failure; at least `atLeast`, which the server may have asked for. */
  next(atLeast = 0): number {
    const bound = Math.min(this.#most, this.#first * 2 ** this.#failures)
    // Beyond this, the bound no longer grows.
    this.#failures = Math.min(this.#failures + 1, 32)
    return Math.max(Math.min(atLeast, this.#most), this.#random() * bound)
  }

  /** Something succeeded. */
  reset(): void {
    this.#failures = 0
  }
}
