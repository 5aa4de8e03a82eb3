/**
 * The HTTP client: one method per call of the API. It works with a setec server too. It keeps no
 * values: a program that must run while the server is down keeps what it read.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import { base64 } from './api/base64.ts'
import { quote, SottoError } from './api/errors.ts'
import { isLabel } from './api/names.ts'
import type { OperationName, OperationRequest, OperationResponse } from './api/operations.ts'
import { MAX_VERSION, type SecretInfo, type SecretValue } from './api/types.ts'
import { decoders, errorOf, type Got, type Identity, parseBody, ServerError } from './answer.ts'
import { type Answer, Connection, type Exchange, type Via } from './connection.ts'
import type { Timers } from './platform/timers.ts'
import type { Change, WatchEvent } from './watch.ts'

export { type Got, type Identity, ServerError }

/** How to reach a server. */
export interface ClientOptions {
  /**
   * The server's URL, such as `https://secrets.example.ts.net`: http or https, without credentials,
   * query and fragment. A path is kept, and `/api/…` is added to it.
   */
  readonly server: string | URL
  /** Milliseconds that one call may take, its answer included. 30 000 when absent. */
  readonly timeoutMs?: number
  /** The local address to call from. The system chooses when absent. */
  readonly localAddress?: string
  /**
   * Whether connections stay open for the next call. True when absent; idle ones do not keep the
   * process running.
   */
  readonly keepAlive?: boolean
  /** Another way to the server than to its URL. */
  readonly via?: Via
  /**
   * What the server is to call this program beside its node: 1 to 64 printable characters of ASCII, no blanks. Sent
   * with every call, recorded and never trusted. Absent: nothing.
   */
  readonly label?: string
}

/** What any call takes. */
export interface CallOptions {
  /** Gives up the call: it then throws the signal's reason. */
  readonly signal?: AbortSignal
  /**
   * Gets the branch of the server's store, a dot and a revision: the answer has every change up to there. Not called
   * where the server does not say, as a setec server does not.
   */
  readonly revision?: (at: string) => void
}

/** What is asked for, of one secret among many. */
export interface Wanted {
  readonly Name: string
  /** The version; 0 or absent: the active one. */
  readonly Version?: number
  /** With a version: only another active one than that. */
  readonly UpdateIfChanged?: boolean
}

/** The versions that a program holds, by name; 0: none. */
export type Held = ReadonlyMap<string, number>

/** What a watch takes that ends with an answer. */
export interface WatchOnceOptions extends CallOptions {
  /** Seconds that the server may wait for a change, from 1 to 55. 55 when absent. */
  readonly waitSeconds?: number
  /** Whether the watch lets the process end. False when absent. */
  readonly background?: boolean
}

/** What a watch takes. */
export interface WatchOptions extends CallOptions {
  /** Whether the watch lets the process end. False when absent. */
  readonly background?: boolean
  /** Default: those of the process. */
  readonly timers?: Timers
}

/** What an answer must be: undefined for one that is not. */
type Decode<T> = (body: unknown, headers: IncomingHttpHeaders) => T | undefined
type Decoded<M extends keyof typeof decoders> = NonNullable<ReturnType<(typeof decoders)[M]>>

/** The version that the server answered a put with. */
export interface Added {
  readonly Version: number
  /** Whether it is the active one now; undefined where the server does not say. */
  readonly Active: boolean | undefined
}

/** A secret, and where it lives. */
export interface Described extends SecretInfo {
  readonly Backend: string | undefined
}

/** The methods that may be sent again where a kept connection was closed. */
const reads: ReadonlySet<string> = new Set(['list', 'info', 'get', 'get-many', 'watch', 'whoami'])

/** The methods that servers may not know: setec's, and earlier ones of ours. */
const young: ReadonlySet<string> = new Set(['get-many', 'watch'])

/**
 * A client of one server. Every method throws SottoError: `unreachable` when no answer came,
 * `bad_answer` for an answer that is not part of the API, and otherwise, as ServerError, the code
 * that the server gave: `denied` without the permission named below, `not_found`, `overloaded`,
 * `internal` and so on. Neither holds a value, a request or an answer.
 */
