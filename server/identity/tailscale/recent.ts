/** Who called lately: the nodes that may have connections open. */

/** For how long a node may have a connection open without a request on it, in milliseconds. */
const WINDOW_MS = 10 * 60_000
/** Nodes that are kept in mind; the connections of others are not closed early. */
const MAX_NODES = 8192

/** Nodes by StableID with the address that they called from. */
export class Recent {
  readonly #nodes = new Map<string, { address: string; at: number }>()
  readonly #monotonic: () => number

  constructor(monotonic: () => number) {
    this.#monotonic = monotonic
  }

  /** Notes that `node` called from `address`. */
  note(node: string, address: string): void {
    const fits = (): boolean => this.#nodes.has(node) || this.#nodes.size < MAX_NODES
    if (!fits()) this.#forgetOld()
    if (fits()) this.#nodes.set(node, { address, at: this.#monotonic() })
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
