/**
 * The metrics of one server, and the page that they make. Rooms define theirs here, each in a file
 * of its own, and note into them; what is never scraped costs no more than the numbers in memory, so
 * that a part that is given no registry creates one of its own.
 */
import { Family, type FamilyHead, type LabelSets, type MetricType } from './family.ts'
import { Counter, Gauge, Histogram, type Instrument } from './instruments.ts'
import { familyText } from './text.ts'

/** Names say what they count: whose it is, in base units, `_total` at the end of counters alone. */
type Name = `${'sotto' | 'process'}_${string}`
type CounterName = `${Name}_total`

/** What a metric is called and for. */
interface Spec<N extends Name = Name> {
  readonly name: N
  /** One sentence, for the page and for docs/reference/metrics.md. */
  readonly help: string
}

/** A metric with labels. */
interface Labelled<L extends LabelSets> {
  readonly labels: L
}

/** A metric of buckets. */
interface Bucketed {
  /** Upper bounds, ascending. */
  readonly buckets: readonly number[]
}

/** Upper bounds for what a request waits for, in seconds. */
export const WAIT_SECONDS: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
]

/** How long a page waits for what is read for it, in milliseconds. */
const PAGE_WAIT_MS = 2000

/** Metrics by name, in the order in which they were defined. */
export class Registry {
  readonly #families = new Map<string, Family<LabelSets, Instrument>>()
  /** Each reads what may be slow or down. */
  readonly #sources: (() => Promise<void>)[] = []
  readonly #pageWaitMs: number

  constructor({ pageWaitMs = PAGE_WAIT_MS }: { readonly pageWaitMs?: number } = {}) {
    this.#pageWaitMs = pageWaitMs
  }

  counter(spec: Spec<CounterName>): Counter {
    return this.counters({ ...spec, labels: {} }).with({})
  }

  counters<const L extends LabelSets>(spec: Spec<CounterName> & Labelled<L>): Family<L, Counter> {
    return this.#add('counter', spec, () => new Counter())
  }

  gauge(spec: Spec): Gauge {
    return this.gauges({ ...spec, labels: {} }).with({})
  }

  gauges<const L extends LabelSets>(spec: Spec & Labelled<L>): Family<L, Gauge> {
    return this.#add('gauge', spec, () => new Gauge())
  }

  histogram(spec: Spec & Bucketed): Histogram {
    return this.histograms({ ...spec, labels: {} }).with({})
  }

  histograms<const L extends LabelSets>(spec: Spec & Bucketed & Labelled<L>): Family<L, Histogram> {
    return this.#add('histogram', spec, () => new Histogram(spec.buckets))
  }

  /**
   * Has `read` set `gauges` before each page. Where it rejects or takes too long they are left out of
   * the page, as a number that is not so is worse than none; it is not called again before it ended.
   */
  source(gauges: readonly Gauge[], read: () => Promise<void>): void {
    let running: Promise<boolean> | undefined
    const run = async (): Promise<boolean> => {
      const ends = await Promise.allSettled([Promise.try(read)])
      running = undefined
      return ends[0].status === 'fulfilled'
    }
    this.#sources.push(async () => {
      running ??= run()
      const late = Promise.withResolvers<boolean>()
      const timer = setTimeout(() => late.resolve(false), this.#pageWaitMs)
      const isRead = await Promise.race([running, late.promise])
      clearTimeout(timer)
      if (!isRead) for (const gauge of gauges) gauge.clear()
    })
  }

  /** What there is, in the order in which it was defined. */
  get heads(): readonly FamilyHead[] {
    return [...this.#families.values()].map(({ head }) => head)
  }

  /** The page for Prometheus. Resolves within a bounded time, whatever its sources do. */
  async page(): Promise<string> {
    await Promise.all(this.#sources.map((source) => source()))
    return [...this.#families.values()].map(familyText).join('')
  }

  #add<L extends LabelSets, I extends Instrument>(
    type: MetricType,
    { name, help, labels }: Spec & Labelled<L>,
    make: () => I,
  ): Family<L, I> {
    if (this.#families.has(name)) throw new Error(`There are two metrics ${name}`)
    const bad = [name, ...Object.keys(labels)].find((each) => !/^[a-z][a-z0-9_]*$/.test(each))
    if (bad !== undefined) throw new Error(`${JSON.stringify(bad)} names no metric and no label`)
    if ('le' in labels) throw new Error(`${name} has the label of buckets`)
    const family = new Family<L, I>({ name, help, type, labels }, make)
    this.#families.set(name, family)
    return family
  }
}
