/** Keeps a key provider that does not answer from holding up whoever asks it. */
import { SottoError } from '../../client/api/errors.ts'
import type { KeyProvider } from './provider.ts'

/** How long one call may take, in milliseconds. */
const WAIT_MS = 20_000

/**
 * `provider`, whose calls reject with `key_missing` when they take longer than `waitMs`. A root key that
 * comes after that is overwritten.
 */
export function bounded(provider: KeyProvider, waitMs: number = WAIT_MS): KeyProvider {
  const { name } = provider
  const answer = <T>(call: Promise<T>, whenLate?: (late: T) => void): Promise<T> =>
    orLate(
      call,
      () => {
        if (whenLate) call.then(whenLate).catch(() => {})
        const message = `The key provider ${name} did not answer within ${waitMs} ms`
        return new SottoError('key_missing', message, { hint: 'Look at what its key is kept on.' })
      },
      waitMs,
    )
  return {
    name,
    fingerprint: () => answer(provider.fingerprint()),
    wrap: (rootKey, storeId) => answer(provider.wrap(rootKey, storeId)),
    unwrap: (wrapped, storeId) =>
      answer(provider.unwrap(wrapped, storeId), (rootKey) => void rootKey.fill(0)),
  }
}

async function orLate<T>(call: Promise<T>, late: () => SottoError, waitMs: number): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(late()), waitMs)
  try {
    return await Promise.race([call, promise])
  } finally {
    clearTimeout(timer)
  }
}
