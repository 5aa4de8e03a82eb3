/** How a client of AWS calls: for a bounded time, and not in the clear. */
import type { SottoError } from '../../client/api/errors.ts'
import { LATE } from './failures.ts'
import { isLoopbackHost } from '../platform/loopback.ts'

/** How often a call is attempted. */
const ATTEMPTS = 3

/** Where a client gets what it was not given itself. */
export interface Place {
  readonly region?: string
  readonly endpoint?: string
  readonly profile?: string
}

/** What every client is made with; a call in its attempts takes at most `waitMs`. */
export function clientSettings({ region, endpoint, profile }: Place, waitMs: number) {
  // All attempts fit into the whole, with the pauses between them.
  const attemptMs = Math.ceil(waitMs / (ATTEMPTS + 1))
  return {
    ...(region !== undefined && { region }),
    ...(endpoint !== undefined && { endpoint }),
    ...(profile !== undefined && { profile }),
    maxAttempts: ATTEMPTS,
    retryMode: 'standard',
    requestHandler: {
      connectionTimeout: attemptMs,
      requestTimeout: attemptMs,
      throwOnRequestTimeout: true,
    },
  } as const
}

/** The stack of a client, as far as it is used here. */
interface Stack {
  add(
    middleware: (
      next: (args: { request?: unknown; input: never }) => Promise<never>,
    ) => (args: { request?: unknown; input: never }) => Promise<never>,
    options: { step: 'build'; name: string; override: boolean },
  ): void
}

/**
 * Has every call of a client that would cross a network in the clear rejected with what `refuse` makes of
 * the host. An endpoint may also come from the environment or a profile: what counts is where requests go.
 */
export function refuseClear(
  { middlewareStack }: { middlewareStack: unknown },
  refuse: (host: string) => SottoError,
): void {
  ;(middlewareStack as Stack).add(
    (next) => async (args) => {
      const { protocol, hostname = '' } = args.request as { protocol?: string; hostname?: string }
      if (protocol === 'https:' || isLoopbackHost(hostname)) return next(args)
      throw refuse(hostname)
    },
    { step: 'build', name: 'refuseClear', override: true },
  )
}

/**
 * Resolves and rejects as `act` does, or rejects with LATE after `waitMs`, or with the reason of `signal`.
 * The lookup of credentials heeds no signal, so a race decides.
 */
export async function within<T>(
  waitMs: number,
  act: (signal: AbortSignal) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  signal?.throwIfAborted()
  const abort = new AbortController()
  const end = Promise.withResolvers<never>()
  const stop = (reason: unknown): void => {
    end.reject(reason)
    abort.abort()
  }
  const stopped = (): void => stop(signal?.reason)
  const timer = setTimeout(() => stop(LATE), waitMs)
  signal?.addEventListener('abort', stopped)
  try {
    return await Promise.race([act(abort.signal), end.promise])
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', stopped)
  }
}
