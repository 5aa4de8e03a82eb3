/**
 * Holds the secrets of a program: it gets them when it is opened, asks for newer versions from time to time, and gives
 * what it holds without waiting. While the server is down the program goes on with what it has.
 */
import { randomBytes } from 'node:crypto'
import { asSottoError, type ErrorCode, quote, SottoError } from '../api/errors.ts'
import type { SecretValue } from '../api/types.ts'
import { type CallOptions, Client } from '../client.ts'
import { holdingTimers, processTimers } from '../platform/timers.ts'
import { abortable, pause } from './aborted.ts'
import { atOnce } from './at-once.ts'
import { Backoff } from './backoff.ts'
import { Contents } from './contents.ts'
import { follow } from './follow.ts'
import { InTurn } from './in-turn.ts'
import { Kept } from './kept.ts'
import type { Health, Report, StoreOptions } from './options.ts'
import { Poller, retryAfterOf } from './poller.ts'
import type { Position } from './position.ts'
import { Renewer } from './renewer.ts'
import type { HeldSecret, Secret } from './secret.ts'
import { isWatched, type Source } from './source.ts'
import { Status } from './status.ts'
import { Told } from './told.ts'
import { hasVersions, type VersionedSecret, Versions } from './versioned.ts'
import { Watcher, type WatcherParts } from './watcher.ts'

const HOUR = 3_600_000
/** The longest that a timer of Node waits, less the tenth that may be added. */
const MAX_POLL_MS = Math.floor(2_147_483_647 / 1.1)

/** What waiting does not change. */
const lasting: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'denied',
  'browser',
  'usage',
  'invalid_name',
  'no_such_method',
  'wrong_host',
])

/**
 * Opens a store, and resolves when there is a value of each declared secret: from the cache, or else from the server,
 * which is asked until it answers. Rejects with a SottoError: `usage` for options that cannot be used, `denied` where the
 * server refuses a secret, and with the last failure where the `signal` ends the waiting. Permission: `get` on each.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { server, secrets = [], lookup = false, pollMs = HOUR } = options
  refuseNames(secrets, lookup)
  if (!(pollMs >= 0 && pollMs <= MAX_POLL_MS)) {
    const message = `Cannot poll every ${pollMs} ms: it must be from 0 to ${MAX_POLL_MS}`
    throw new SottoError('usage', message)
  }
  const isPlace = typeof server === 'string' || server instanceof URL
  const label = options.label ?? randomBytes(8).toString('hex')
  const client = isPlace ? new Client({ server, label }) : undefined
  const store = new Store({ ...options, pollMs }, client ?? (server as Source), client)
  try {
    await store.open()
    return store
  } catch (error) {
    await store.close()
    throw error
  }
}

function refuseNames(secrets: readonly string[], lookup: boolean): void {
  if (secrets.includes('')) {
    throw new SottoError('usage', 'Cannot open a store: the name of a secret is empty')
  }
  if (secrets.length === 0 && !lookup) {
    throw new SottoError('usage', 'Cannot open a store: no secret is declared', {
      hint: 'Name them in `secrets`, or set `lookup` to look them up later.',
    })
  }
}

/** The secrets of a program. `openStore` makes one. */
export class Store implements AsyncDisposable {
  readonly #options: StoreOptions
  readonly #source: Source
  /** To be closed with the store. */
  readonly #client: Client | undefined
  readonly #clock: () => Date
  readonly #contents: Contents
  readonly #kept: Kept
  readonly #status: Status
  readonly #told: Told
  readonly #renewer: Renewer
  readonly #poller: Poller
  /** Undefined where the source does not tell of changes, or is not to. */
  readonly #watcher: Watcher | undefined
  /** Undefined where the source has none. */
  readonly #versions: Versions | undefined
  readonly #lookups = new Map<string, Promise<HeldSecret>>()
  readonly #closed = new AbortController()
  /** Polls, and what is told: while one asks, the other waits. */
  readonly #inTurn = new InTurn()
  /** Whether a poll was due since the store was opened, or since the watch was well. */
  #wasPolled = false

