/** Tokens that logins gave, in memory and bounded. Each is of one node and one service account. */
import { hash, randomBytes } from 'node:crypto'
import type { Timers } from '../../client/platform/timers.ts'

/** How long a token counts, in milliseconds. */
export const SESSION_MS = 15 * 60_000

/** Tokens of one node, and nodes: the oldest make room for new ones. */
const PER_NODE = 1000
const NODES = 1000

/** Who logged in. */
export interface Session {
  readonly account: string
  /** By the timers. */
  readonly deadline: number
}

/** The tokens of a server. What is kept of one is its hash. */
export class Sessions {
  readonly #timers: Timers
  /** By node, in the order in which they were given. */
  readonly #nodes = new Map<string, Map<string, Session>>()

  constructor(timers: Timers) {
    this.#timers = timers
  }

  /** A new token for `account` on `node`. */
  begin(node: string, account: string): string {
    const token = `sotto.${randomBytes(32).toString('base64url')}`
    const sessions = this.#nodes.get(node) ?? new Map<string, Session>()
    // The node that logged in last is the last one to make room.
    this.#nodes.delete(node)
    this.#nodes.set(node, sessions)
    sessions.set(keyOf(token), { account, deadline: this.#timers.now() + SESSION_MS })
    for (const [key, { deadline }] of sessions) {
      if (deadline > this.#timers.now() && sessions.size <= PER_NODE) break
      sessions.delete(key)
    }
    const [oldest = ''] = this.#nodes.keys()
    if (this.#nodes.size > NODES) this.#nodes.delete(oldest)
    return token
  }

  /** Whose `token` of `node` is; undefined where it is none, or none any more. */
  find(node: string, token: string): Session | undefined {
    const session = this.#nodes.get(node)?.get(keyOf(token))
    return session && session.deadline > this.#timers.now() ? session : undefined
  }

  /** Ends `token` of `node`. */
  end(node: string, token: string): void {
    this.#nodes.get(node)?.delete(keyOf(token))
  }
}

function keyOf(token: string): string {
  return hash('sha256', token, 'base64')
}
