/** Asks for the metrics, and reads the page line by line. */
import { askOnce, goodHead, type RawAnswer } from '../http/raw.ts'

/** The numbers of a page by series, each as its line begins. */
export class Page {
  readonly text: string
  readonly #numbers = new Map<string, number>()

  constructor(text: string) {
    this.text = text
    for (const line of text.split('\n')) {
      const space = line.lastIndexOf(' ')
      if (line === '' || line.startsWith('#')) continue
      this.#numbers.set(
        line.slice(0, space),
        Number(line.slice(space + 1).replace('Inf', 'Infinity')),
      )
    }
  }

  /** What a series stands at; undefined where it is not on the page. */
  get(series: string): number | undefined {
    return this.#numbers.get(series)
  }

  /** The requests to `method` that came out as `code`. */
  requests(method: string, code: string): number {
    return this.get(`sotto_requests_total{method="${method}",code="${code}"}`) ?? 0
  }

  /** Every series whose name and labels begin with `start`. */
  all(start: string): [string, number][] {
    return [...this.#numbers].filter(([series]) => series.startsWith(start))
  }
}

/** Asks for the metrics from a loopback address. */
export async function askForMetrics(url: string, from?: string): Promise<RawAnswer> {
  return askOnce(
    url,
    { method: 'GET', target: '/metrics', head: goodHead.slice(0, 1), body: undefined },
    from,
  )
}

/** The page that a caller with every right gets. */
export async function scrape(url: string, from?: string): Promise<Page> {
  const { status, body } = await askForMetrics(url, from)
  if (status !== 200) throw new Error(`The metrics answered ${status}: ${body}`)
  return new Page(body)
}
