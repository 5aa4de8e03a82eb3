/** The calls of a KV engine, version 2, below one prefix: entries and their revisions. */
import { type ErrorCode, quote, SottoError } from '../../../client/api/errors.ts'
import type { Answer, OpenBaoRequest } from '../../openbao/connection.ts'
import { type Failure, type FailureKind, ownFailure } from '../../openbao/failures.ts'
import type { OpenBaoCalls } from '../../openbao/session.ts'

/** The newest revision of an entry. */
export interface Entry {
  readonly revision: number
  /** Absent where that revision was deleted or destroyed. */
  readonly data?: Readonly<Record<string, unknown>>
  /** When OpenBao will delete it by itself. UTC. */
  readonly expires?: string
  /** Custom metadata of the entry, written by anyone. */
  readonly notes: Readonly<Record<string, unknown>>
}

/** The mount below which the entries are. */
export interface Mount {
  /** Another one once the mount was removed and recreated. */
  readonly accessor: string
  /** Whether it is OpenBao's own engine, and not Vault's. */
  readonly openBao: boolean
}

/** Settings of the mount, as far as they may be read. */
export interface MountSettings {
  /** Whether it deletes entries by itself after a time. */
  readonly deletes: boolean
}

/** How many keys a listing is asked for at once. */
const PAGE = 1000

/** Entries below one prefix of one mount. Every method rejects as `Backend` does. */
export class Kv {
  /** Names the OpenBao in messages. */
  readonly place: string
  readonly #session: OpenBaoCalls
  readonly #mount: string
  readonly #prefix: string

  /** Paths are clean as `isCleanPath` says, without a slash at the begin or end; an empty prefix is the mount itself. */
  constructor(session: OpenBaoCalls, mount: string, prefix: string) {
    this.place = `OpenBao at ${quote(session.origin)}`
    this.#session = session
    this.#mount = mount
    this.#prefix = prefix
  }

  /** The newest revision of the entry at `path`; undefined where none was ever written, or all was removed. */
  async read(path: string, attempted: string): Promise<Entry | undefined> {
    const answer = await this.#call('GET', 'data', path)
    if (!answer.ok && answer.failure.kind === 'not_found') {
      // A mount of version 1 that replaced this one answers the same.
      await this.mount()
      return undefined
    }
    const deleted = !answer.ok && answer.failure.kind === 'deleted'
    if (!answer.ok && !deleted) throw this.trouble(attempted, answer.failure)
    const { data, metadata } = dataOf(answer.ok ? answer.body : answer.failure.body)
    const { version, deletion_time: expires, custom_metadata: notes } = objectIn(metadata)
    if (typeof version !== 'number') throw this.trouble(attempted, notKv2)
    return {
      revision: version,
      ...(!deleted && isObject(data) && { data, ...expiry(expires) }),
      notes: objectIn(notes),
    }
  }

  /**
   * Writes `data`, which is JSON, to the entry at `path` if `expected` is its revision (0: there is none).
   * Undefined: it is not, or an attempt whose answer was lost has done it.
   */
  async write(
    path: string,
    data: Uint8Array,
    expected: number,
    attempted: string,
  ): Promise<Pick<Entry, 'revision' | 'expires'> | undefined> {
    const head = Buffer.from(`{"options":{"cas":${expected}},"data":`)
    const body = Buffer.concat([head, data, Buffer.from('}')])
    // Repeated after an answer that was lost, it conflicts with itself, which the caller sees.
    const answer = await this.#call('POST', 'data', path, { body })
    body.fill(0)
    if (!answer.ok && answer.failure.kind === 'conflict') return undefined
    if (!answer.ok) throw this.trouble(attempted, answer.failure)
    const { version, deletion_time: expires } = dataOf(answer.body)
    if (typeof version !== 'number') throw this.trouble(attempted, notKv2)
    return { revision: version, ...expiry(expires) }
  }

  /**
   * Adds `notes` to the custom metadata of the entry at `path`, which exists; other notes stay. False: no
   * policy allows it.
   */
  async note(path: string, notes: object, attempted: string): Promise<boolean> {
    const body = { custom_metadata: notes }
    const answer = await this.#call('PATCH', 'metadata', path, { body })
    if (answer.ok) return true
    if (isForbidden(answer.failure)) return false
    throw this.trouble(attempted, answer.failure)
  }

  /** Removes the entry at `path` with all its revisions, if there is one. */
  async remove(path: string, attempted: string): Promise<void> {
    const answer = await this.#call('DELETE', 'metadata', path)
    if (!answer.ok) throw this.trouble(attempted, answer.failure)
  }

  /** What is directly below `path`, in the order of bytes; what has more below it ends in a slash. */
  async *list(path: string, attempted: string): AsyncIterable<string> {
    let after = ''
    for (;;) {
      const query = { list: 'true', limit: String(PAGE), ...(after !== '' && { after }) }
      const answer = await this.#call('GET', 'metadata', path, { query })
      if (!answer.ok && answer.failure.kind === 'not_found') {
        await this.mount()
        return
      }
      if (!answer.ok) throw this.trouble(attempted, answer.failure)
      const { keys } = dataOf(answer.body)
      if (!Array.isArray(keys)) throw this.trouble(attempted, notKv2)
      // Vault has no pages: it answers with all keys each time.
      if (after !== '' && keys.includes(after)) return
      yield* keys.filter((key) => typeof key === 'string')
      if (keys.length !== PAGE) return
      after = String(keys.at(-1))
    }
  }

