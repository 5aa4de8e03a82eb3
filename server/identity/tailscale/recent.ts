/** Who called lately: the nodes that may have connections open. */

/** For how long a node may have a connection open without a request on it, in milliseconds. */
const WINDOW_MS = 10 * 60_000
/** Nodes that are kept in mind; the connections of others are not closed early. */
const MAX_NODES = 8192

/** Nodes by StableID with the address that they called from. */
export class Recent {
  readonly #nodes = new Map<string, { address: string; at: number }>()
  readonly #monotonic: () => number
  readonly #maxNodes: number

  constructor(monotonic: () => number, maxNodes: number = MAX_NODES) {
    this.#monotonic = monotonic
    this.#maxNodes = maxNodes
  }

  /** Notes that `node` called from `address`. */
  note(node: string, address: string): void {
    const at = this.#monotonic()
    const known = this.#nodes.get(node)
    if (known) {
      known.address = address
      known.at = at
      return
    }
    if (this.#nodes.size >= this.#maxNodes) this.#forgetOld()
    if (this.#nodes.size < this.#maxNodes) this.#nodes.set(node, { address, at })
  }

  /** Forgets `node`. */
  forget(node: string): void {
    this.#nodes.delete(node)
  }

  /** Who called within the window, as node and address. */
  all(): [node: string, address: string][] {
    this.#forgetOld()
    return [...this.#nodes].map(([node, { address }]) => [node, address])
  }

  #forgetOld(): void {
    const oldest = this.#monotonic() - WINDOW_MS
    for (const [node, { at }] of this.#nodes) if (at < oldest) this.#nodes.delete(node)
  }
}
