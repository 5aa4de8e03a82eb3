/** Bounds how many requests are worked on at once, in all and for one address. */
import { SottoError } from '../../client/api/errors.ts'

/** Requests at once. */
export interface LoadLimits {
  readonly total: number
  readonly perAddress: number
}

/** Counts requests that are being worked on. */
export class Load {
  readonly #limits: LoadLimits
  readonly #byAddress = new Map<string, number>()
  #total = 0
  #closing = false

  constructor(limits: LoadLimits) {
    this.#limits = limits
  }

  /** Counts one more for `address`, or throws `overloaded` or `shutting_down` and counts nothing. */
  enter(address: string): void {
    if (this.#closing) throw new SottoError('shutting_down', 'The server takes no new requests')
    const mine = this.#byAddress.get(address) ?? 0
    if (this.#total >= this.#limits.total) {
      throw new SottoError('overloaded', `The server works on ${this.#limits.total} requests`)
    }
    if (mine >= this.#limits.perAddress) {
      throw new SottoError(
        'overloaded',
        `The server works on ${this.#limits.perAddress} requests of this address`,
      )
    }
    this.#total++
    this.#byAddress.set(address, mine + 1)
  }

  /** Counts one less for `address`. */
  leave(address: string): void {
    this.#total--
    const mine = this.#byAddress.get(address) ?? 0
    if (mine > 1) this.#byAddress.set(address, mine - 1)
    else this.#byAddress.delete(address)
  }

  /** Lets nothing more in. */
  close(): void {
    this.#closing = true
  }

  /** Whether nothing more is let in. */
  get closing(): boolean {
    return this.#closing
  }
}
