/** What is odd about the backups of a server, for its operators. */

import { backupFindings } from '../../jobs/metrics.ts'

type FindingKind = (typeof backupFindings)[number]

/** One thing that is odd, in words. */
export interface Finding {
  readonly kind: FindingKind
  readonly words: string
}

/** Kinds with which backups are not as they should be. Those of other branches, and of a clock, are kept as they are. */
const bad: readonly FindingKind[] = ['held', 'lost', 'stranger']

/** How many of a kind are told. */
const MOST = 20

/** What was found, by kind. */
export class Findings {
  readonly #found = new Map<FindingKind, readonly string[]>()

  /** Takes the place of what was found of that kind before. */
  set(kind: FindingKind, words: readonly string[]): void {
    this.#found.set(kind, words)
  }

  /** How many there are of a kind. */
  count(kind: FindingKind): number {
    return this.#found.get(kind)?.length ?? 0
  }

  /** The first kind of what is not as it should be; undefined where there is none. */
  worst(): FindingKind | undefined {
    return bad.find((kind) => this.count(kind) > 0)
  }

  /** At most some of each kind. */
  all(): Finding[] {
    return backupFindings.flatMap((kind) => {
      const found = this.#found.get(kind) ?? []
      const words = found.slice(0, MOST)
      if (found.length > MOST) words.push(`and ${found.length - MOST} more`)
      return words.map((each) => ({ kind, words: each }))
    })
  }
}
