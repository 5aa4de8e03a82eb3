/** How a client of AWS calls: for a bounded time, not in the clear, and through a proxy where one is set. */
import type { SottoError } from '../../client/api/errors.ts'
import { LATE } from './failures.ts'
import { isLoopbackHost } from '../platform/loopback.ts'
import type { Destination } from '../platform/proxies.ts'
import { agentsFor } from './agents.ts'
import type { Place } from './endpoint.ts'

/** How often a call is attempted. */
const ATTEMPTS = 3

/** What every client is made with; a call in its attempts takes at most `waitMs`. */
export function clientSettings({ region, endpoint, profile, proxies }: Place, waitMs: number) {
  // All attempts fit into the whole, with the pauses between them.
  const attemptMs = Math.ceil(waitMs / (ATTEMPTS + 1))
  return {
    ...(region !== undefined && { region }),
    ...(endpoint !== undefined && { endpoint }),
    ...(profile !== undefined && { profile }),
    // It was looked for: see endpoint.ts.
    ignoreConfiguredEndpointUrls: true,
    maxAttempts: ATTEMPTS,
    retryMode: 'standard',
    requestHandler: {
      connectionTimeout: attemptMs,
      requestTimeout: attemptMs,
      throwOnRequestTimeout: true,
      ...agentsFor(endpoint, proxies),
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

/** Where the last call of a client went; undefined before the first. */
export interface Sent {
  to?: Destination
}

/**
 * Has every call of a client that would cross a network in the clear rejected with what `refuse` makes of
 * the host; undefined allows it. Whatever the client was given: what counts is where requests go.
 */
export function watchCalls(
  { middlewareStack }: { middlewareStack: unknown },
  refuse: ((host: string) => SottoError) | undefined,
): Sent {
  const sent: Sent = {}
  ;(middlewareStack as Stack).add(
    (next) => async (args) => {
      const to = args.request as Destination
      const { protocol, hostname = '' } = to
      if (refuse && protocol !== 'https:' && !isLoopbackHost(hostname)) throw refuse(hostname)
      sent.to = to
      return next(args)
    },
    { step: 'build', name: 'watchCalls', override: true },
  )
  return sent
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
