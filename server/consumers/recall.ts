/** Which values left for whom, by the audit log: read in a thread of its own, a batch after the other. */
import { askThread, threadScript } from '../platform/thread.ts'
import type { Principal } from '../../client/api/types.ts'

/** A value that left. */
export interface Release {
  readonly principal: Principal
  readonly node?: string
  readonly client?: string
  readonly name: string
  readonly version: number
  readonly held?: number
}

/** What the thread is asked: releases in the records after `after`, up to `until`. */
export interface RecallQuestion {
  /** The folder of the log. */
  readonly directory: string
  readonly after: number
  readonly until: number
}

/** What it found besides. */
export interface Recalled {
  /** Whether there was every record of them. */
  readonly whole: boolean
}

const script = threadScript('server/consumers/recall-thread')

/** Calls `take` with batches of releases, in order. Rejects with the reason of `signal`, and where the log cannot be read. */
export async function recall(
  question: RecallQuestion,
  take: (releases: readonly Release[]) => Promise<void>,
  signal: AbortSignal,
): Promise<Recalled> {
  if (question.after >= question.until) return { whole: true }
  return askThread<Recalled>(script, question, {
    name: 'holdings',
    signal,
    reply: (releases: never) => take(releases),
  })
}