export class Client {
  /** The server's URL, without a slash at its end. */
  readonly server: string
  readonly #connection: Connection

  /** Connects to nothing yet. Throws SottoError `usage` for options that cannot be used. */
  constructor(options: ClientOptions) {
    const { timeoutMs = 30_000, localAddress, keepAlive = true, via, label } = options
    const base = readServer(options.server)
    if (!(timeoutMs > 0 && timeoutMs <= 2_147_483_647)) {
      throw new SottoError('usage', `Cannot use a timeout of ${timeoutMs} ms: it must be above 0`)
    }
    if (localAddress !== undefined && isIP(localAddress) === 0) {
      const message = `Cannot call from ${quote(localAddress)}: it is not an IP address`
      throw new SottoError('usage', message)
    }
    if (label !== undefined && !isLabel(label)) {
      const message = `Cannot be called ${quote(label)}: a label has 1 to 64 printable characters of ASCII and no blanks`
      throw new SottoError('usage', message)
    }
    this.server = base.href.replace(/\/$/, '')
    this.#connection = new Connection({ base, timeoutMs, localAddress, keepAlive, via, label })
  }

  /** The secrets that the caller may know about, by name. Permission: shows those with `info`. */
  list(options: CallOptions = {}): Promise<SecretInfo[]> {
    return this.#call('list', 'list secrets', {}, options)
  }

  /** The versions of `name`. Throws `not_found` where there is no such secret. Permission: `info`. */
  info(name: string, options: CallOptions = {}): Promise<SecretInfo> {
    return this.#call('info', `get info on ${quote(name)}`, { Name: name }, options)
  }

  /**
   * As `info`, and resolves also with the backend that keeps the secret: undefined where the server does not say, as
   * a setec server does not, nor Sotto to who may not see backends.
   */
  describe(name: string, options: CallOptions = {}): Promise<Described> {
    return this.#send('info', `get info on ${quote(name)}`, { Name: name }, describedOf, options)
  }

  /** The active version of `name`. Throws `not_found`. Permission: `get`. */
  get(name: string, options: CallOptions = {}): Promise<SecretValue> {
    return this.getVersion(name, 0, options)
  }

  /** The given version of `name`; 0 is the active one. Throws `not_found`. Permission: `get`. */
  async getVersion(name: string, version: number, options: CallOptions = {}): Promise<SecretValue> {
    const which = version === 0 ? '' : `version ${version} of `
    const request = { Name: name, Version: checkVersion(version) }
    return this.#call('get', `get ${which}${quote(name)}`, request, options)
  }

  /**
   * The active version of `name` if it is another than `held`, and undefined while it is that one.
   * With `held` 0, which stands for none, it is `get`. Throws `not_found`. Permission: `get`.
   */
  async getIfChanged(
    name: string,
    held: number,
    options: CallOptions = {},
  ): Promise<SecretValue | undefined> {
    if (held === 0) return this.get(name, options)
    const request = { Name: name, Version: checkVersion(held), UpdateIfChanged: true }
    try {
      return await this.#call('get', `get ${quote(name)}`, request, options)
    } catch (error) {
      if (error instanceof ServerError && error.code === 'unchanged') return undefined
      throw error
    }
  }

  /**
   * Several secrets at once, at most 256, each as `getVersion` or `getIfChanged` would give it, in the same order. One
   * that cannot be had is its error: `denied`, `not_found`, and `too_large` where the answer has no room for it. With
   * `all` one such error is thrown, and no value leaves the server. Throws `no_such_method` where the server does not
   * know the call, as a setec server does not. Permission: `get` on each.
   */
  getMany(
    wanted: readonly Wanted[],
    { all = false, ...options }: CallOptions & { readonly all?: boolean } = {},
  ): Promise<Got[]> {
    for (const { Version = 0 } of wanted) checkVersion(Version)
    const request = { Secrets: wanted, ...(all && { All: true }) }
    return this.#call('get-many', `get ${wanted.length} secrets`, request, options)
  }

