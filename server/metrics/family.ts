/** A metric: its name, and a series for each combination of labels that was asked for. */
import type { Instrument } from './instruments.ts'

/** The kinds of metrics that Prometheus tells apart and Sotto has. */
export type MetricType = 'counter' | 'gauge' | 'histogram'

/** Names of labels, each with the values that it may have: a closed set, so that a page is bounded. */
export type LabelSets = Readonly<Record<string, readonly string[]>>

/** One value for each label. */
export type Labels<L extends LabelSets> = { readonly [Name in keyof L]: L[Name][number] }

/** What the page says of a metric. */
export interface FamilyHead {
  readonly name: string
  /** One sentence. */
  readonly help: string
  readonly type: MetricType
  readonly labels: LabelSets
}

/** One series: its labels, and what counts it. */
export interface Series<I extends Instrument> {
  readonly labels: Readonly<Record<string, string>>
  readonly instrument: I
}

/** The series of a metric. */
export class Family<L extends LabelSets, I extends Instrument> {
  readonly head: FamilyHead
  readonly #make: () => I
  readonly #series = new Map<string, Series<I>>()

  constructor(head: FamilyHead, make: () => I) {
    this.head = head
    this.#make = make
  }

  /**
   * The series with these labels, the same each time. It is on the page from the first call on, so
   * that what is watched for can be asked for before it happens: the first increase then shows. Throws
   * for a value that is not in the set of its label.
   */
  with(labels: Labels<L>): I {
    const sets = Object.entries(this.head.labels)
    const key = JSON.stringify(sets.map(([name]) => labels[name]))
    const known = this.#series.get(key)
    if (known) return known.instrument
    for (const [name, values] of sets) {
      if (values.includes(labels[name] as string)) continue
      throw new Error(`${this.head.name} has no ${name} ${JSON.stringify(labels[name])}`)
    }
    const instrument = this.#make()
    this.#series.set(key, { labels, instrument })
    return instrument
  }

  /** Every series so far, in the order in which they were asked for. */
  get series(): readonly Series<I>[] {
    return [...this.#series.values()]
  }
}
