/**
 * Callers on a tailnet, as tailscaled on this host names them. It is asked at every request, so that
 * rights which the policy takes away are gone at the next one; what its bus reports only serves to
 * close connections early.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { asSottoError, SottoError } from '../../../client/api/errors.ts'
import type { Caller } from '../../access.ts'
import { type Logger, silentLogger } from '../../platform/logger.ts'
import type { Peer, Gone, Identity } from '../identity.ts'
import { canonicalAddress } from './addresses.ts'
import type { WhoIsAnswer } from './answers.ts'
import { BusWatch } from './bus-watch.ts'
import { callerOf, type NodeCaller } from './caller.ts'
import type { LocalApi } from './local-api.ts'
import { refuseImpostor } from './loopback-guard.ts'
import { NodeState } from './node-state.ts'
import { userspaceDanger } from './own-node.ts'
import { type Question, questionOf } from './question.ts'
import { Recent } from './recent.ts'
import { defaultCapabilities } from './rules.ts'
import { SharedCalls } from './shared-calls.ts'
import { refuseExposedSocket } from './socket.ts'

/** What names callers, and on which terms. */
export interface TailscaleTerms {
  /** Asks tailscaled; closed by its creator. */
  readonly localApi: LocalApi
  /** Names of the capability whose values are rules; the first that has any counts. */
  readonly capabilities?: readonly string[]
  /** Addresses of Tailscale Services that this server answers for. */
  readonly services?: readonly string[]
  /**
   * Takes callers from loopback when tailscaled is in userspace mode, if the other end of their
   * connection is tailscaled's. On Linux alone.
   */
  readonly userspace?: boolean
  /** Callers come through `tailscale serve` on a unix socket: userspace mode is not a danger to them. */
  readonly served?: boolean
  /**
   * Refuses everybody when tailscaled has been out of touch with its control server for longer, in
   * milliseconds: its policy may be old. Undefined for never.
   */
  readonly staleAfterMs?: number
  /** How long a tailscaled that is starting is waited for, in milliseconds. */
  readonly startMs?: number
  readonly clock?: () => Date
  /** Milliseconds since any moment, never set back. */
  readonly monotonic?: () => number
  readonly logger?: Logger
}

const START_MS = 10_000
const START_POLL_MS = 100
/** How often the state of tailscaled is looked at, at least, in milliseconds. */
const POLL_MS = 10_000

/** Names callers by tailscaled. */
export class TailscaleIdentity implements Identity {
  readonly #terms: TailscaleTerms
  readonly #services: readonly string[]
  readonly #state: NodeState
  readonly #recent: Recent
  readonly #bus: BusWatch
  readonly #calls = new SharedCalls<NodeCaller>()
  readonly #listeners: ((who: Gone) => void)[] = []