  /**
   * Tells which versions are active where they are not those that are `held`, at most 1,000, and then each change of
   * that, until the server says `bye`. It connects when the first event is asked for. Throws `unreachable` when the stream
   * breaks off or is silent for 40 seconds; and `no_such_method` where the server has no watch, as a setec server.
   * Permission: `get` on each name; one without is told as denied.
   */
  async *watch(
    held: Held,
    options: WatchOptions = {},
  ): AsyncGenerator<WatchEvent, void, undefined> {
    const { signal, timers } = options
    const attempt = `watch ${held.size} secrets`
    // Loaded only here: a command line needs none of it.
    const { eventsOf } = await import('./watch.ts')
    const answer = await this.#post('watch', attempt, requestOf(held), {
      ...options,
      headers: { Accept: 'text/event-stream' },
      streams: true,
    })
    const { stream, headers } = answer
    if (!stream || !headers['content-type']?.startsWith('text/event-stream')) {
      stream?.destroy()
      throw this.#notOfTheApi(attempt)
    }
    const lost = (why: string): SottoError => this.#connection.lost(attempt, why)
    yield* eventsOf(stream, { signal, timers, lost })
  }

  /**
   * Resolves with what differs from what is `held`, at once or when something does, and with nothing after `waitSeconds`,
   * 55 at most and by default, less a tenth at random. Throws as `watch`. Permission: the same.
   */
  async watchOnce(
    held: Held,
    { waitSeconds = 55, ...options }: WatchOnceOptions = {},
  ): Promise<Change[]> {
    const { readChanges } = await import('./watch.ts')
    const request = { ...requestOf(held), Wait: waitSeconds }
    return this.#send('watch', `watch ${held.size} secrets`, request, readChanges, {
      ...options,
      waitMs: waitSeconds * 1000,
    })
  }

  /**
   * Adds a version and resolves with its number. The first of a secret is active at once, a later
   * one is not. The bytes that the latest version has add nothing: the answer is its number.
   * Permission: `put`.
   */
  async put(name: string, value: Uint8Array, options: CallOptions = {}): Promise<number> {
    return (await this.add(name, value, options)).Version
  }

  /**
   * As `put`, and resolves also with whether that version is the active one now: undefined where the server does
   * not say, as a setec server does not.
   */
  add(name: string, value: Uint8Array, options: CallOptions = {}): Promise<Added> {
    const request = { Name: name, Value: base64(value) }
    return this.#send('put', `put ${quote(name)}`, request, addedOf, options)
  }

  /**
   * Adds the given version, above 0, and activates it. Throws `version_taken` for a number that has
   * or once had a value. Permission: `create-version`.
   */
  async createVersion(
    name: string,
    version: number,
    value: Uint8Array,
    options: CallOptions = {},
  ): Promise<void> {
    const request = { Name: name, Version: checkVersion(version), Value: base64(value) }
    const attempt = `create version ${version} of ${quote(name)}`
    await this.#call('create-version', attempt, request, options)
  }

  /** Makes a version the active one. Throws `not_found`. Permission: `activate`. */
  async activate(name: string, version: number, options: CallOptions = {}): Promise<void> {
    const request = { Name: name, Version: checkVersion(version) }
    await this.#call('activate', `activate version ${version} of ${quote(name)}`, request, options)
  }

  /**
   * Deletes a version that is not active. Throws `not_found`, and `version_active` for the active
   * one (a setec server answers that with `internal`). Permission: `delete`.
   */
  async deleteVersion(name: string, version: number, options: CallOptions = {}): Promise<void> {
    const request = { Name: name, Version: checkVersion(version) }
    const attempt = `delete version ${version} of ${quote(name)}`
    await this.#call('delete-version', attempt, request, options)
  }

  /** Deletes a secret with all its versions; deleting nothing is not an error. Permission: `delete`. */
  async delete(name: string, options: CallOptions = {}): Promise<void> {
    await this.#call('delete', `delete ${quote(name)}`, { Name: name }, options)
  }

  /**
   * Who the server takes the caller for, with the rules that apply and, where a `name` is given,
   * the actions that they allow on it. Throws `no_such_method` where the server does not know the
   * call, as a setec server does not. Permission: none.
   */
  whoami(name?: string, options: CallOptions = {}): Promise<Identity> {
    const request = name === undefined ? {} : { Name: name }
    return this.#call('whoami', 'ask who is calling', request, options)
  }

  /**
   * Asks for an operation of `client/api/operations.ts`. Throws what its table names, and
   * `no_such_method` where the server does not know it, as a setec server does not. Permission: the
   * action of the operation on the empty name.
   */
  async operate<O extends OperationName>(
    name: O,
    request: OperationRequest<O>,
    options: CallOptions = {},
  ): Promise<OperationResponse<O>> {
    // Loaded only here: programs that fetch secrets need no schemas.
    const { operations } = await import('./api/operations.ts')
    const decode = (body: unknown) =>
      operations[name].response.safeParse(body).data as OperationResponse<O> | undefined
    return this.#send(name, `ask for ${name}`, request, decode, options)
  }

  /** Closes the connections that are kept open; a later call opens new ones. */
  close(): void {
    this.#connection.close()
  }

  /** Calls a method of the API; `attempt` is for messages. */
  #call<M extends keyof typeof decoders>(
    method: M,
    attempt: string,
    request: object,
    options: CallOptions,
  ): Promise<Decoded<M>> {
    const decode = decoders[method] as Decode<Decoded<M>>
    return this.#send(method, attempt, request, decode, options)
  }

  async #send<T>(
    method: string,
    attempt: string,
    request: object,
    decode: Decode<T>,
    options: Sending,
  ): Promise<T> {
    const { body, headers } = await this.#post(method, attempt, request, options)
    const decoded = decode(parseBody(body), headers)
    if (decoded !== undefined) return decoded
    throw this.#notOfTheApi(attempt)
  }

  /** An answer 200, before it is decoded. */
  async #post(
    method: string,
    attempt: string,
    request: object,
    { revision, ...options }: Sending,
  ): Promise<Answer> {
    const body = JSON.stringify(request)
    const changes = !reads.has(method)
    const answer = await this.#connection.post({ ...options, attempt, method, body, changes })
    const at = answer.headers['sotto-revision']
    if (revision && typeof at === 'string' && /^[0-9a-f]{16}\.\d{1,16}$/.test(at)) revision(at)
    if (answer.status === 200) return answer
    throw errorOf(answer, attempt, young.has(method))
  }

  #notOfTheApi(attempt: string): SottoError {
    return new SottoError(
      'bad_answer',
      `Cannot ${attempt}: ${this.server} answered with something that is not part of the API`,
      { hint: 'Check that the URL is that of a Sotto or setec server.' },
    )
  }
}

