/**
 * Long work in parts, so that it delays nobody: a turn of the event loop does one part of one work,
 * however many there are.
 */

/** How long a part takes, about, in milliseconds. */
const PART_MS = 2

/** Whose part is next. */
class Turns {
  readonly #waiting: (() => void)[] = []

  /** Does `work`, which yields where it may rest, part by part, and resolves or rejects as it ends. */
  async finish<T>(work: Generator<void, T>): Promise<T> {
    for (;;) {
      await this.#next()
      const until = performance.now() + PART_MS
      do {
        const step = work.next()
        if (step.done === true) return step.value
      } while (performance.now() < until)
    }
  }

  /** What `pick` makes of each of `items`, without undefined. */
  collect<T, U>(items: readonly T[], pick: (item: T) => U | undefined): Promise<U[]> {
    return this.finish(collecting(items, pick))
  }

  #next(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#waiting.push(resolve) === 1) setImmediate(() => this.#begin())
    })
  }

  #begin(): void {
    this.#waiting.shift()?.()
    if (this.#waiting.length > 0) setImmediate(() => this.#begin())
  }
}

/** Those of the event loop, which is one. */
export const turns = new Turns()

/**
 * Callers that come while `task` runs share its end. A failure is for those alone who were there when it began:
 * what failed may be well again since, so for the others it runs once more.
 */
export function shared<T>(task: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined
  const run = (): Promise<T> => (running ??= task().finally(() => (running = undefined)))
  return function share() {
    return running ? running.catch(run) : run()
  }
}

function* collecting<T, U>(
  items: readonly T[],
  pick: (item: T) => U | undefined,
): Generator<void, U[]> {
  const found: U[] = []
  for (const item of items) {
    const picked = pick(item)
    if (picked !== undefined) found.push(picked)
    yield
  }
  return found
}
