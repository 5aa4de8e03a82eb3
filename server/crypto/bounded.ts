/** Bounds how long a key provider may take to answer. */
import { SottoError } from '../../client/api/errors.ts'
import { holdingTimers, orLate } from '../../client/platform/timers.ts'
import type { KeyProvider } from './provider.ts'

/** How long one call may take, in milliseconds. */
const WAIT_MS = 20_000

/**
 * `provider`, whose calls reject with `key_missing` when they take longer than `waitMs`. A root key that
 * comes after that is overwritten.
 */
export function bounded(provider: KeyProvider, waitMs: number = WAIT_MS): KeyProvider {
  const { name } = provider
  async function answer<T>(call: Promise<T>, whenLate: (late: T) => void = () => {}): Promise<T> {
    // A call that waits for nothing that Node counts must end in this error, not with the process.
    const answered = await orLate(call, { timers: holdingTimers, ms: waitMs })
    if (answered !== 'late') return answered
    call.then(whenLate).catch(() => {})
    const message = `The key provider ${name} did not answer within ${waitMs} ms`
    throw new SottoError('key_missing', message, { hint: 'Look at what its key is kept on.' })
  }
  return {
    name,
    fingerprint: (wraps) => answer(provider.fingerprint(wraps)),
    wrap: (rootKey, storeId) => answer(provider.wrap(rootKey, storeId)),
    unwrap: (wrapped, storeId) =>
      answer(provider.unwrap(wrapped, storeId), (rootKey) => void rootKey.fill(0)),
  }
}
