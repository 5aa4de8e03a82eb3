/** Lines of tailscaled's bus, out of the chunks that they come in. */
import { z } from 'zod'
import { quote } from '../../../client/api/errors.ts'

const busLine = z.object({
  State: z.number().nullish(),
  SelfChange: z.unknown().optional(),
  NetMap: z.unknown().optional(),
  PeersRemoved: z.array(z.unknown()).nullish(),
  PeersChanged: z.array(z.looseObject({ Expired: z.boolean().nullish() })).nullish(),
  ErrMessage: z.string().nullish(),
})

/** One line of the bus, as far as it is used. */
export interface BusLine {
  /** Whether the daemon is up, where the line says so. */
  readonly running?: boolean
  /** Whether the node itself may have changed: its addresses, its name. */
  readonly self: boolean
  /** Whether peers may have left or expired. */
  readonly peers: boolean
}

/** The state of a daemon that is up. */
const RUNNING = 6
/** Bytes of a line that is read; a longer one counts as a change of everything. */
const MAX_LINE_BYTES = 4 * 1024 * 1024

/** A line that is none of the bus; the message is a predicate. */
export class BadLine extends Error {}

/** Puts lines together and reports each. */
export class Lines {
  readonly #report: (line: BusLine) => void
  #parts: Buffer[] = []
  #length = 0
  #long = false

  constructor(report: (line: BusLine) => void) {
    this.#report = report
  }

  /** Takes the next chunk. Throws BadLine for one that is none of the bus. */
  add(chunk: Buffer): void {
    let from = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      this.#keep(chunk.subarray(from, end))
      this.#end()
      from = end + 1
    }
    this.#keep(chunk.subarray(from))
  }

  #keep(part: Buffer): void {
    if (part.length === 0 || this.#long) return
    this.#length += part.length
    if (this.#length <= MAX_LINE_BYTES) return void this.#parts.push(part)
    this.#long = true
    this.#parts = []
  }

  #end(): void {
    const text = Buffer.concat(this.#parts).toString()
    const long = this.#long
    this.#parts = []
    this.#length = 0
    this.#long = false
    if (long) this.#report({ self: true, peers: true })
    else if (text.trim() !== '') this.#report(read(text))
  }
}

function read(text: string): BusLine {
  const parsed = busLine.safeParse(parse(text))
  if (!parsed.success) {
    throw new BadLine(`is wrong at ${quote(parsed.error.issues[0]?.path.join('.') ?? '')}`)
  }
  const { State, SelfChange, NetMap, PeersRemoved, PeersChanged, ErrMessage } = parsed.data
  if (typeof ErrMessage === 'string' && ErrMessage !== '')
    throw new BadLine(`reports ${quote(ErrMessage)}`)
  // A map that was rebuilt does not say who left it.
  const self = isThere(SelfChange) || isThere(NetMap)
  const left = (PeersRemoved ?? []).length > 0
  const expired = (PeersChanged ?? []).some((peer) => peer.Expired === true)
  return {
    ...(typeof State === 'number' && { running: State === RUNNING }),
    self,
    peers: self || left || expired,
  }
}

function isThere(value: unknown): boolean {
  return value !== undefined && value !== null
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new BadLine('is not JSON')
  }
}