  /** The mount. Rejects with `backend_refused` unless it is of a KV engine, version 2. */
  async mount(): Promise<Mount> {
    const attempted = `use the mount ${quote(this.#mount)}`
    const { isInline } = this.#session
    // The first is for every token with rights below the mount, which OpenBao looks for in its storage.
    const path = `sys/${isInline ? '' : 'internal/ui/'}mounts/${this.#mount}`
    const answer = await this.#session.call({ method: 'GET', path, repeatable: true })
    if (!answer.ok && answer.failure.kind === 'denied') {
      throw this.trouble(attempted, isInline ? notReadable(path) : hidden)
    }
    if (!answer.ok) throw this.trouble(attempted, answer.failure)
    const { type, options, accessor, running_plugin_version: engine } = dataOf(answer.body)
    const { version } = objectIn(options)
    if ((type !== 'kv' && type !== 'generic') || typeof accessor !== 'string') {
      throw this.trouble(attempted, otherEngine(String(type)))
    }
    // OpenBao says none for a mount that was made without one, which is of version 1.
    if (version === undefined || version === '1') throw this.trouble(attempted, kv1)
    if (version !== '2') throw this.trouble(attempted, notKv2)
    return { accessor, openBao: String(engine).endsWith('.bao') }
  }

  /** Settings of the mount; undefined where they may not be read. */
  async settings(): Promise<MountSettings | undefined> {
    const path = `${this.#mount}/config`
    const attempted = `read the settings of ${quote(this.#mount)}`
    const answer = await this.#session.call({ method: 'GET', path, repeatable: true })
    if (!answer.ok && isForbidden(answer.failure)) return undefined
    if (!answer.ok) throw this.trouble(attempted, answer.failure)
    // OpenBao writes `0s` where entries stay, and else such as `720h0m0s`.
    const { delete_version_after: after } = dataOf(answer.body)
    if (typeof after !== 'string') throw this.trouble(attempted, notKv2)
    return { deletes: /[1-9]/.test(after) }
  }

  /** The error for `failure`; `attempted` follows "Cannot". */
  trouble(attempted: string, failure: Failure): SottoError {
    const { found, hint } = failure
    return new SottoError(codeOf(failure), `Cannot ${attempted} at ${this.place}: ${found}`, {
      hint,
      // What names something has quotes around it.
      ...(!found.includes('"') && { found }),
    })
  }

  #call(
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
    part: 'data' | 'metadata',
    below: string,
    more: Pick<OpenBaoRequest, 'body' | 'query'> = {},
  ): Promise<Answer> {
    const path = [this.#mount, part, this.#prefix, below].filter((each) => each !== '').join('/')
    return this.#session.call({ method, path, ...more, repeatable: true })
  }
}

const notKv2 = ownFailure(
  'refused',
  'the mount is not a KV engine of version 2',
  'Give a mount of `bao secrets enable -version=2 kv`.',
)

const kv1 = ownFailure(
  'refused',
  'the mount is a KV engine of version 1, where a write of somebody else is overwritten unseen',
  'Give another mount, of `bao secrets enable -version=2 kv`. Version 1 can be imported from: docs/guides/mirror.md#why-not-kv-version-1.',
)

const hidden = ownFailure(
  'denied',
  'there is no such mount, or the policies of the token show nothing below it',
  'Look at the mount and its namespace, and at the policies of the token.',
)

/** Of a login with each call, whose token is in no storage. */
function notReadable(path: string): Failure {
  const found = `its policies do not let it read ${quote(path)}`
  const hint =
    'With an inline login, allow read there in a policy. OpenBao before 2.4 does not know such logins.'
  return ownFailure('denied', found, hint)
}

function otherEngine(type: string): Failure {
  const found = `the mount is of the engine ${quote(type)}`
  return ownFailure('refused', found, 'Give a mount of `bao secrets enable -version=2 kv`.')
}

/** Failures that pass, or that are fixed at OpenBao: nothing is wrong with the request. */
const passing: ReadonlySet<FailureKind> = new Set([
  'unreachable',
  'late',
  'sealed',
  'uninitialised',
  'standby',
  'rate_limited',
  'failed',
])

function codeOf({ kind, reasons }: Failure): ErrorCode {
  if (passing.has(kind)) return 'backend_unavailable'
  if (kind === 'too_large') return 'backend_too_large'
  // A new mount answers this for a moment.
  if (kind === 'refused' && /upgrading/i.test(reasons.join())) return 'backend_unavailable'
  return 'backend_refused'
}

/** OpenBao sends an empty text where a revision stays. */
function expiry(expires: unknown): { expires?: string } {
  return typeof expires === 'string' && expires !== '' ? { expires } : {}
}

/** Also where the token may not look itself up: if it had expired, every other call would fail, too. */
function isForbidden({ status, reasons }: Failure): boolean {
  return status === 403 && !/invalid token/i.test(reasons.join())
}

function dataOf(body: unknown): Readonly<Record<string, unknown>> {
  return objectIn(objectIn(body)['data'])
}

function objectIn(value: unknown): Readonly<Record<string, unknown>> {
  return isObject(value) ? value : {}
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}
