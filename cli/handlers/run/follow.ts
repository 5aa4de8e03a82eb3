/** Holds the secrets of a program, from a cache or from the server, and tells of what changes in them. */
import { asSottoError, type ErrorCode, quote, SottoError } from '../../../client/api/errors.ts'
import type { Timers } from '../../../client/platform/timers.ts'
import type { Cache } from '../../../client/store/cache.ts'
import type { StoreEvent } from '../../../client/store/options.ts'
import { openStore, type Store } from '../../../client/store/store.ts'
import { ageText } from './age.ts'
import { referenceOf, type RunSource } from './source.ts'
import { referencesOf, type Values, valuesOf, type Wanted } from './values.ts'
import { keyOf } from './source.ts'

/** Changes within such a time are one. */
const DEBOUNCE_MS = 500
/** Between two lines that say that the server does not answer. */
const REMIND_MS = 600_000

/** What it is made of. */
export interface FollowParts {
  readonly source: RunSource
  readonly wanted: Wanted
  readonly cache: Cache | undefined
  /** How old the server's last word on a cached value may be. */
  readonly maxAgeMs: number
  /** Between two questions to the server; 0: only one. */
  readonly pollMs: number
  /** Whether the server is to tell of changes, besides. */
  readonly watch: boolean
  /** Ends the waiting for the server at the start. */
  readonly signal: AbortSignal
  /** Hears what happens, in words. */
  readonly say: (line: string) => void
  readonly clock: () => Date
  readonly timers?: Timers
  readonly random?: () => number
}

/** What a cache does not stand in for: the server said it. */
const decided: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'denied',
  'not_found',
  'browser',
  'wrong_host',
  'invalid_name',
  'no_such_method',
  'usage',
])

/** The secrets of one program. */
export class Followed implements AsyncDisposable {
  readonly #parts: FollowParts
  readonly #store: Store
  readonly #heard: (event: StoreEvent) => void

  /** For `follow`. */
  constructor(parts: FollowParts, store: Store, hear: Hearing) {
    this.#parts = parts
    this.#store = store
    this.#heard = (event) => this.#hear(event)
    hear.act = this.#heard
  }

  #want: ((values: Values) => void) | undefined
  #isDue = false
  /** Whether the program has other versions than are held. */
  #keepsOthers = false
  /** Whether something changed before there was anybody to tell. */
  #isMissed = false
  #saidAt = Number.NEGATIVE_INFINITY

  /** What the program is to have now. Throws as `valuesOf`. */
  values(): Values {
    return valuesOf(this.#parts.wanted, (key) => {
      const secret = this.#store.secret(key)
      return { Value: secret.bytes(), Version: secret.version }
    })
  }

  /** Tells `want` from now on of values that may be others. */
  onChange(want: (values: Values) => void): void {
    this.#want = want
    if (this.#isMissed) this.#schedule()
  }

  /** The program has these versions of secrets, by their keys; undefined: those that are held. */
  keep(versions: ReadonlyMap<string, number> | undefined): void {
    const others = [...(versions ?? [])].filter(
      ([key, version]) => this.#store.secret(key).version !== version,
    )
    const wasOther = this.#keepsOthers
    this.#keepsOthers = others.length > 0
    this.#parts.source.keep(new Map(others))
    // The server is to hear of it now.
    if (wasOther || this.#keepsOthers) this.#store.refresh().catch(() => {})
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#store.close()
  }

  #hear(event: StoreEvent): void {
    const { say } = this.#parts
    if (event.kind === 'changed') this.#schedule()
    else if (event.kind === 'denied' || event.kind === 'missing') {
      say(`${event.error.message}: the program keeps what it has`)
    } else if (event.kind === 'allowed') say(`The server gives ${nameOf(event.name)} again`)
    else if (event.kind === 'failed') this.#remind(event.error)
    else if (event.kind === 'recovered') {
      this.#saidAt = Number.NEGATIVE_INFINITY
      say('The server answers again')
    } else if (event.kind === 'cache') say(event.message)
  }

  #remind(error: SottoError): void {
    const { say, clock } = this.#parts
    const now = clock().getTime()
    if (now - this.#saidAt < REMIND_MS) return
    this.#saidAt = now
    const { confirmed } = this.#store.health()
    const age = confirmed && ageText(now - confirmed.getTime())
    say(`${error.message}: the program keeps what it has, ${confirmedText(age)}`)
  }

  /** The first of several changes decides when they are told: else a stream of them would never be. */
  #schedule(): void {
    const { timers, say } = this.#parts
    this.#isMissed = !this.#want
    if (this.#isDue || this.#isMissed) return
    this.#isDue = true
    const tell = (): void => {
      this.#isDue = false
      try {
        this.#want?.(this.values())
      } catch (error) {
        say(`${asSottoError(error).message}: the program keeps what it has`)
      }
    }
    if (timers) timers.after(DEBOUNCE_MS, tell)
    else setTimeout(tell, DEBOUNCE_MS)
  }
}

