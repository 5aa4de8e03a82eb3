/** Calls of the Kubernetes API, each bounded in time, and its watches. */
import { Agent, request, type RequestOptions } from 'node:https'
import type { IncomingMessage } from 'node:http'
import type { Timers } from '../../../client/platform/timers.ts'
import type { Place } from './place.ts'

/** How long a call may take, in milliseconds. */
const TIMEOUT_MS = 30_000
/** Bytes that an answer may have: a page of 500 resources of 1 MiB is refused. */
const MAX_ANSWER_BYTES = 128 * 1024 * 1024
/** Who the fields are of that this program sets. */
export const MANAGER = 'sotto'

/** What a call has besides its path. */
interface Call {
  readonly method?: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'
  readonly query?: Readonly<Record<string, string>>
  readonly body?: object
  readonly type?: string
  readonly signal?: AbortSignal
}

/** An answer other than success, or none. */
export class ApiFailure extends Error {
  override readonly name = 'ApiFailure'
  /** 0 where there was no answer. */
  readonly status: number
  /** As Kubernetes names it, such as `NotFound`. */
  readonly reason: string
  /** Fields that are meant, each with what is the matter. Never a value. */
  readonly causes: readonly string[]
  /** Milliseconds that the server asks to wait. */
  readonly retryAfterMs: number
  /** Whether a connection was lost that was kept from an earlier call. */
  readonly isStale: boolean

  constructor(
    attempt: string,
    { status, reason, causes = [], retryAfterMs = 0, isStale = false }: FailureParts,
  ) {
    const details = causes.length === 0 ? '' : ` (${causes.join('; ')})`
    super(`Cannot ${attempt}: ${reason}${details}`)
    this.status = status
    this.reason = reason
    this.causes = causes
    this.retryAfterMs = retryAfterMs
    this.isStale = isStale
  }
}

interface FailureParts {
  readonly status: number
  readonly reason: string
  readonly causes?: readonly string[]
  readonly retryAfterMs?: number
  readonly isStale?: boolean
}

/** What an error is an answer of that status. */
export function isStatus(error: unknown, status: number): error is ApiFailure {
  return error instanceof ApiFailure && error.status === status
}

/** An answer that succeeded. */
export interface ApiAnswer<T> {
  readonly status: number
  readonly body: T
}

/** The API of one cluster. Every method throws ApiFailure. */
export class KubernetesApi {
  readonly #place: Place
  readonly #timers: Timers
  readonly #agent = new Agent({ keepAlive: true })

  constructor(place: Place, timers: Timers) {
    this.#place = place
    this.#timers = timers
  }

