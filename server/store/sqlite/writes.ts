/** The verbs of the store that change it. */
import { asSottoError, quote, SottoError } from '../../../client/api/errors.ts'
import type { Change } from '../contract.ts'
import type { StoreMetrics } from '../metrics.ts'
import { changesSecret, type Given, type Outcome, type Verb, verbs } from './changes.ts'
import type { WriteQueue } from './write-queue.ts'

/** The verbs, as the contract has them. */
export type Writes = { [V in Verb]: (...args: Given<V>) => Promise<Outcome<V>> }

/** The verbs, which `queue` has the writer do. Changes that an intent announced are counted. */
export function writesOf(queue: WriteQueue, { changes }: Pick<StoreMetrics, 'changes'>): Writes {
  const write = (verb: Verb) => {
    return async (...args: unknown[]): Promise<unknown> => {
      if (changesSecret(verb)) demandWellFormed(args[0] as Change)
      if (!isAnnounced(args)) return queue.submit(verb, args)
      try {
        const value = await queue.submit(verb, args)
        changes.with({ result: 'done' }).add()
        return value
      } catch (error) {
        const unknown = asSottoError(error).code === 'store_unavailable'
        changes.with({ result: unknown ? 'unknown' : 'refused' }).add()
        throw error
      }
    }
  }
  return Object.fromEntries(verbs.map((verb) => [verb, write(verb)])) as unknown as Writes
}

function isAnnounced([first]: readonly unknown[]): boolean {
  return typeof first === 'object' && first !== null && 'intent' in first
}

function demandWellFormed({ next: { name } }: Change): void {
  if (name.isWellFormed()) return
  throw new SottoError('invalid_name', `Cannot store ${quote(name)}: not well-formed Unicode`)
}
