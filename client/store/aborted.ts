/** Waiting that a signal can end. */
import type { Timers } from '../platform/timers.ts'

/** Resolves as `task` does, or rejects with the reason of `signal`, which leaves the task itself alone. */
export async function abortable<T>(task: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return task
  const aborted = Promise.withResolvers<never>()
  const abort = (): void => aborted.reject(signal.reason)
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([aborted.promise, task])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/** Resolves after `ms` milliseconds, or rejects with the reason of `signal`. */
export async function pause(
  timers: Timers,
  ms: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const stop = timers.after(ms, resolve)
  await abortable(promise, signal).finally(stop)
}
