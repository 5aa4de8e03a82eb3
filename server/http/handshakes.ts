/** TLS handshakes that are under way: they count as connections, so that one address cannot take all. */
import type { Socket } from 'node:net'
import type { Load, AddressUsage } from './load.ts'

/** Handshakes of one server. */
export class Handshakes {
  readonly #load: Load
  readonly #pending = new Map<string, { readonly raw: Socket; readonly usage: AddressUsage }>()

  constructor(load: Load) {
    this.#load = load
  }

  /** Counts the connection that shakes hands on `raw`; one too many is closed without a word. */
  begin(raw: Socket): void {
    const ends = endsOf(raw)
    const usage = this.#load.connect(raw.remoteAddress ?? '')
    if (!usage) return void raw.destroy()
    this.#pending.set(ends, { raw, usage })
    raw.once('close', () => {
      if (this.#pending.get(ends)?.raw !== raw) return
      this.#pending.delete(ends)
      this.#load.disconnect(usage)
    })
  }

  /** Hands over the address that a connection was counted for, and its count. */
  finish(secure: Socket): AddressUsage | undefined {
    const ends = endsOf(secure)
    const usage = this.#pending.get(ends)?.usage
    this.#pending.delete(ends)
    return usage
  }

  /** Breaks off what is under way. */
  close(): void {
    for (const { raw } of this.#pending.values()) raw.destroy()
  }
}

/** What the socket under TLS and the one above it have in common. */
function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`
}