/** Who hears of events, from when there is somebody. */
interface Hearing {
  act: (event: StoreEvent) => void
}

/**
 * Gets all secrets of `wanted`, and holds them. With a cache the server is asked all the same, and the cache stands in for
 * it where it does not answer: the age is said then. Rejects where a value is nowhere, and where the server refuses one.
 */
export async function follow(parts: FollowParts): Promise<Followed> {
  const { source, wanted, cache, maxAgeMs, pollMs, watch, signal, say, clock, timers, random } =
    parts
  const keys = [...new Set(referencesOf(wanted).map(keyOf))]
  const refusals: SottoError[] = []
  const opening = new AbortController()
  const hear: Hearing = {
    act: (event) => {
      if (event.kind === 'denied' || event.kind === 'missing') refusals.push(event.error)
      else if (event.kind === 'cache') say(event.message)
      // Waiting does not help against a wrong name.
      else if (event.kind === 'failed' && decided.has(event.error.code)) opening.abort(event.error)
    },
  }
  /** When the server last spoke of what the cache gave, in seconds; undefined for what it does not know. */
  const ages: (number | undefined)[] = []
  const store = await openStore({
    server: source,
    secrets: keys,
    lookup: keys.length === 0,
    pollMs,
    watch: watch && keys.some((key) => referenceOf(key).version === 0),
    maxStaleMs: maxAgeMs,
    signal: AbortSignal.any([signal, opening.signal]),
    report: (event) => hear.act(event),
    clock,
    ...(cache && { cache: noting(cache, new Set(keys), clock, maxAgeMs, ages) }),
    ...(timers && { timers }),
    ...(random && { random }),
  }).catch((error: unknown) => {
    throw error instanceof SottoError ? error : late()
  })
  try {
    if (ages.length > 0) {
      const why = source.fixed ? undefined : await refreshed(store, signal)
      if (why && decided.has(why.code)) throw why
      // Reports are told a moment later than what they tell of.
      await Promise.resolve()
      if (refusals[0]) throw refusals[0]
      if (source.fixed || why) {
        const oldest = ages.some((each) => each === undefined)
          ? undefined
          : Math.min(...(ages as number[]))
        const age = oldest === undefined ? undefined : ageText(clock().getTime() - oldest * 1000)
        const reason = why ? `${why.message}: ` : ''
        say(`${reason}the values are from the cache, ${confirmedText(age)}`)
      }
    }
    source.settle()
    return new Followed(parts, store, hear)
  } catch (error) {
    await store.close()
    throw error
  }
}

async function refreshed(store: Store, signal: AbortSignal): Promise<SottoError | undefined> {
  try {
    await store.refresh({ signal })
    return undefined
  } catch (error) {
    return error instanceof SottoError ? error : late()
  }
}

function late(): SottoError {
  return new SottoError('unreachable', 'The server did not answer in time', {
    hint: 'Check that it runs, or give it more time: --timeout.',
  })
}

/** The cache, of which `ages` notes what it gave. What is absent is not kept. */
function noting(
  cache: Cache,
  keys: ReadonlySet<string>,
  clock: () => Date,
  maxAgeMs: number,
  ages: (number | undefined)[],
): Cache {
  return {
    ...(cache.notice !== undefined && { notice: cache.notice }),
    read: async (server) => {
      const content = await cache.read(server)
      const oldest = (clock().getTime() - maxAgeMs) / 1000
      for (const { name, checked } of content.secrets) {
        if (keys.has(name) && checked !== undefined && checked >= oldest) ages.push(checked)
      }
      return content
    },
    write: (server, secrets) =>
      cache.write(
        server,
        secrets.filter(({ value }) => value.Version > 0),
      ),
  }
}

function confirmedText(age: string | undefined): string {
  return age === undefined ? 'whose age is not known' : `which the server confirmed ${age} ago`
}

function nameOf(key: string): string {
  return quote(referenceOf(key).secret)
}
