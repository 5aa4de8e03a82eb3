/** What one watch is about: what its client holds, what may differ, and what it may know. */
import { asSottoError, SottoError } from '../../../client/api/errors.ts'
import type { Caller, Matcher } from '../../access.ts'

/** A difference, as it is told: without a version it is denied. */
export interface Difference {
  readonly name: string
  readonly version?: number
}

/** Differences, and up to where the store was read for them. */
export interface Group {
  readonly differences: readonly Difference[]
  /** The branch, a dot and the revision. Undefined, and the revision 0, for a client that may know none of the names. */
  readonly at: string | undefined
  readonly revision: number
}

/** What a watch works with. */
export interface WatchedParts {
  /** The active version of a name; 0 where there is none. */
  readonly activeOf: (name: string) => Promise<number>
  /** How far what is read from now on is, at least. */
  readonly position: () => { readonly text: string; readonly revision: number }
  /** Names the caller again, as the network does now. */
  readonly identify: () => Promise<Caller>
  /** Which names a caller may know. */
  readonly allowing: (caller: Caller) => Matcher
  /** Gets what kept a name from being looked up. */
  readonly failed: (error: SottoError) => void
}

/** In place of a version: the client was told that it may not know. */
const DENIED = -1
/** Names that are looked up at once. */
const GROUP = 64

/** The names of one watch. */
export class Watched {
  readonly #parts: WatchedParts
  /** What the client holds, or was told. */
  readonly #held: Map<string, number>
  /** Names that may differ. */
  readonly #marked: Set<string>
  /** Names that could not be looked up. */
  readonly #failed = new Set<string>()
  #isAllowed: Matcher
  #allowed = 0

  /** Of a client that holds `held`, all of which may differ, and may know what `isAllowed` says. */
  constructor(held: ReadonlyMap<string, number>, isAllowed: Matcher, parts: WatchedParts) {
    this.#parts = parts
    this.#held = new Map(held)
    this.#marked = new Set(held.keys())
    this.#isAllowed = isAllowed
    this.#count()
  }

  /** Every name. */
  get names(): Iterable<string> {
    return this.#held.keys()
  }

  /** Whether the client may know any of them. */
  get mayKnow(): boolean {
    return this.#allowed > 0
  }

  /** Whether something may differ. */
  get isMarked(): boolean {
    return this.#marked.size > 0
  }

  /** Notes that `name` may differ. Whether it is denied does not depend on it: that is not asked again for its sake. */
  mark(name: string): void {
    if (this.#held.get(name) !== DENIED) this.#marked.add(name)
  }

  /**
   * Asks again what the client may know, and marks what that changes, and what could not be looked up before. Rejects
   * where the client cannot be named.
   */
  async askAgain(): Promise<void> {
    this.#isAllowed = this.#parts.allowing(await this.#parts.identify())
    this.#count()
    for (const name of this.#failed) this.#marked.add(name)
    this.#failed.clear()
    for (const [name, held] of this.#held) {
      if ((held === DENIED) === this.#isAllowed(name)) this.#marked.add(name)
    }
  }

  /** Takes some of what is marked, and resolves with what differs. The client counts as told. */
  async take(): Promise<Group> {
    const names: string[] = []
    for (const name of this.#marked) {
      if (names.push(name) === GROUP) break
    }
    for (const name of names) this.#marked.delete(name)
    const isAllowed = this.#isAllowed
    // Before anything is read: what changes later is marked again.
    const { text, revision } = this.#parts.position()
    const where = this.mayKnow ? { at: text, revision } : { at: undefined, revision: 0 }
    const found = await Promise.all(
      names.map(async (name) => (isAllowed(name) ? this.#activeOf(name) : DENIED)),
    )
    const differences: Difference[] = []
    for (const [at, name] of names.entries()) {
      const version = found[at]
      if (version === undefined || version === this.#held.get(name)) continue
      this.#held.set(name, version)
      differences.push(version === DENIED ? { name } : { name, version })
    }
    return { differences, ...where }
  }

  /** Undefined where it cannot be looked up. */
  async #activeOf(name: string): Promise<number | undefined> {
    try {
      return await this.#parts.activeOf(name)
    } catch (error) {
      this.#failed.add(name)
      this.#parts.failed(asSottoError(error))
      return undefined
    }
  }

  #count(): void {
    this.#allowed = 0
    for (const name of this.#held.keys()) if (this.#isAllowed(name)) this.#allowed++
  }
}