/** How a call is sent. */
type Sending = CallOptions & Pick<Exchange, 'headers' | 'waitMs' | 'streams' | 'background'>

function requestOf(held: Held): object {
  return { Secrets: [...held].map(([Name, Version]) => ({ Name, Version: checkVersion(Version) })) }
}

function addedOf(body: unknown, headers: IncomingHttpHeaders): Added | undefined {
  const Version = decoders.put(body)
  const active = headers['sotto-active']
  if (Version === undefined) return undefined
  return { Version, Active: active === undefined ? undefined : active === 'yes' }
}

function describedOf(body: unknown, headers: IncomingHttpHeaders): Described | undefined {
  const info = decoders.info(body)
  const backend = headers['sotto-backend']
  return info && { ...info, Backend: typeof backend === 'string' ? backend : undefined }
}

function readServer(server: string | URL): URL {
  const url = URL.parse(String(server))
  // What is not taken is not quoted either: it may hold a password.
  const fault = url ? serverFault(url) : 'it is not a URL'
  if (url && fault === undefined) return url
  throw new SottoError('usage', `Cannot use the server ${url ? 'URL' : 'address'}: ${fault}`, {
    hint: 'Write it as in https://secrets.example.ts.net.',
  })
}

function serverFault(url: URL): string | undefined {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    return 'it begins with neither http:// nor https://'
  }
  if (url.username !== '' || url.password !== '') {
    return 'it has credentials, and the network alone says who is calling'
  }
  if (url.search !== '' || url.hash !== '') return 'it has a query or a fragment'
  return undefined
}

function checkVersion(version: number): number {
  if (Number.isInteger(version) && version >= 0 && version <= MAX_VERSION) return version
  const message = `Cannot use version ${version}: it is not an integer from 0 to ${MAX_VERSION}`
  throw new SottoError('usage', message)
}
