/** What a store reports, for tests that wait for it. */
import type { StoreEvent } from '../../../client/store/options.ts'

/** Events so far, and those to come. */
export interface Heard {
  readonly events: StoreEvent[]
  readonly report: (event: StoreEvent) => void
  /** Resolves with the first event of that kind from now on. */
  readonly next: (kind: StoreEvent['kind']) => Promise<StoreEvent>
}

export function listen(): Heard {
  const events: StoreEvent[] = []
  const waiting = new Map<string, PromiseWithResolvers<StoreEvent>>()
  return {
    events,
    report: (event) => {
      events.push(event)
      waiting.get(event.kind)?.resolve(event)
      waiting.delete(event.kind)
    },
    next: (kind) => {
      const made = waiting.get(kind) ?? Promise.withResolvers<StoreEvent>()
      waiting.set(kind, made)
      return made.promise
    },
  }
}
