/** Counts each answer once: by what the request was for, how it came out, and how long it took. */
import type { Counter, Histogram } from '../metrics/instruments.ts'
import { callErrors } from '../../client/api/calls.ts'
import { type ErrorCode, errorTable } from '../../client/api/errors.ts'
import { type Outcome, type RequestMetrics, type Subject, subjects } from './metrics.ts'

/** The counters of what requests are for. */
interface Counts {
  readonly codes: Map<Outcome, Counter>
  seconds: Histogram | undefined
}

/** What an operator waits to see: these are on the page before they happen for the first time. */
const awaited: readonly Outcome[] = [
  'ok',
  'denied',
  ...(Object.keys(errorTable) as ErrorCode[]).filter((code) => errorTable[code].status >= 500),
]

/** Counts answers. */
export class Traffic {
  readonly #metrics: RequestMetrics
  readonly #counts: ReadonlyMap<Subject, Counts>

  constructor(metrics: RequestMetrics) {
    this.#metrics = metrics
    this.#counts = new Map(
      subjects.map((subject) => [subject, { codes: new Map(), seconds: undefined }]),
    )
    for (const subject of subjects) {
      for (const code of [...awaited, ...ownErrors(subject)]) this.#counter(subject, code)
    }
  }

  /** Counts an answer. `seconds` is absent where no request came in whole. */
  note(subject: Subject, code: Outcome, seconds?: number): void {
    const counts = this.#counts.get(subject) as Counts
    const counter = counts.codes.get(code) ?? this.#counter(subject, code)
    counter.add()
    if (seconds === undefined) return
    counts.seconds ??= this.#metrics.seconds.with({ method: subject })
    counts.seconds.observe(seconds)
  }

  #counter(method: Subject, code: Outcome): Counter {
    const counter = this.#metrics.requests.with({ method, code })
    this.#counts.get(method)?.codes.set(code, counter)
    return counter
  }
}

/** What a path is for. */
export function subjectOf(path: string): Subject {
  return byPath.get(path) ?? 'other'
}

const byPath: ReadonlyMap<string, Subject> = new Map([
  ...subjects.map((subject): [string, Subject] => [`/api/${subject}`, subject]),
  ['/metrics', 'metrics'],
])

function ownErrors(subject: Subject): readonly Outcome[] {
  return subject in callErrors ? callErrors[subject as keyof typeof callErrors] : []
}
