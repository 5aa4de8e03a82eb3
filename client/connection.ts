/**
 * One HTTP exchange with the server. Over node:http rather than fetch, which costs a command line a
 * tenth of a second at its start.
 */
import type {
  Agent,
  ClientRequest,
  IncomingHttpHeaders,
  IncomingMessage,
  RequestOptions,
} from 'node:http'
import { isIP } from 'node:net'
import { SottoError } from './api/errors.ts'

// An import statement of node:http also loads Node's fetch and WebSocket, since it reads every export.
const http = process.getBuiltinModule('node:http')

/** Bytes that an answer may have: far more than a list of 100,000 names has. */
const MAX_ANSWER_BYTES = 128 * 1024 * 1024

/** An answer as it came. */
export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Empty where the answer is a stream. */
  readonly body: Buffer
  /** What was asked for as a stream and succeeded: the caller reads or destroys it. */
  readonly stream?: IncomingMessage
}

/** One call. */
export interface Exchange {
  /** What is tried, for messages, such as `get "a"`. */
  readonly attempt: string
  /** The last part of the path. */
  readonly method: string
  readonly body: string
  /** Whether the call changes something, so that it must not be sent twice. */
  readonly changes: boolean
  readonly signal?: AbortSignal | undefined
  /** Headers besides those of every call. */
  readonly headers?: Readonly<Record<string, string>>
  /** Whether the process may end meanwhile. */
  readonly background?: boolean
  /** Milliseconds that it may take in addition to the usual time: the server waits for something. */
  readonly waitMs?: number
  /** Whether the answer is to be had as a stream: as soon as it begins. */
  readonly streams?: boolean
}

/** Another way to the server than a connection of TCP or TLS to its URL. */
export interface Via {
  /** Makes the connections. */
  readonly agent: Agent
  /** What messages call the way. */
  readonly name: string
}

/** How the server is reached. */
export interface ConnectionOptions {
  readonly base: URL
  readonly timeoutMs: number
  readonly localAddress: string | undefined
  readonly keepAlive: boolean
  readonly via: Via | undefined
  /** What the program is called in the header `Sotto-Client`; undefined for nothing. */
  readonly label: string | undefined
}

/** The way to one server, with the connections that it keeps open. */
export class Connection {
  readonly #options: ConnectionOptions
  #agent: Agent | undefined

  constructor(options: ConnectionOptions) {
    this.#options = options
  }

  /**
   * Sends one call and resolves with the whole answer, whatever its status. Throws SottoError
   * `unreachable` when none came in time, `bad_answer` for what is not HTTP or has no end, and the
   * signal's reason when it was aborted.
   */
  async post(exchange: Exchange): Promise<Answer> {
    exchange.signal?.throwIfAborted()
    const { base, localAddress, label } = this.#options
    const secure = base.protocol === 'https:'
    const { Agent: Kind, request } = secure ? process.getBuiltinModule('node:https') : http
    // Said explicitly, so that no variable of the environment says otherwise.
    const checked = secure && { rejectUnauthorized: true, minVersion: 'TLSv1.2' as const }
    this.#agent ??=
      this.#options.via?.agent ?? new Kind({ keepAlive: this.#options.keepAlive, ...checked })
    const options: RequestOptions = {
      method: 'POST',
      agent: this.#agent,
      headers: {
        'Content-Type': 'application/json',
        // A browser lets no page set a header that begins with Sec-: it proves that this is not a browser.
        'Sec-X-Tailscale-No-Browsers': 'setec',
        'Content-Length': Buffer.byteLength(exchange.body),
        ...(label !== undefined && { 'Sotto-Client': label }),
        ...exchange.headers,
      },
      // A name with addresses of both families is called at one of the same family.
      ...(localAddress !== undefined && { localAddress, family: isIP(localAddress) }),
    }
    const url = new URL(base)
    url.pathname = `${base.pathname.replace(/\/$/, '')}/api/${exchange.method}`
    const send = (): ClientRequest => request(url, options)
    const first = await this.#once(send, exchange)
    // The server closed the kept connection at the moment of the call; reading again does no harm.
    const answer = first === 'stale' ? await this.#once(send, exchange) : first
    if (answer === 'stale') throw this.#unreachable(exchange, 'ECONNRESET', true)
    return answer
  }

  /** The error for an answer that began and broke off because of `why`. */
  lost(attempt: string, why: string): SottoError {
    this.#dropIdle()
    return new SottoError('unreachable', `Cannot ${attempt}: lost ${this.#at}: ${why}`)
  }

  /** Closes the connections that are kept open. */
  close(): void {
    this.#agent?.destroy()
    this.#agent = undefined
  }

  /** Where one connection was lost without a word, so may be those that wait for the next call: that opens one. */
  #dropIdle(): void {
    for (const sockets of Object.values(this.#agent?.freeSockets ?? {})) {
      for (const socket of sockets ?? []) socket.destroy()
    }
  }

