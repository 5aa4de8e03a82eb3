/** Time as the log's bounds need it: one that only goes forward, and calls that come later. */

/** A clock that never jumps, and its alarms. */
export interface Timers {
  /** Milliseconds since some moment. */
  now(): number
  /** Calls `act` once, in `ms` milliseconds, unless the function that it returns is called before. */
  readonly after: (ms: number, act: () => void) => () => void
}

/** The process's own. Its alarms keep no process alive. */
export const processTimers: Timers = timersOf((timer) => timer.unref())

/** The same with alarms that keep the process alive until they go off or are stopped. */
export const holdingTimers: Timers = timersOf((timer) => timer)

function timersOf(started: (timer: NodeJS.Timeout) => NodeJS.Timeout): Timers {
  return Object.freeze({
    now: () => performance.now(),
    after(ms: number, act: () => void) {
      const timer = started(setTimeout(act, ms))
      return () => clearTimeout(timer)
    },
  })
}

/** Resolves as `task` does, or with `late` once `ms` milliseconds have passed. */
export async function orLate<T>(
  task: Promise<T>,
  { timers, ms }: { timers: Timers; ms: number },
): Promise<T | 'late'> {
  const late = Promise.withResolvers<'late'>()
  const stop = timers.after(ms, () => late.resolve('late'))
  try {
    return await Promise.race([task, late.promise])
  } finally {
    stop()
  }
}