  async get<T>(path: string, query?: Readonly<Record<string, string>>): Promise<T> {
    return (await this.#call<T>(path, { ...(query && { query }) })).body
  }

  async create<T>(path: string, body: object): Promise<T> {
    return (await this.#call<T>(path, { method: 'POST', body, query: { fieldManager: MANAGER } }))
      .body
  }

  /** Replaces a resource of that `resourceVersion`. */
  async replace<T>(path: string, body: object): Promise<T> {
    return (await this.#call<T>(path, { method: 'PUT', body, query: { fieldManager: MANAGER } }))
      .body
  }

  /**
   * Server-side apply: what `body` has is this program's, and what it no longer has is taken away. A field of others with
   * another value is 409, unless `force`. The status is 201 where the resource was not there.
   */
  apply<T>(path: string, body: object, force: boolean): Promise<ApiAnswer<T>> {
    const query = { fieldManager: MANAGER, force: String(force) }
    return this.#call(path, { method: 'PATCH', body, query, type: 'application/apply-patch+yaml' })
  }

  /** Changes the fields that `body` has; null takes one away. */
  async merge<T>(path: string, body: object): Promise<T> {
    const type = 'application/merge-patch+json'
    const query = { fieldManager: MANAGER }
    return (await this.#call<T>(path, { method: 'PATCH', body, query, type })).body
  }

  /** Deletes the resource of that `uid` alone. One that is not there is no error. */
  async remove(path: string, uid: string): Promise<void> {
    try {
      await this.#call(path, { method: 'DELETE', body: { preconditions: { uid } } })
    } catch (error) {
      if (!isStatus(error, 404)) throw error
    }
  }

  /**
   * The lines of a watch, as they come. `alive` is called with each piece. It ends when the server ends it, and throws
   * when the connection breaks off or `signal` is aborted.
   */
  async *watch(
    path: string,
    query: Readonly<Record<string, string>>,
    { signal, alive }: { readonly signal: AbortSignal; readonly alive: () => void },
  ): AsyncGenerator<unknown, void, undefined> {
    const attempt = `watch ${path}`
    const response = await this.#send(attempt, path, { query, signal })
    if (response.statusCode !== 200) throw await this.#failureOf(attempt, response)
    const decoder = new TextDecoder()
    let rest = ''
    try {
      for await (const piece of response as AsyncIterable<Buffer>) {
        alive()
        rest += decoder.decode(piece, { stream: true })
        const lines = rest.split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) if (line !== '') yield parsed(line, attempt)
      }
    } catch (error) {
      if (error instanceof ApiFailure) throw error
      throw new ApiFailure(attempt, { status: 0, reason: 'the connection broke off' })
    } finally {
      response.destroy()
    }
  }

  /** Closes the connections that are kept open. */
  close(): void {
    this.#agent.destroy()
  }

  async #call<T>(path: string, call: Call): Promise<ApiAnswer<T>> {
    const { method = 'GET' } = call
    const attempt = `${method === 'GET' ? 'read' : method.toLowerCase()} ${path}`
    const response = await this.#send(attempt, path, call)
    const status = response.statusCode ?? 0
    if (status < 200 || status > 299) throw await this.#failureOf(attempt, response)
    return { status, body: parsed(await this.#textOf(attempt, response), attempt) as T }
  }

  /**
   * Sends it; once more where a kept connection was closed at that moment and twice does no harm, and where the token was
   * refused, with one that was read again.
   */
  async #send(attempt: string, path: string, call: Call): Promise<IncomingMessage> {
    const first = await this.#once(attempt, path, call, false).catch((error: unknown) => {
      const isStale = error instanceof ApiFailure && error.isStale && call.method !== 'POST'
      if (isStale) return this.#once(attempt, path, call, false)
      throw error
    })
    if (first.statusCode !== 401) return first
    first.resume()
    return this.#once(attempt, path, call, true)
  }

  #once(attempt: string, path: string, call: Call, fresh: boolean): Promise<IncomingMessage> {
    const { method = 'GET', query = {}, body, type = 'application/json', signal } = call
    const { token, ca } = this.#place.credentials(fresh)
    const url = new URL(`${this.#place.url}${path}`)
    url.search = new URLSearchParams(query).toString()
    const text = body && JSON.stringify(body)
    const options: RequestOptions = {
      method,
      agent: this.#agent,
      ca,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.2',
      headers: {
        Accept: 'application/json',
        Authorization: `Bearer ${token}`,
        ...(text !== undefined && {
          'Content-Type': type,
          'Content-Length': Buffer.byteLength(text),
        }),
      },
      ...(signal && { signal }),
    }
    return new Promise((resolve, reject) => {
      const sent = request(url, options)
      const stop = this.#timers.after(TIMEOUT_MS, () =>
        sent.destroy(new Error('it did not answer in time')),
      )
      sent.on('error', (error: NodeJS.ErrnoException) => {
        stop()
        const isStale = sent.reusedSocket && error.code === 'ECONNRESET'
        reject(new ApiFailure(attempt, { status: 0, reason: error.code ?? error.message, isStale }))
      })
      sent.on('socket', (socket) => socket.setKeepAlive(true, 15_000))
      sent.on('response', (response) => {
        stop()
        resolve(response)
      })
      sent.end(text)
    })
  }

  async #textOf(attempt: string, response: IncomingMessage): Promise<string> {
    const pieces: Buffer[] = []
    let length = 0
    const stop = this.#timers.after(TIMEOUT_MS, () => response.destroy())
    try {
      for await (const piece of response as AsyncIterable<Buffer>) {
        pieces.push(piece)
        length += piece.length
        if (length > MAX_ANSWER_BYTES) throw new Error('its answer has no end')
      }
      return Buffer.concat(pieces).toString()
    } catch {
      throw new ApiFailure(attempt, { status: 0, reason: 'the answer broke off' })
    } finally {
      stop()
    }
  }

  async #failureOf(attempt: string, response: IncomingMessage): Promise<ApiFailure> {
    const status = response.statusCode ?? 0
    const text = await this.#textOf(attempt, response)
    let reason = `status ${status}`
    let causes: string[] = []
    try {
      const said = JSON.parse(text) as KubernetesStatus
      reason = said.reason ?? reason
      causes = (said.details?.causes ?? []).map(causeText)
    } catch {
      // Not of the API server, then, but of what is before it.
    }
    const retryAfterMs = Number(response.headers['retry-after'] ?? 0) * 1000
    return new ApiFailure(attempt, { status, reason, causes, retryAfterMs: retryAfterMs || 0 })
  }
}

/** What the API server answers a call with that fails. Its message may quote what was sent, and is not read. */
interface KubernetesStatus {
  readonly reason?: string
  readonly details?: { readonly causes?: readonly Cause[] }
}

interface Cause {
  readonly reason?: string
  readonly field?: string
  readonly message?: string
}

/** Of a conflict, who has the field: that is in the message alone, which has no value. */
function causeText({ reason = '', field = '', message = '' }: Cause): string {
  const who = reason === 'FieldManagerConflict' ? (/"[^"]*"/.exec(message)?.[0] ?? '') : ''
  return [field, who === '' ? reason : `is set by ${who}`].filter(Boolean).join(' ')
}

function parsed(text: string, attempt: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new ApiFailure(attempt, { status: 0, reason: 'the answer is not JSON' })
  }
}
