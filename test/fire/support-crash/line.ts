/** One kept-alive connection of a caller, which tells exactly what came before it was cut. */
import { connect, type Socket } from 'node:net'

/** What came of an answer. */
export interface Answer {
  readonly status: number
  /** The id of the request, as the server calls it. */
  readonly request: string
  readonly body: string
  /** Whether all of the body came. */
  readonly whole: boolean
}

/** A connection from a loopback address that carries one call at a time. */
export class Line {
  readonly #socket: Socket
  #received: Buffer = Buffer.alloc(0)
  #waiting: ((answer: Answer | undefined) => void) | undefined
  #cut = false

  /** Connects from `from` to `port` of 127.0.0.1; a failure shows as a call without an answer. */
  constructor(port: number, from: string) {
    this.#socket = connect({ port, host: '127.0.0.1', localAddress: from, noDelay: true })
    this.#socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#look()
    })
    this.#socket.on('error', () => {})
    this.#socket.on('close', () => {
      this.#cut = true
      this.#look()
    })
  }

  /** Whether nothing can be called any more. */
  get cut(): boolean {
    return this.#cut
  }

  /**
   * Posts `body` to a method of the API. Resolves with what came of the answer, perhaps not whole;
   * with undefined when the connection was cut before the answer's head was complete.
   */
  call(method: string, body: unknown): Promise<Answer | undefined> {
    if (this.#cut) return Promise.resolve(undefined)
    const text = Buffer.from(JSON.stringify(body))
    const head =
      `POST /api/${method} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n` +
      `Sec-X-Tailscale-No-Browsers: setec\r\nContent-Length: ${text.length}\r\n\r\n`
    return new Promise((resolve) => {
      this.#waiting = resolve
      this.#socket.write(Buffer.concat([Buffer.from(head), text]))
    })
  }

  /** Hangs up. */
  close(): void {
    this.#socket.destroy()
  }

  #look(): void {
    const answer = this.#parse()
    if (!answer?.whole && !this.#cut) return
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.(answer)
  }

  #parse(): Answer | undefined {
    const end = this.#received.indexOf('\r\n\r\n')
    if (end < 0) return undefined
    const head = this.#received.toString('latin1', 0, end)
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1])
    const request = /^X-Request-Id: (.+)$/im.exec(head)?.[1] ?? ''
    const length = Number(/^Content-Length: (\d+)$/im.exec(head)?.[1] ?? 0)
    const body = this.#received.subarray(end + 4, end + 4 + length)
    const whole = body.length === length
    if (whole) this.#received = this.#received.subarray(end + 4 + length)
    return { status, request, body: body.toString(), whole }
  }
}
