/** What is known of the server's own node, and whether what tailscaled says of others can be trusted. */
import { asSottoError, SottoError } from '../../../client/api/errors.ts'
import type { Logger } from '../../platform/logger.ts'
import type { StatusAnswer } from './answers.ts'
import { type OwnNode, ownNode, userspaceDanger } from './own-node.ts'
import { SharedCalls } from './shared-calls.ts'

/** What the state is kept with. */
export interface NodeStateTerms {
  readonly status: () => Promise<StatusAnswer>
  /** Whether callers can be distinguished from programs on this host, in userspace mode. */
  readonly allowsUserspace: boolean
  /** How long tailscaled may be out of touch with its control server, in milliseconds. */
  readonly staleAfterMs: number | undefined
  /** Milliseconds since any moment, never set back. */
  readonly monotonic: () => number
  readonly logger: Logger
}

/** The state of tailscaled, as it last reported it. */
export class NodeState {
  readonly #terms: NodeStateTerms
  readonly #calls = new SharedCalls<void>()
  readonly #listeners: (() => void)[] = []
  /** The node, or what is in the way of there being one. */
  #own: OwnNode | SottoError = new SottoError('tailscaled_unavailable', 'tailscaled was not asked')
  #starting = false
  /** Why callers were refused when the state was last known. */
  #refusedFor: string | undefined
  /** When tailscaled was last known to be in touch with its control server. */
  #inTouch: number

  constructor(terms: NodeStateTerms) {
    this.#terms = terms
    this.#inTouch = terms.monotonic()
  }

  /** Whether tailscaled is about to be up. */
  get starting(): boolean {
    return this.#starting
  }

  /** The node; undefined while tailscaled is not up, or in a mode that is refused. */
  get known(): OwnNode | undefined {
    return this.#own instanceof Error ? undefined : this.#own
  }

  /** The node. Throws what is in the way of there being one, or of trusting its policy. */
  present(): OwnNode {
    const problem = this.#problem()
    if (problem) throw problem
    return this.#own as OwnNode
  }

  /**
   * Asks tailscaled for its state. Rejects with `tailscaled_unavailable` when it does not answer,
   * and then keeps what it said before: a caller that needs more asks it, too.
   */
  refresh(): Promise<void> {
    return this.#calls.ask('status', async () => {
      const { monotonic, status } = this.#terms
      // From the question on: an answer that took long may be as old.
      const asked = monotonic()
      this.#take(await status(), asked)
    })
  }

  /** Calls `changed` when the node has become another, is gone, or is there again. */
  onChange(changed: () => void): void {
    this.#listeners.push(changed)
  }

  #take(status: StatusAnswer, asked: number): void {
    const before = JSON.stringify(this.known)
    this.#starting = status.BackendState === 'Starting' || status.BackendState === 'NoState'
    if (status.Self?.Online === true) this.#inTouch = asked
    try {
      this.#own = this.#allowed(ownNode(status))
    } catch (error) {
      this.#own = asSottoError(error)
    }
    this.#tellOfRefusals()
    if (JSON.stringify(this.known) === before) return
    for (const changed of this.#listeners) changed()
  }

  /** Tells the operator when callers begin to be refused for the state of the node, and when no more. */
  #tellOfRefusals(): void {
    const { code, message, hint } = this.#problem() ?? {}
    if (message === this.#refusedFor) return
    this.#refusedFor = message
    const { logger } = this.#terms
    if (message === undefined) logger.info('callers are named again')
    else logger.error(message, { code, hint })
  }

  #allowed(own: OwnNode): OwnNode {
    if (!own.userspace || this.#terms.allowsUserspace) return own
    const { problem, hint } = userspaceDanger
    throw new SottoError('unsafe', problem, { hint })
  }

  /** What is in the way of naming callers; undefined when nothing is. */
  #problem(): SottoError | undefined {
    if (this.#own instanceof Error) return this.#own
    const { staleAfterMs, monotonic } = this.#terms
    if (staleAfterMs === undefined || monotonic() - this.#inTouch <= staleAfterMs) return undefined
    return new SottoError(
      'tailscaled_unavailable',
      `tailscaled has been out of touch with its control server for more than ${staleAfterMs} ms`,
      { hint: 'The policy that it knows may be old. Check the way to the control server.' },
    )
  }
}
