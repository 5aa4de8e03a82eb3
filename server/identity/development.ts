/**
 * The development tailnet: callers from a small file, told apart by the loopback address that they
 * connect from. It lets policies be tried on real sockets, with no header that could be forged later.
 */
import { statSync } from 'node:fs'
import { z } from 'zod'
import { quote, SottoError } from '../../client/api/errors.ts'
import { actions, type Rule } from '../../client/api/types.ts'
import type { Caller } from '../access.ts'
import type { Peer, Identity } from './identity.ts'
import { isLoopback } from '../platform/loopback.ts'
import { reasonOf } from '../../client/platform/system-error.ts'
import { readTextFileNow } from '../../client/platform/text-file.ts'
import { canonicalAddress } from './tailscale/addresses.ts'

const rule = z.strictObject({ action: z.array(z.string()), secret: z.array(z.string()) })

const node = z
  .strictObject({
    name: z.string().min(1),
    user: z.string().min(1).optional(),
    tags: z.array(z.string().regex(/^tag:/, 'must begin with "tag:"')).min(1).optional(),
    rules: z.array(rule).default([]),
    port: z.int().min(1).max(65_535).optional(),
  })
  .refine((each) => (each.user === undefined) !== (each.tags === undefined), {
    error: 'needs either "user" or "tags"',
  })

const tailnet = z.strictObject({
  nodes: z.record(z.string().refine(isLoopback, 'is not a loopback address'), node),
})

/** What a development tailnet file holds: nodes by the loopback address that they call from. */
export type TailnetFile = z.input<typeof tailnet>

const developer = {
  name: 'localhost',
  user: 'developer@localhost',
  rules: [{ action: [...actions], secret: ['*'] }],
}

/** The tailnet of a server that was given no file: what `localhost` is, is the developer and may do everything. */
const defaultTailnet: TailnetFile = { nodes: { '127.0.0.1': developer, '::1': developer } }

/** Callers by address and by the port of their own, if they have one. */
interface Callers {
  readonly byAddress: ReadonlyMap<string, Caller>
  readonly byPort: ReadonlyMap<number, Caller>
}

/** A file whose clock reading is younger than this may change again without a new one. */
const CLOCK_GRAIN_MS = 100
/** How long one look at a file that is older counts, in milliseconds. */
const LOOK_MS = 1

/** Names callers by a development tailnet. */
export class DevelopmentTailnet implements Identity {
  readonly #file: string | undefined
  #callers: Callers
  /** Identifies the file as it was read; undefined while a change could leave this as it is. */
  #stamp: string | undefined
  #looking: Promise<Callers> | undefined
  /** When the file was last looked at, by `performance.now()`. */
  #lookedAt = 0

  /**
   * A tailnet from `file`, or the default one when it is undefined. The file is read now and again
   * whenever it changes. Throws `local` when it cannot be read or is not valid.
   */
  constructor(file: string | undefined) {
    this.#file = file
    this.#callers = file === undefined ? build(defaultTailnet) : this.#read(file)
  }

  /** Ports of single nodes, in addition to the main one, as the file says now. */
  get ports(): readonly number[] {
    return [...this.#callers.byPort.keys()]
  }

  /** Names the node whose address, or own port, the connection has. Rejects with `unidentified`. */
  async identify(peer: Peer): Promise<Caller> {
    if ('unix' in peer) {
      throw new SottoError('unidentified', 'A development tailnet has no callers on a unix socket')
    }
    const address = canonicalAddress(peer.remoteAddress)
    if (address === undefined || !isLoopback(address)) {
      throw new SottoError('unidentified', `${peer.remoteAddress} is not a loopback address`)
    }
    const { byAddress, byPort } = await this.#look()
    const caller = byPort.get(peer.localPort) ?? byAddress.get(address)
    if (!caller) {
      throw new SottoError('unidentified', `${address} is not a node of the development tailnet`)
    }
    return caller
  }

  async check(): Promise<void> {
    this.#current()
  }

  /**
   * The requests of one turn of the event loop are answered together: one by one they take a third
   * more processor time, since each answer then wakes its client, and the next request the server.
   */
  #look(): Promise<Callers> {
    this.#looking ??= new Promise((resolve, reject) => {
      setImmediate(() => {
        this.#looking = undefined
        try {
          const isFresh = this.#stamp !== undefined && performance.now() - this.#lookedAt < LOOK_MS
          resolve(isFresh ? this.#callers : this.#current())
        } catch (error) {
          reject(error)
        }
      })
    })
    return this.#looking
  }

  #current(): Callers {
    if (this.#file === undefined) return this.#callers
    try {
      this.#lookedAt = performance.now()
      if (stampOf(this.#file) !== this.#stamp) this.#callers = this.#read(this.#file)
    } catch (error) {
      this.#stamp = undefined
      const reason = reasonOf(error)
      throw new SottoError('unidentified', `The development tailnet cannot be read: ${reason}`)
    }
    return this.#callers
  }

  #read(file: string): Callers {
    const stamp = stampOrUndefined(file)
    const callers = build(parse(file))
    // A change within the grain of the file system's clock would leave the stamp as it is.
    const changedAt = Number.parseFloat(stamp ?? '')
    this.#stamp = Date.now() - changedAt > CLOCK_GRAIN_MS ? stamp : undefined
    return callers
  }
}

function parse(file: string): TailnetFile {
  const text = readTextFileNow(file, 'development tailnet', {
    hint: 'Name an existing file with --tailnet, or leave it out for the default tailnet.',
  })
  const result = tailnet.safeParse(parseJson(file, text))
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const place = issue?.path.join('.') ?? ''
  throw new SottoError(
    'local',
    `The development tailnet ${quote(file)} is not valid at ${quote(place)}: ${issue?.message}`,
  )
}

function parseJson(file: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new SottoError('local', `The development tailnet ${quote(file)} is not JSON`, { cause })
  }
}

function build(file: TailnetFile): Callers {
  const byAddress = new Map<string, Caller>()
  const byPort = new Map<number, Caller>()
  for (const [written, each] of Object.entries(file.nodes)) {
    const ip = canonicalAddress(written) ?? written
    const rules: readonly Rule[] = each.rules ?? []
    const who = each.tags ? { tags: each.tags } : { user: each.user ?? '' }
    const caller = { principal: { hostname: each.name, ip, ...who }, rules }
    byAddress.set(ip, caller)
    if (each.port !== undefined) byPort.set(each.port, caller)
  }
  return { byAddress, byPort }
}

/** Begins with the time of the last change. */
function stampOf(file: string): string {
  const { ino, size, mtimeMs, ctimeMs } = statSync(file)
  return `${ctimeMs}:${mtimeMs}:${size}:${ino}`
}

function stampOrUndefined(file: string): string | undefined {
  try {
    return stampOf(file)
  } catch {
    return undefined
  }
}
