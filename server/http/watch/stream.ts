/** One watch as a stream of events, written to Node's own response: never more at once than its client takes. */
import { asSottoError, type SottoError } from '../../../client/api/errors.ts'
import type { Timers } from '../../../client/platform/timers.ts'
import type { Watch } from '../../consumers/consumers.ts'
import type { Difference, Watched } from './watched.ts'
import type { Farewell, Watcher, Watchers } from './watchers.ts'

/** How long the client may take to take what was written, in milliseconds. */
const LAG_MS = 30_000
/** A stream ends after a while, between these, in milliseconds: clients spread over servers, and over time. */
const MIN_AGE_MS = 5 * 60_000
const MAX_AGE_MS = 10 * 60_000
/** Characters after which what was written must be taken before more is. */
const PIECE = 16 * 1024

const heartbeat = Buffer.from(':\n\n')

/** What the response of a stream is written with. */
export interface StreamOutput {
  /** Calls `taken` once the system took it; false: nothing can be written any more. */
  readonly write: (text: string | Buffer, taken: () => void) => void
  /** Writes the last, and ends the exchange. */
  readonly end: (text: string) => void
  /** Cuts the connection. */
  readonly destroy: () => void
}

/** What a stream is made of. */
export interface StreamParts {
  readonly node: string
  readonly watched: Watched
  readonly watchers: Watchers
  readonly output: StreamOutput
  /** Called once, when it begins. */
  readonly report: () => Watch
  readonly timers: Timers
  /** From 0 to below 1. */
  readonly random: () => number
}

/** A stream. */
export class WatchStream implements Watcher {
  readonly node: string
  readonly #parts: StreamParts
  readonly #endsAt: number
  #state: 'new' | 'open' | 'ended' = 'new'
  #reported: Watch | undefined
  /** Whether what is marked is being told. */
  #telling = false
  /** Whether nothing was read since the caller was named. */
  #named = true
  /** Whether the caller is to be named again though nothing is marked. */
  #doubted = false
  /** Whether `synced` is due: at first, and after each group of changes. */
  #owesSynced = true
  /** Writes that the system has not taken, and since when there are any. */
  #untaken = 0
  #untakenSince = 0
  /** Continues what waits for a write. */
  #wake: (() => void) | undefined

  constructor(parts: StreamParts) {
    const { node, timers, random } = parts
    this.node = node
    this.#parts = parts
    this.#endsAt = timers.now() + MIN_AGE_MS + random() * (MAX_AGE_MS - MIN_AGE_MS)
  }

  get names(): Iterable<string> {
    return this.#parts.watched.names
  }

  get mayKnow(): boolean {
    return this.#parts.watched.mayKnow
  }

  /** Whether it ended before it began. */
  get isOver(): boolean {
    return this.#state === 'ended'
  }

  /** Tells what differs now, and from here on what changes. The caller was named just now, and the head is written. */
  begin(): void {
    this.#state = 'open'
    this.#reported = this.#parts.report()
    this.#tellSoon()
  }

  changed(name: string): void {
    this.#parts.watched.mark(name)
    this.#tellSoon()
  }

  beat(turn: number): void {
    if (this.#state !== 'open' || this.#endIfLagging()) return
    if (this.#parts.timers.now() >= this.#endsAt) return this.end('age')
    // What is on its way says as much.
    if (this.#untaken === 0) this.#write(heartbeat)
    if (turn % 2 === 1) this.doubted()
  }

  tick(): boolean {
    if (this.#state !== 'open' || this.#endIfLagging()) return false
    this.#tellSoon()
    return this.#untaken > 0 || this.#doubted
  }

  doubted(): void {
    this.#doubted = true
    this.#tellSoon()
  }

  end(why: Farewell): void {
    if (this.#state !== 'open') return this.close()
    this.#parts.watchers.metrics.byes.with({ reason: why }).add()
    this.#parts.output.end(`event: bye\ndata: {"Reason":"${why}"}\n\n`)
    this.close()
  }

  /** Ends it without a word, where the connection is gone; `byClient`: the client closed it. */
  close(byClient = false): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    this.#parts.watchers.leave(this)
    this.#reported?.ended(byClient)
    this.#wake?.()
  }

  #endIfLagging(): boolean {
    if (this.#untaken === 0 || this.#parts.timers.now() - this.#untakenSince < LAG_MS) return false
    this.end('lag')
    return true
  }

  #tellSoon(): void {
    if (this.#state !== 'open' || this.#telling) return
    this.#telling = true
    void this.#tell()
  }

  /** Tells until nothing is left to tell. Never rejects. */
  async #tell(): Promise<void> {
    const { watched, watchers } = this.#parts
    while (this.#state === 'open' && (this.#doubted || watched.isMarked)) {
      if (this.#doubted || !this.#named) {
        this.#doubted = false
        const problem = await watchers.asking(() => watched.askAgain()).catch(asSottoError)
        if (problem) {
          this.#notNamed(problem)
          break
        }
        this.#named = true
      } else await this.#tellGroup()
    }
    this.#telling = false
  }

  async #tellGroup(): Promise<void> {
    const { watched, watchers } = this.#parts
    this.#named = false
    const { differences, at, revision } = await watched.take()
    const id = at === undefined ? '' : `id: ${at}\n`
    let text = ''
    for (const difference of differences) {
      text += `event: change\n${id}data: ${jsonOf(difference, revision)}\n\n`
      this.#owesSynced = true
      watchers.metrics.events.add()
      if (text.length < PIECE) continue
      await this.#taken(text)
      if (this.#state !== 'open') return
      text = ''
    }
    if (this.#state !== 'open') return
    if (this.#owesSynced && !watched.isMarked) {
      this.#owesSynced = false
      text += `event: synced\n${id}data: {"Revision":${revision}}\n\n`
    }
    if (text !== '') await this.#taken(text)
  }

  /** Fails closed where the caller cannot be named; where too many are being named, it is soon tried again. */
  #notNamed({ code }: SottoError): void {
    if (code === 'overloaded') {
      this.#doubted = true
      this.#parts.watchers.attend(this)
    } else {
      this.#parts.output.destroy()
      this.close()
    }
  }

  /** Writes `text`, and resolves when it is taken or the stream ended. */
  async #taken(text: string): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      this.#write(text)
      this.#parts.watchers.attend(this)
    })
    this.#wake = undefined
  }

  #write(text: string | Buffer): void {
    if (this.#untaken++ === 0) this.#untakenSince = this.#parts.timers.now()
    this.#parts.output.write(text, () => {
      this.#untaken--
      this.#untakenSince = this.#parts.timers.now()
      if (this.#untaken === 0) this.#wake?.()
    })
  }
}

/** What is told of a name, as JSON. */
export function jsonOf({ name, version }: Difference, revision: number): string {
  const what = version === undefined ? '"Denied":true' : `"Version":${version}`
  return `{"Name":${JSON.stringify(name)},${what},"Revision":${revision}}`
}
