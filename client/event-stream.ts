/** Reads a stream of server-sent events, whatever the pieces that it comes in. */
import { SottoError } from './api/errors.ts'

/** An event of a stream. */
export interface StreamEvent {
  /** `message` where the stream says nothing else. */
  readonly event: string
  /** Of this event or of the latest that had one; undefined before the first. */
  readonly id: string | undefined
  readonly data: string
}

/** Characters that an event may have: far more than one of ours. */
const MAX_EVENT = 64 * 1024

/** Makes events of pieces. An event that the stream breaks off in is left out. */
export class EventStream {
  // It keeps the bytes of a character that was cut.
  readonly #decoder = new TextDecoder()
  #line = ''
  /** Whether the last piece ended with a carriage return: a line feed that follows belongs to it. */
  #cut = false
  #event = ''
  #data: string | undefined
  #id: string | undefined

  /** The events that `piece` completes. Throws `bad_answer` for one that has no end. */
  push(piece: Uint8Array): StreamEvent[] {
    const events: StreamEvent[] = []
    let text = this.#decoder.decode(piece, { stream: true })
    if (text === '') return events
    if (this.#cut && text.startsWith('\n')) text = text.slice(1)
    this.#cut = text.endsWith('\r')
    const lines = text.split(/\r\n|\r|\n/)
    const last = lines.pop() ?? ''
    for (const each of lines) {
      const event = this.#take(this.#line + each)
      this.#line = ''
      if (event) events.push(event)
    }
    this.#line += last
    if (this.#line.length + (this.#data?.length ?? 0) <= MAX_EVENT) return events
    throw new SottoError('bad_answer', 'Cannot read the stream: an event has no end')
  }

  /** The event that `line` ends, if it does. */
  #take(line: string): StreamEvent | undefined {
    if (line === '') return this.#end()
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (field === 'event') this.#event = value
    else if (field === 'id' && !value.includes('\0')) this.#id = value
    else if (field === 'data') {
      this.#data = this.#data === undefined ? value : `${this.#data}\n${value}`
    }
    return undefined
  }

  #end(): StreamEvent | undefined {
    const event = this.#event || 'message'
    const data = this.#data
    this.#event = ''
    this.#data = undefined
    return data === undefined ? undefined : { event, id: this.#id, data }
  }
}