  #once(send: () => ClientRequest, exchange: Exchange): Promise<Answer | 'stale'> {
    const { base, timeoutMs } = this.#options
    const { signal, waitMs = 0, background } = exchange
    const secure = base.protocol === 'https:'
    return new Promise((resolve, reject) => {
      const request = send()
      let connected = false
      const release = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', abort)
      }
      const fail = (error: unknown) => {
        release()
        reject(error)
        request.destroy()
      }
      const abort = () => fail(signal?.reason)
      const late = () => {
        this.#dropIdle()
        fail(this.#unreachable(exchange, 'TIMEOUT', connected))
      }
      const timer = setTimeout(late, timeoutMs + waitMs)
      if (background) timer.unref()
      signal?.addEventListener('abort', abort)
      const broken = (error: NodeJS.ErrnoException) => {
        if (error instanceof SottoError) return fail(error)
        const code = error.code ?? ''
        if (code === 'ECONNRESET' && request.reusedSocket && !exchange.changes) {
          release()
          request.destroy()
          resolve('stale')
        } else fail(this.#unreachable(exchange, code, connected))
      }
      request.on('error', broken)
      request.on('socket', (socket) => {
        if (background) socket.unref()
        if (!socket.connecting) connected = true
        else socket.once(secure ? 'secureConnect' : 'connect', () => (connected = true))
      })
      request.on('response', (response) => {
        const { statusCode: status = 0, headers } = response
        if (exchange.streams && status === 200) {
          release()
          return resolve({ status, headers, body: Buffer.alloc(0), stream: response })
        }
        const chunks: Buffer[] = []
        let length = 0
        response.on('error', broken)
        response.on('data', (chunk: Buffer) => {
          chunks.push(chunk)
          length += chunk.length
          if (length > MAX_ANSWER_BYTES) fail(this.#badAnswer(exchange, 'its answer has no end'))
        })
        response.on('end', () => {
          release()
          resolve({ status, headers, body: Buffer.concat(chunks) })
        })
      })
      request.end(exchange.body)
    })
  }

  get #at(): string {
    return this.#options.via?.name ?? this.#options.base.href.replace(/\/$/, '')
  }

  #badAnswer({ attempt }: Exchange, reason: string): SottoError {
    const message = `Cannot ${attempt}: ${this.#at} is not a Sotto server: ${reason}`
    return new SottoError('bad_answer', message)
  }

  /** Never keeps the system's error: the one of the HTTP parser holds the bytes of the answer. */
  #unreachable(exchange: Exchange, code: string, connected: boolean): SottoError {
    if (code.startsWith('HPE_')) return this.#badAnswer(exchange, 'it does not speak HTTP')
    const [reason, advice] = this.#reasonFor(code)
    const hint =
      exchange.changes && connected
        ? 'Whether the change was made is not known: look with `info` before trying again.'
        : advice
    return new SottoError('unreachable', `Cannot ${exchange.attempt}: ${reason}`, { hint })
  }

  #reasonFor(code: string): [reason: string, hint: string] {
    const { timeoutMs, localAddress } = this.#options
    const at = this.#at
    if (code === 'TIMEOUT') {
      return [
        `no answer from ${at} within ${timeoutMs / 1000} s`,
        'The server may be overloaded or cut off.',
      ]
    }
    if (code === 'EADDRNOTAVAIL' || (code === 'EINVAL' && localAddress !== undefined)) {
      return [
        `this machine cannot call ${at} from ${localAddress ?? 'any address'}`,
        'Check the local address.',
      ]
    }
    if (/CERT|SELF_SIGNED|UNABLE_TO|CRL|HOSTNAME_MISMATCH/.test(code)) {
      return [
        `the certificate of ${at} is not trusted (${code})`,
        'Use the name that the certificate is for. For an authority of your own set NODE_EXTRA_CA_CERTS=FILE, or NODE_USE_SYSTEM_CA=1 where the system trusts it.',
      ]
    }
    if (code === 'EPROTO' || code.startsWith('ERR_SSL')) {
      return [
        `${at} does not speak TLS as expected (${code})`,
        'Check whether the URL should begin with http://.',
      ]
    }
    const [reason, advice] = reasons[code] ?? [
      'cannot be reached',
      'Check the URL and the network.',
    ]
    // What speaks TLS breaks plain HTTP off.
    const hint =
      reasons[code] === closed && at.startsWith('http:')
        ? 'Check whether the URL should begin with https://.'
        : advice
    return [`${at} ${reason}${code === '' ? '' : ` (${code})`}`, hint]
  }
}

const closed = ['closed the connection without an answer', 'Check that the URL is right.'] as const
const onTailnet = 'Check that this machine is on the tailnet, and that the URL is right.'

const reasons: Readonly<Record<string, readonly [reason: string, hint: string]>> = {
  ECONNREFUSED: ['refuses connections', 'Check that the server runs, and that the port is right.'],
  ECONNRESET: closed,
  EPIPE: closed,
  ENOTFOUND: ['has a name that is not known', onTailnet],
  EAI_AGAIN: ['has a name that cannot be looked up now', onTailnet],
  ETIMEDOUT: ['does not answer', onTailnet],
  EHOSTUNREACH: ['cannot be reached', onTailnet],
  ENETUNREACH: ['cannot be reached', onTailnet],
}
