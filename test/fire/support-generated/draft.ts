/**
 * A request on its way to being sent, and what WIRE.md says is answered to it. Of several things
 * that are wrong with a request, the one that is checked first decides.
 */
import type { Random } from '../support-crash/random.ts'

/** What is answered: the status, and the whole body where it is known. */
export interface Verdict {
  readonly status: number
  readonly body?: string
}

/** The checks in their order. */
const checks = ['host', 'path', 'method', 'type', 'guard', 'size', 'caller', 'body'] as const
type Check = (typeof checks)[number]

const text = (status: number, words: string): Verdict => ({ status, body: `${words}\n` })

/** What is refused, in the words of the wire. */
export const refusals = {
  badRequest: text(400, 'bad request'),
  notPost: text(400, 'only POST requests allowed'),
  contentType: text(400, 'request body must be json'),
  denied: text(403, 'access denied'),
  unidentified: text(500, 'unable to identify caller'),
  notFound: text(404, 'not found'),
  noMethod: text(404, 'no such method'),
  wrongHost: text(421, 'this server does not have that name'),
  invalidName: text(400, 'invalid secret name'),
  invalidVersion: text(400, 'invalid version, please specify a version > 0'),
  versionSet: text(412, 'version already set'),
  versionActive: text(400, 'cannot delete the active version; activate another version first'),
  exhausted: text(400, 'no version number is left for this secret'),
  tooLarge: text(413, 'request body too large'),
  headTooLarge: text(431, 'request header fields too large'),
} as const satisfies Record<string, Verdict>

/** How the body is delimited. */
type Framing = 'length' | 'chunked'

/** A request that is being made. */
export class Draft {
  method = 'POST'
  target: string
  protocol = 'HTTP/1.1'
  host: string | undefined = 'Host: localhost'
  types: string[] = ['Content-Type: application/json']
  guards: string[] = ['Sec-X-Tailscale-No-Browsers: setec']
  /** Header lines that should make no difference. */
  more: string[] = []
  body: Buffer
  framing: Framing = 'length'
  #verdict: Verdict
  #failed: number = checks.length

  /** A good request to `method` of the API, which is answered with `verdict`. */
  constructor(method: string, body: string | Uint8Array, verdict: Verdict) {
    this.target = `/api/${method}`
    this.body = Buffer.from(body)
    this.#verdict = verdict
  }

  /** Notes that the request fails at `check`, with `verdict`, unless it fails sooner. */
  fail(check: Check, verdict: Verdict): this {
    const at = checks.indexOf(check)
    if (at < this.#failed) {
      this.#failed = at
      this.#verdict = verdict
    }
    return this
  }

  /** What is answered to it. */
  get verdict(): Verdict {
    return this.#verdict
  }

  /** Whether the connection may end after the answer to it. */
  get ends(): boolean {
    return (
      this.protocol === 'HTTP/1.0' ||
      this.more.some((line) => /^Connection: (?:close|Upgrade)/.test(line)) ||
      this.#verdict === refusals.headTooLarge ||
      this.#verdict === refusals.tooLarge
    )
  }

  /** The bytes of the request, its header lines in any order. */
  bytes(random: Random): Buffer {
    const chunked = this.framing === 'chunked'
    const length = chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${this.body.length}`
    const host = this.host === undefined ? [] : [this.host]
    // Lines of one name keep their order: which comes first matters.
    const groups = [host, this.types, this.guards, this.more, [length]]
    if (random.chance(0.3)) groups.push(...groups.splice(0, random.below(groups.length)))
    const lines = groups.flat()
    const head = `${this.method} ${this.target} ${this.protocol}\r\n${lines.join('\r\n')}\r\n\r\n`
    const body = chunked ? inChunks(random, this.body) : this.body
    return Buffer.concat([Buffer.from(head, 'latin1'), body])
  }
}

function inChunks(random: Random, body: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < body.length; ) {
    const size = Math.min(body.length - at, 1 + random.below(random.pick([3, 50, 100_000])))
    const extension = random.chance(0.1) ? ';x="y"' : ''
    parts.push(Buffer.from(`${size.toString(16)}${extension}\r\n`))
    parts.push(body.subarray(at, at + size), Buffer.from('\r\n'))
    at += size
  }
  const trailer = random.chance(0.2) ? 'X-Trailer: z\r\nSec-X-Tailscale-No-Browsers: no\r\n' : ''
  return Buffer.concat([...parts, Buffer.from(`0\r\n${trailer}\r\n`)])
}
