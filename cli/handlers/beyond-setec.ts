/** Calls that setec's wire does not have. */
import { asSottoError, SottoError } from '../../client/api/errors.ts'

/** What `call` resolves with. Where the server does not know it, the error says so; `aim` follows "Cannot". */
export async function beyondSetec<T>(aim: string, call: Promise<T>): Promise<T> {
  return call.catch((error: unknown) => {
    if (asSottoError(error).code !== 'no_such_method') throw error
    const why = 'the server does not know how: it is a setec server, or an early release of Sotto'
    throw new SottoError('no_such_method', `Cannot ${aim}: ${why}`)
  })
}
