/** Holds a connection to one node: what it may do can change at any request, who it is cannot. */
import { SottoError } from '../../client/api/errors.ts'
import type { Caller } from '../access.ts'

/** The node that a connection belongs to, from its first request on. */
export class Pin {
  #node: string | undefined
  #hadRules = false
  #broken = false

  /** The StableID of the node; undefined before the first request, and on a development tailnet. */
  get node(): string | undefined {
    return this.#node
  }

  /** Whether the connection must end: it changed hands, or the rights of its node are gone. */
  get broken(): boolean {
    return this.#broken
  }

  /** Notes who a request is from. Throws `unidentified` when that is another node than before. */
  hold({ node, rules, principal }: Caller): void {
    if (node === undefined) return
    this.#node ??= node
    if (this.#node !== node) {
      this.#broken = true
      throw new SottoError(
        'unidentified',
        `The connection from ${principal.ip} was the node ${this.#node}, and is now ${node}`,
      )
    }
    if (rules.length > 0) this.#hadRules = true
    else if (this.#hadRules) this.#broken = true
  }
}