  private constructor(terms: TailscaleTerms) {
    const { localApi, staleAfterMs, monotonic = () => performance.now() } = terms
    const { logger = silentLogger } = terms
    this.#terms = terms
    this.#services = (terms.services ?? []).map(spelled)
    this.#recent = new Recent(monotonic)
    this.#state = new NodeState({
      status: () => localApi.status(),
      allowsUserspace: terms.userspace === true || terms.served === true,
      staleAfterMs,
      monotonic,
      logger,
    })
    this.#bus = new BusWatch({
      localApi,
      pollMs: Math.min(POLL_MS, (staleAfterMs ?? Infinity) / 4),
      refresh: () => this.#state.refresh(),
      sweep: () => this.#sweep(),
      everybody: () => this.#report('everybody'),
      logger,
    })
  }

  /**
   * Asks tailscaled for its state and begins to watch it. Rejects with `tailscaled_unavailable` when
   * it is not up, and with `unsafe` when it is in userspace mode and that was not asked for, or when
   * others could put another daemon in its place.
   */
  static async open(terms: TailscaleTerms): Promise<TailscaleIdentity> {
    refuseExposedSocket(terms.localApi.path)
    refuseUserspaceElsewhere(terms)
    const identity = new TailscaleIdentity(terms)
    await identity.#begin(terms.startMs ?? START_MS)
    return identity
  }

  /** Where callers reach us: every address to listen on. None while tailscaled is not up. */
  get addresses(): readonly string[] {
    const own = this.#state.known
    if (!own?.userspace) return own?.addresses ?? []
    return this.#terms.userspace ? ['127.0.0.1'] : []
  }

  /** Names that tailscaled can have certificates for; none where HTTPS is off for the tailnet. */
  get domains(): readonly string[] {
    return this.#state.known?.domains ?? []
  }

  /** The full name of the node, without a dot at its end; empty while tailscaled is not up. */
  get name(): string {
    return this.#state.known?.name ?? ''
  }

  /** The StableID of the node; empty while tailscaled is not up. */
  get node(): string {
    return this.#state.known?.id ?? ''
  }

  /** Calls `changed` when `addresses`, `domains` or `name` may have become others. */
  onChange(changed: () => void): void {
    this.#state.onChange(changed)
  }

  watch(gone: (who: Gone) => void): void {
    this.#listeners.push(gone)
  }

  async identify(peer: Peer): Promise<Caller> {
    try {
      const { userspace = false } = this.#terms
      const own = this.#state.present()
      const question = questionOf(peer, { own, services: this.#services, userspace })
      const caller = await this.#calls.ask(question.key, () => this.#answer(question))
      this.#recent.note(caller.node, caller.principal.ip)
      return caller
    } catch (error) {
      throw refusal(peer, error)
    }
  }

  async check(): Promise<void> {
    await this.#state.refresh()
    this.#state.present()
  }

  /** Stops watching tailscaled. */
  async close(): Promise<void> {
    await this.#bus.close()
  }

  async #begin(startMs: number): Promise<void> {
    const end = performance.now() + startMs
    await this.#state.refresh()
    while (this.#state.starting && performance.now() < end) {
      await delay(START_POLL_MS)
      await this.#state.refresh()
    }
    this.#state.present()
    this.#bus.start()
  }

  async #answer({ addr, destination, loopback }: Question): Promise<NodeCaller> {
    const { localApi } = this.#terms
    if (loopback) await refuseImpostor(localApi.path, loopback)
    const answer = await localApi.whois(addr, {
      ...(loopback && { proto: 'tcp' }),
      ...(destination !== undefined && { destination }),
    })
    if (!answer) throw new Error('tailscaled knows no node there')
    // The source port that tailscaled knows somebody by may have become another program's meanwhile.
    if (loopback) await refuseImpostor(localApi.path, loopback)
    return this.#caller(answer, loopback ? undefined : addr)
  }

  /** The caller that `answer` names, which is about `address` unless that is loopback. */
  #caller(answer: WhoIsAnswer, address: string | undefined): NodeCaller {
    const addresses = answer.Node.Addresses.map(bare)
    if (address !== undefined && !addresses.includes(address)) {
      throw new Error('tailscaled answered with a node that has another address')
    }
    const { capabilities = defaultCapabilities, clock = () => new Date() } = this.#terms
    const from = address ?? addresses[0] ?? ''
    const self = this.#state.present().id
    return callerOf(answer, { address: from, self, capabilities, now: clock() })
  }

  /** Asks again for every recent caller, and reports those who would be refused now. */
  async #sweep(): Promise<void> {
    const gone: string[] = []
    for (const [node, address] of this.#recent.all()) {
      try {
        if (await this.#left(node, address)) gone.push(node)
      } catch {
        // Without an answer no caller is known to have left; the failure itself is reported elsewhere.
        break
      }
    }
    for (const node of gone) this.#recent.forget(node)
    if (gone.length > 0) this.#report({ nodes: gone })
  }

  async #left(node: string, address: string): Promise<boolean> {
    const answer = await this.#terms.localApi.whois(address)
    if (!answer) return true
    try {
      return this.#caller(answer, address).node !== node
    } catch {
      return true
    }
  }

  #report(who: Gone): void {
    for (const gone of this.#listeners) gone(who)
  }
}

function refuseUserspaceElsewhere({ userspace }: TailscaleTerms): void {
  if (userspace !== true || process.platform === 'linux') return
  const problem = `Callers from loopback cannot be distinguished from programs on this host on ${process.platform}`
  throw new SottoError('unsafe', problem, { hint: userspaceDanger.hint })
}

function isOwnHost(peer: Peer): boolean {
  return 'remoteAddress' in peer && peer.remoteAddress === peer.localAddress
}

function refusal(peer: Peer, error: unknown): SottoError {
  if (error instanceof SottoError && error.code === 'overloaded') return error
  const who =
    'unix' in peer
      ? (canonicalAddress(peer.forwardedFor ?? '') ?? 'a caller on the unix socket')
      : `${peer.remoteAddress} port ${peer.remotePort}`
  const { message } = error instanceof Error ? error : asSottoError(error)
  const hint = error instanceof SottoError ? error.hint : undefined
  return new SottoError('unidentified', `Cannot tell who ${who} is: ${message}`, {
    cause: error,
    ...(hint !== undefined && { hint }),
    ...(isOwnHost(peer) && {
      callerHint:
        'Programs on the host of the server cannot be told apart: ask from another node, or as an operator of the host with `sudo sotto`.',
    }),
  })
}

function spelled(address: string): string {
  const known = canonicalAddress(address)
  if (known !== undefined) return known
  throw new SottoError('usage', `${address} is not an address of a Tailscale Service`)
}

/** The address of a prefix that holds one alone. */
function bare(prefix: string): string {
  return canonicalAddress(prefix.replace(/\/(?:32|128)$/, '')) ?? ''
}