  /** For `openStore`. */
  constructor(
    options: StoreOptions & { readonly pollMs: number },
    source: Source,
    client: Client | undefined,
  ) {
    const { clock = () => new Date(), random = Math.random, timers = processTimers } = options
    const report = this.#report
    const closed = this.#closed.signal
    const contents = new Contents(clock, report)
    this.#options = options
    this.#source = source
    this.#client = client
    this.#clock = clock
    this.#contents = contents
    this.#kept = new Kept({ ...options, server: source.server, contents, report, clock })
    this.#status = new Status(clock, report)
    this.#told = new Told(contents, source.server)
    const told = (): Position | undefined => this.#told.position
    this.#renewer = new Renewer({ source, contents, told, closed, timers, random })
    this.#versions = hasVersions(source) ? new Versions(source, closed) : undefined
    this.#poller = new Poller({
      ask: () => this.#inTurn.do(() => this.#ask()),
      everyMs: source.fixed ? 0 : options.pollMs,
      timers,
      holding: options.timers ?? holdingTimers,
      random,
    })
    if (options.watch !== false && isWatched(source)) {
      this.#watcher = new Watcher({ ...this.#watching, source, timers, random })
    }
  }

  /** For `openStore`: fills the store, and begins to ask for newer versions. */
  async open(): Promise<void> {
    await this.#kept.read()
    // What the cache has may be old.
    const cached = this.#contents.all().length > 0
    const { secrets = [] } = this.#options
    await this.#getAll([...new Set(secrets)].filter((name) => !this.#contents.find(name)))
    this.#kept.writeChanges()
    if (!cached || this.#source.fixed) {
      this.#status.opened()
      this.#wasPolled = true
    }
    if (this.#watcher || this.#wasPolled) this.#poller.start('later')
    else this.#poller.start('now')
    this.#watcher?.start()
  }

  /** Whether `lookup` gets secrets that were not declared. */
  get takesLookups(): boolean {
    return this.#options.lookup === true
  }

  /**
   * The handle of a secret that was declared or looked up. It is the same one each time, and stays good when another
   * version is activated. Throws `usage` for any other name.
   */
  secret(name: string): Secret {
    return this.#find(name).handle
  }

  /**
   * The handle of any secret. Of one that the store does not hold, the server is asked, once, and the store holds it
   * from then on. Rejects with `usage` where the store was opened without `lookup`, and as `Client.get`. Permission: `get`.
   */
  async lookup(name: string, { signal }: CallOptions = {}): Promise<Secret> {
    if (this.#contents.find(name)) return this.secret(name)
    const attempt = `Cannot look up ${quote(name)}`
    if (!this.#options.lookup) {
      throw new SottoError('usage', `${attempt}: the store takes no lookups`, {
        hint: 'Open it with `lookup: true`, or name the secret in `secrets`.',
      })
    }
    if (this.#closed.signal.aborted) throw new SottoError('usage', `${attempt}: it is closed`)
    const pending = this.#lookups.get(name) ?? this.#look(name)
    // A caller who gives up does not take it from the others.
    const held = await abortable(pending, signal)
    held.isUsed = true
    return held.handle
  }

  /**
   * Given versions of any secret, beside the active one. Throws `usage` where the store was opened without `lookup`, or
   * on a source without versions, such as a file.
   */
  versionedSecret(name: string): VersionedSecret {
    const attempt = `Cannot have versions of ${quote(name)}`
    if (!this.#options.lookup) {
      throw new SottoError('usage', `${attempt}: the store takes no lookups`, {
        hint: 'Open it with `lookup: true`.',
      })
    }
    if (!this.#versions) {
      throw new SottoError('usage', `${attempt}: ${this.#source.server} has no versions to ask for`)
    }
    return this.#versions.of(name, () => {
      const before = this.#told.position
      return (value) => this.#inTurn.do(() => this.#takeCreated(name, value, before))
    })
  }

  /**
   * Asks for newer versions of all secrets, and resolves when the answers are held. Callers who ask at the same time, or
   * within a second of the last answers, share the next questions. Rejects with the first failure or refusal; then what
   * could be had is held.
   */
  async refresh({ signal }: CallOptions = {}): Promise<void> {
    await this.#poller.refresh(signal)
    const [name] = [...this.#contents.refused('denied'), ...this.#contents.refused('not_found')]
    const refusal = name === undefined ? undefined : this.#contents.find(name)?.refusal
    if (refusal) throw refusal
  }

  /**
   * The versions of a secret that come after this call, as they are held. A reader who is slow gets the latest, not each.
   * It ends when the store is closed or `signal` is aborted. Waiting keeps the process running, unless `holds` is false.
   * Throws as `secret`, and `denied` when the server refuses a secret that was looked up.
   */
  changes(
    name: string,
    { signal, holds = true }: CallOptions & { readonly holds?: boolean } = {},
  ): AsyncGenerator<SecretValue, void> {
    const held = this.#find(name)
    const ends = AbortSignal.any([this.#closed.signal, ...(signal ? [signal] : [])])
    return follow(held, ends, holds)
  }

  /** How the store is, for a health check or metrics. */
  health(): Health {
    return {
      ...this.#status.health,
      denied: this.#contents.refused('denied'),
      missing: this.#contents.refused('not_found'),
    }
  }

  /** Asks no more, and writes the cache. Handles keep what they have. */
  async close(): Promise<void> {
    if (this.#closed.signal.aborted) return
    this.#closed.abort(new SottoError('usage', 'The store is closed'))
    await this.#watcher?.close()
    await this.#poller.close()
    await this.#kept.close()
    this.#client?.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #report: Report = (event) => {
    const { report } = this.#options
    // What it throws must neither stop the store nor be lost.
    if (report) queueMicrotask(() => report(event))
  }

  #find(name: string): HeldSecret {
    const held = this.#contents.find(name)
    if (held) {
      held.isUsed = true
      return held
    }
    const hint = this.#options.lookup
      ? 'Use `lookup`, which asks the server.'
      : 'Name it in `secrets` when the store is opened.'
    throw new SottoError('usage', `The store does not hold ${quote(name)}`, { hint })
  }

  /** Asks for what is absent, again and again until all of it is held. */
  async #getAll(names: readonly string[]): Promise<void> {
    const { signal, timers = holdingTimers, random = Math.random } = this.#options
    const backoff = new Backoff(100, 10_000, random)
    const failures = new Map<string, SottoError>()
    for (let absent = names; absent.length > 0; absent = [...failures.keys()]) {
      await atOnce(absent, async (name) => {
        try {
          const { value, at } = await this.#renewer.get(name, signal)
          this.#contents.add(name, true, value, at)
          failures.delete(name)
        } catch (error) {
          // What the server said before tells more than that the time is over.
          if (!signal?.aborted) failures.set(name, asSottoError(error))
        }
      })
      const [failure] = failures.values()
      if (signal?.aborted) throw failure ?? (signal.reason as unknown)
      if (!failure) return
      const final = [...failures.values()].find(({ code }) => lasting.has(code))
      if (final || this.#source.fixed) throw final ?? failure
      this.#report({ kind: 'failed', error: failure })
      await pause(timers, backoff.next(retryAfterOf(failure)), signal).catch(() => {
        throw failure
      })
    }
  }

  #look(name: string): Promise<HeldSecret> {
    const pending = (async () => {
      try {
        const { value, at } = await this.#renewer.get(name, this.#closed.signal)
        const held = this.#contents.add(name, false, value, at)
        this.#kept.writeChanges()
        this.#watcher?.restart()
        return held
      } finally {
        this.#lookups.delete(name)
      }
    })()
    this.#lookups.set(name, pending)
    return pending
  }

  /** Holds a version that the program just created, which is the active one. */
  async #takeCreated(
    name: string,
    value: SecretValue,
    before: Position | undefined,
  ): Promise<void> {
    const held = this.#contents.find(name)
    if (!held) {
      this.#contents.add(name, false, value)
      this.#watcher?.restart()
    } else if (before === this.#told.position) this.#contents.take(held, value, held.at)
    // The server told of something meanwhile: of a newer one, it may be.
    else await this.#renewer.renew([held])
    this.#kept.writeChanges()
  }

  /** Asks for newer versions of everything. Rejects where the server did not answer. */
  async #ask(): Promise<void> {
    const { expireMs = Number.POSITIVE_INFINITY, maxStaleMs } = this.#options
    this.#contents.forgetUnused(this.#clock().getTime() - expireMs)
    const refused = this.#contents.refused()
    const failures = [...(await this.#renewer.renew(this.#contents.all()))]
    // Who is told of changes must have it told when that ends.
    if (this.#contents.refused().some((name) => !refused.includes(name))) this.#watcher?.restart()
    await atOnce(this.#versions?.names ?? [], async (name) => {
      if (failures.length > 0) return
      await this.#versions?.forgetDeleted(name).catch((error: unknown) => {
        failures.push(asSottoError(error))
      })
    })
    const [failure] = failures
    if (!this.#closed.signal.aborted) this.#status.polled(failure)
    if (!failure && maxStaleMs !== undefined) this.#kept.write()
    else this.#kept.writeChanges()
    if (failure) throw failure
  }

  /** What becomes of a watch. */
  readonly #watching: Omit<WatcherParts, 'source' | 'timers' | 'random'> = {
    // Of what was refused, the server is to say whatever it has.
    held: () =>
      new Map(
        this.#contents.all().map(({ name, value, refusal }) => [name, refusal ? 0 : value.Version]),
      ),
    told: (change, at) => {
      this.#told.change(change, at)
      this.#kept.writeChanges()
    },
    synced: async (told, at) => {
      try {
        await this.#inTurn.do(() => this.#told.all(told, at, this.#renewer))
        this.#status.told()
        this.#wasPolled = false
      } finally {
        this.#kept.writeChanges()
      }
    },
    ended: (failure) => {
      this.#status.ended(failure)
      // What it does not tell, it may still answer. Where it is down, the next watch is tried soon.
      if (failure && failure.code !== 'unreachable') this.#pollOnce()
    },
    impossible: () => {
      this.#status.ended(undefined)
      this.#pollOnce()
    },
  }

  /** Polls now, unless that was done since the watch was well. */
  #pollOnce(): void {
    if (!this.#wasPolled) this.#poller.start('now')
    this.#wasPolled = true
  }
}
