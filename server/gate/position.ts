/**
 * How far the store is for who reads it now: every change up to that revision shows in what is read from here
 * on. Changes may be acknowledged out of order, and what is known of the later one must not cover the earlier.
 */

/** What readers see of it. */
export type ReadPosition = Pick<Position, 'text' | 'revision'>

/** Says which changes every read shows. */
export class Position {
  readonly #branch: string
  #revision: number
  #highest: number
  /** Changes under way, those whose outcome is not known among them. */
  #underWay = 0
  /** Revisions that were acknowledged before the one below them. */
  readonly #ahead = new Set<number>()
  #text: string

  /** Of a store at `revision` with no change under way. */
  constructor(branch: string, revision: number) {
    this.#branch = branch
    this.#revision = this.#highest = revision
    this.#text = `${branch}.${revision}`
  }

  /** The branch of the store, a dot and the revision: a lower bound for what is read after it was asked for. */
  get text(): string {
    return this.#text
  }

  /** The same without the branch. */
  get revision(): number {
    return this.#revision
  }

  /** Notes that a change is under way. */
  begin(): void {
    this.#underWay++
  }

  /** Notes that one less is under way. It was `revision`; undefined where it did not happen, or that is not known. */
  end(revision?: number): void {
    this.#underWay--
    if (revision !== undefined) this.#ahead.add(revision)
    this.reached(revision ?? 0)
  }

  /** Notes that the store has `revision`. */
  reached(revision: number): void {
    this.#highest = Math.max(this.#highest, revision)
    let seen = this.#revision
    while (this.#ahead.delete(seen + 1)) seen++
    if (this.#underWay === 0) {
      seen = this.#highest
      this.#ahead.clear()
    }
    if (seen === this.#revision) return
    this.#revision = seen
    this.#text = `${this.#branch}.${seen}`
  }
}
