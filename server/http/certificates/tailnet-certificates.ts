/**
 * The certificate that tailscaled gets for the node's name. tailscaled renews it by itself only when
 * it is asked for it, so it is asked now and then; while no new one comes, the old one serves on.
 */
import { asSottoError } from '../../../client/api/errors.ts'
import type { CertificatePair } from '../../identity/tailscale/pair.ts'
import { Certificates, type CertificateWorld } from './certificates.ts'
import { type CheckedPair, checkKeyPair } from './key-pair.ts'

/**
 * Asks for the pair of `name`. It must be valid for `minValidityMs` more, or is renewed first;
 * with 0 whatever there is comes at once, and a renewal that is due happens in the background. Settles in a
 * bounded time. An error may say in `retryAfterMs` when to ask again.
 */
export type FetchPair = (
  name: string,
  options: { readonly minValidityMs: number },
) => Promise<CertificatePair>

/** What is asked, and of whom. */
export interface TailnetCertificateOptions {
  readonly fetch: FetchPair
  /** The name of this node as it is now, which the certificate must cover. */
  readonly name: () => string
  /** A number from 0 to 1, for the jitter. */
  readonly random?: () => number
}

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** How often tailscaled is asked while all is well, and by how much more at most. */
const POLL_MS = 12 * HOUR
const JITTER_MS = HOUR
/** With less time left than this a renewal is waited for. */
const RENEW_MS = 10 * DAY
/** How soon it is asked again when that failed, unless the error says otherwise. */
const RETRY_MS = HOUR

/** The tailnet certificate, renewed before its time. */
export class TailnetCertificates extends Certificates {
  readonly #options: TailnetCertificateOptions

  /** Rejects with what keeps the first pair from coming, or with `local` when it cannot be used. */
  static async open(
    options: TailnetCertificateOptions,
    world: CertificateWorld,
  ): Promise<TailnetCertificates> {
    const first = await fetchPair(options, world.clock(), 0)
    return new TailnetCertificates(options, first, world)
  }

  private constructor(
    options: TailnetCertificateOptions,
    first: CheckedPair,
    world: CertificateWorld,
  ) {
    super(first, world)
    this.#options = options
    this.#renewIn(this.#untilNext())
  }

  /** Gets a certificate at once if the node has a name that the present one does not cover. */
  refresh(): void {
    const name = this.#options.name()
    if (name !== '' && !this.current.covers(name)) this.#renewIn(0)
  }

  #renewIn(ms: number): void {
    this.next(ms, () => void this.#ask().then((wait) => this.#renewIn(wait)))
  }

  /** Asks for a pair, and resolves with how long to wait before the next time. Never rejects. */
  async #ask(): Promise<number> {
    const { clock, logger } = this.world
    const { current } = this
    const dueMs = dueBeforeEnd(current)
    const leftMs = current.endsAt.getTime() - clock().getTime()
    try {
      const pair = await fetchPair(this.#options, clock(), leftMs < dueMs ? dueMs : 0)
      if (pair.certificate !== current.certificate && !this.closed) {
        this.replace(pair)
        logger.info(`the certificate was renewed and serves until ${pair.endsAt.toISOString()}`)
      }
      return this.#untilNext()
    } catch (error) {
      const { code, message, hint } = asSottoError(error)
      const until = current.endsAt.toISOString()
      logger.warn(`${message}; the present certificate serves on until ${until}`, { code, hint })
      return this.#jittered(Math.max(MINUTE, retryAfterMs(error) ?? RETRY_MS), MINUTE)
    }
  }

  /** A certificate that lives for days only is looked after sooner. */
  #untilNext(): number {
    const leftMs = this.current.endsAt.getTime() - this.world.clock().getTime()
    return this.#jittered(Math.max(MINUTE, Math.min(POLL_MS, leftMs / 4)), JITTER_MS)
  }

  #jittered(ms: number, jitterMs: number): number {
    const { random = Math.random } = this.#options
    return Math.round(ms + random() * Math.min(jitterMs, ms / 4))
  }
}

/** How long before its end a certificate is due, in milliseconds. */
function dueBeforeEnd({ beganAt, endsAt }: CheckedPair): number {
  return Math.min(RENEW_MS, (endsAt.getTime() - beganAt.getTime()) / 3)
}

async function fetchPair(
  { fetch, name }: TailnetCertificateOptions,
  now: Date,
  minValidityMs: number,
): Promise<CheckedPair> {
  const wanted = name()
  const pair = await fetch(wanted, { minValidityMs })
  return checkKeyPair(pair, { origin: 'that tailscaled gave', now, name: wanted })
}

function retryAfterMs(error: unknown): number | undefined {
  const ms = error instanceof Error && 'retryAfterMs' in error ? error.retryAfterMs : undefined
  return typeof ms === 'number' && Number.isFinite(ms) ? ms : undefined
}
