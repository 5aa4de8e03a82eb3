/** `POST /api/watch`: the same comparison as a stream of events, or as the answer of a blocking query. */
import { SottoError } from '../../../client/api/errors.ts'
import { decodeMany, type ManyRequest } from '../../../client/api/many.ts'
import type { Timers } from '../../../client/platform/timers.ts'
import type { Caller } from '../../access.ts'
import type { Call } from '../../gate/gate.ts'
import type { ReadPosition } from '../../gate/position.ts'
import type { Consumers } from '../../consumers/consumers.ts'
import type { ActiveVersions } from '../../secrets/active-versions.ts'
import { ok } from '../answer.ts'
import { type Exchange, UNCOUNTED_BYTES } from '../exchange.ts'
import { type Act, type Handler, type HandlerParts, handlerOf, streaming } from '../handle.ts'
import { WatchQuery } from './query.ts'
import { RecentQueries } from './recent.ts'
import { jsonOf, WatchStream } from './stream.ts'
import { Watched } from './watched.ts'
import type { Watchers } from './watchers.ts'

/** What watches work with. */
export interface Watching {
  readonly watchers: Watchers
  readonly active: ActiveVersions
  readonly position: ReadPosition
  /** Told what callers hold. */
  readonly consumers: Pick<Consumers, 'claimed' | 'opened'>
  readonly timers: Timers
  /** From 0 to below 1. Default: Math.random. */
  readonly random?: () => number
}

const EVENTS = 'text/event-stream'

type Watch = ManyRequest<'watch'>

/** Makes the handler. */
export function watchHandler(parts: HandlerParts, watching: Watching): Handler {
  const { gate } = parts
  const recent = new RecentQueries(() => watching.timers.now())
  const act: Act<Watch> = async (call, request, exchange) => {
    const opening = new Opening(parts, watching, call, request, exchange)
    if (acceptsEvents(exchange)) return opening.stream()
    return opening.query(request.Wait, recent)
  }
  return handlerOf(parts, 'watch', {
    demand: async (call, bytes) => {
      if (bytes > UNCOUNTED_BYTES) await gate.demandAny(call, 'get')
    },
    decode: (body) => decodeMany('watch', body),
    act,
  })
}

/** A watch that is about to begin. */
class Opening {
  readonly #parts: HandlerParts
  readonly #watching: Watching
  readonly #call: Call
  readonly #exchange: Exchange
  readonly #names: readonly string[]
  readonly #node: string
  readonly #watched: Watched
  readonly #held: ReadonlyMap<string, number>

  constructor(
    parts: HandlerParts,
    watching: Watching,
    call: Call,
    { Secrets }: Watch,
    exchange: Exchange,
  ) {
    this.#parts = parts
    this.#watching = watching
    this.#call = call
    this.#exchange = exchange
    this.#names = Secrets.map(({ Name }) => Name)
    this.#node = call.caller.node ?? `${call.caller.principal.hostname} ${call.caller.principal.ip}`
    this.#held = new Map(Secrets.map(({ Name, Version }) => [Name, Version]))
    const { gate, errorLog } = parts
    this.#watched = new Watched(this.#held, gate.allowing(call, 'get'), {
      activeOf: (name) => watching.active.of(name),
      position: () => watching.position,
      identify: () => this.#identify(),
      allowing: (caller) => gate.allowing({ caller, request: call.request }, 'get'),
      failed: (error) => errorLog.note(call.request, error),
    })
  }

  /** Answers with a stream. Rejects with `overloaded` and `shutting_down`. */
  async stream(): Promise<typeof streaming> {
    const { watchers, timers, random = Math.random, position } = this.#watching
    const exchange = this.#exchange
    const { incoming, outgoing } = exchange
    const stream = new WatchStream({
      node: this.#node,
      watched: this.#watched,
      watchers,
      report: () => this.#watching.consumers.opened(this.#call, this.#claims()),
      timers,
      random,
      output: {
        write: (text, taken) => void outgoing.write(text, taken),
        end: (text) => {
          outgoing.end(text)
          exchange.endStream()
        },
        destroy: () => void incoming.socket.destroy(),
      },
    })
    watchers.enter(stream)
    try {
      await this.#parts.gate.watch(this.#call, this.#names, false)
      if (stream.isOver) throw new SottoError('shutting_down', 'The server takes no new watches')
      const headers = this.#watched.mayKnow ? ['Sotto-Revision', position.text] : []
      if (!exchange.beginStream(EVENTS, headers)) return streaming
      outgoing.once('close', () => {
        stream.close()
        exchange.endStream()
      })
      whenLeft(exchange, () => {
        stream.close(true)
        incoming.socket.destroy()
      })
      stream.begin()
      return streaming
    } finally {
      if (!outgoing.headersSent) stream.close()
    }
  }

  /** Answers with what differs within `seconds`. Rejects with `overloaded` and `shutting_down`. */
  async query(seconds: number, recent: RecentQueries) {
    const { watchers, timers, random = Math.random } = this.#watching
    const { gate } = this.#parts
    const query = new WatchQuery({
      node: this.#node,
      watched: this.#watched,
      watchers,
      timers,
    })
    watchers.enter(query)
    let forget: (() => void) | undefined
    try {
      const known = recent.isKnown(this.#node, this.#names, gate.allowing(this.#call, 'get'))
      await gate.watch(this.#call, this.#names, known)
      this.#exchange.release()
      const { outgoing } = this.#exchange
      outgoing.once('close', () => query.end())
      // It may have been before.
      if (outgoing.destroyed) query.end()
      for (const { Name, Version } of this.#claims()) {
        this.#watching.consumers.claimed(this.#call, Name, Version)
      }
      forget = whenLeft(this.#exchange, () => query.end())
      const group = await query.answer(seconds * 1000 * (1 - 0.1 * random()))
      const body = group.differences.map((each) => jsonOf(each, group.revision)).join(',')
      const headers = group.at === undefined ? [] : ['Sotto-Revision', group.at]
      return { ...ok(`[${body}]`), headers }
    } finally {
      forget?.()
      query.close()
    }
  }

  /** Names the caller again. Rejects with `unidentified` where the connection became another's. */
  async #identify(): Promise<Caller> {
    const { connection, incoming } = this.#exchange
    const caller = await this.#parts.identity.identify(connection.peerOf(incoming))
    connection.pin(caller)
    return caller
  }

  /** What the caller says it holds, of the names that it may get. */
  #claims(): { readonly Name: string; readonly Version: number }[] {
    const isAllowed = this.#parts.gate.allowing(this.#call, 'get')
    return Array.from(this.#held, ([Name, Version]) => ({ Name, Version })).filter(({ Name }) =>
      isAllowed(Name),
    )
  }
}

/**
 * Calls `then` when the client sends nothing more. That it still reads cannot be told from that it is gone, and who
 * waits is not kept for that. Returns what takes this back.
 */
function whenLeft({ incoming: { socket } }: Exchange, then: () => void): () => void {
  if (socket.readableEnded) then()
  socket.once('end', then)
  return () => void socket.off('end', then)
}

function acceptsEvents({ incoming }: Exchange): boolean {
  const ranges = (incoming.headers.accept ?? '').toLowerCase().split(',')
  return ranges.some((range) => range.split(';')[0]?.trim() === EVENTS)
}
