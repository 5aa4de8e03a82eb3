/**
 * The values of secrets that definitions want, as Sotto has them now: each is fetched once, and again when the server tells
 * of another version. At rest there are no calls but the watches.
 */
import { asSottoError, type SottoError } from '../../../client/api/errors.ts'
import { MAX_WATCHED } from '../../../client/api/types.ts'
import type { Client } from '../../../client/client.ts'
import type { Timers } from '../../../client/platform/timers.ts'
import { Contents } from '../../../client/store/contents.ts'
import { InTurn } from '../../../client/store/in-turn.ts'
import type { StoreEvent } from '../../../client/store/options.ts'
import { Renewer } from '../../../client/store/renewer.ts'
import { Told } from '../../../client/store/told.ts'
import { Watcher } from '../../../client/store/watcher.ts'

/** From a name that is new to the question for it: more may follow. */
const GATHER_MS = 20
/** How often a server is asked that does not tell of changes. */
const POLL_MS = 30_000

/** What Sotto says of a secret. `unknown`: nothing yet. */
export type Known =
  | { readonly state: 'value'; readonly version: number; readonly bytes: Uint8Array }
  | { readonly state: 'denied' | 'missing' | 'unknown' }

/** What values are held with. */
export interface ValuesParts {
  readonly client: Client
  /** What is known of a secret is other than it was. */
  readonly changed: (name: string) => void
  /** Whether the server can be reached, when that changes. */
  readonly reached: (failure: SottoError | undefined) => void
  readonly clock: () => Date
  readonly timers: Timers
  /** From 0 to below 1. */
  readonly random: () => number
}

/** Holds values of any number of secrets. */
export class Values {
  readonly #parts: ValuesParts
  readonly #groups: Group[] = []
  readonly #groupOf = new Map<string, Group>()
  #isReached = true

  constructor(parts: ValuesParts) {
    this.#parts = parts
  }

  /** Begins to hold a secret. */
  hold(name: string): void {
    if (this.#groupOf.has(name)) return
    const group = this.#groups.find(({ size }) => size < MAX_WATCHED) ?? this.#newGroup()
    this.#groupOf.set(name, group)
    group.hold(name)
  }

  /** Holds it no more. */
  drop(name: string): void {
    this.#groupOf.get(name)?.drop(name)
    this.#groupOf.delete(name)
  }

  /** What is known of a secret that is held. */
  find(name: string): Known {
    return this.#groupOf.get(name)?.find(name) ?? { state: 'unknown' }
  }

  /** How many are held. */
  get size(): number {
    return this.#groupOf.size
  }

  /** Ends the watches. */
  async close(): Promise<void> {
    await Promise.all(this.#groups.map((group) => group.close()))
  }

  #newGroup(): Group {
    const reached = (failure: SottoError | undefined): void => {
      if (this.#isReached === (failure === undefined)) return
      this.#isReached = failure === undefined
      this.#parts.reached(failure)
    }
    const group = new Group({ ...this.#parts, reached })
    this.#groups.push(group)
    return group
  }
}

/** As many secrets as one watch may have. */
class Group {
  readonly #parts: ValuesParts
  readonly #contents: Contents
  readonly #told: Told
  readonly #renewer: Renewer
  readonly #watcher: Watcher
  readonly #closed = new AbortController()
  readonly #inTurn = new InTurn()
  readonly #fresh = new Set<string>()
  /** Those that the server said something of. */
  readonly #known = new Set<string>()
  /** Whether the server tells of changes. */
  #isTold = false
  #stopGathering: (() => void) | undefined
  #stopPolling: (() => void) | undefined

  constructor(parts: ValuesParts) {
    const { client, clock, timers, random } = parts
    this.#parts = parts
    this.#contents = new Contents(clock, this.#heard)
    this.#told = new Told(this.#contents, client.server)
    this.#renewer = new Renewer({
      source: client,
      contents: this.#contents,
      told: () => this.#told.position,
      closed: this.#closed.signal,
      timers,
      random,
    })
    this.#watcher = new Watcher({
      source: client,
      held: () =>
        new Map(
          this.#contents
            .all()
            .map(({ name, value, refusal }) => [name, refusal ? 0 : value.Version]),
        ),
      told: (change, at) => this.#told.change(change, at),
      synced: async (told, at) => {
        await this.#inTurn.do(() => this.#told.all(told, at, this.#renewer))
        this.#isTold = true
        parts.reached(undefined)
        // Nothing is told of what is not there and was never asked for.
        await this.#ask(this.#unknown())
      },
      ended: (failure) => {
        this.#isTold = false
        if (!failure) return
        if (failure.code === 'unreachable') parts.reached(failure)
        else this.#poll()
      },
      impossible: () => this.#poll(),
      timers,
      random,
    })
    this.#watcher.start()
  }

  get size(): number {
    return this.#contents.all().length
  }

  hold(name: string): void {
    // Version 0 stands for none.
    this.#contents.add(name, true, { Value: new Uint8Array(), Version: 0 })
    this.#fresh.add(name)
    this.#stopGathering ??= this.#parts.timers.after(GATHER_MS, () => {
      this.#stopGathering = undefined
      this.#watcher.restart()
      void this.#ask([...this.#fresh])
      this.#fresh.clear()
    })
  }

  drop(name: string): void {
    this.#contents.drop(name)
    this.#known.delete(name)
    this.#fresh.delete(name)
    this.#watcher.restart()
  }

  find(name: string): Known {
    const held = this.#contents.find(name)
    if (!held || !this.#known.has(name)) return { state: 'unknown' }
    if (held.refusal) return { state: held.refusal.code === 'denied' ? 'denied' : 'missing' }
    // What was missing is there, and not fetched yet.
    if (held.value.Version === 0) return { state: 'unknown' }
    return { state: 'value', version: held.value.Version, bytes: held.value.Value }
  }

  async close(): Promise<void> {
    this.#closed.abort()
    this.#stopGathering?.()
    this.#stopPolling?.()
    await this.#watcher.close()
  }

  #heard = (event: StoreEvent): void => {
    if (event.kind === 'changed' || event.kind === 'denied' || event.kind === 'missing') {
      this.#known.add(event.name)
    }
    // It is told of before it is held.
    if ('name' in event) queueMicrotask(() => this.#parts.changed(event.name))
  }

  #unknown(): string[] {
    const names = this.#contents.all().map(({ name }) => name)
    return names.filter((name) => !this.#known.has(name) && !this.#fresh.has(name))
  }

  async #ask(names: readonly string[]): Promise<void> {
    if (names.length === 0) return
    const held = names.flatMap((name) => this.#contents.find(name) ?? [])
    const failures = await this.#inTurn
      .do(() => this.#renewer.renew(held))
      .catch((error: unknown) => [asSottoError(error)])
    if (this.#closed.signal.aborted) return
    // Those that are not known are told of, or polled, when the server is there again.
    this.#parts.reached(failures.find(({ code }) => code === 'unreachable'))
    if (failures.length > 0) this.#poll()
  }

  /** Asks for all, from time to time, until the server tells. */
  #poll(): void {
    const { timers, random } = this.#parts
    this.#stopPolling ??= timers.after(POLL_MS * (0.9 + 0.2 * random()), () => {
      this.#stopPolling = undefined
      void this.#askAll()
    })
  }

  async #askAll(): Promise<void> {
    const names = this.#contents.all().map(({ name }) => name)
    await this.#ask(this.#isTold ? this.#unknown() : names)
    if (!this.#isTold && !this.#closed.signal.aborted) this.#poll()
  }
}
