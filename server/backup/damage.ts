/** What is wrong with a backup, in the words of the error table. */
import { quote, SottoError } from '../../client/api/errors.ts'

/** The backup `name` is not what it should be. `why` is half a sentence. */
export function damaged(name: string, why: string, cause?: unknown): SottoError {
  return new SottoError('backup_damaged', `The backup ${quote(name)} does not verify: ${why}`, {
    hint: 'Use another backup: `sotto backup list` shows which there are.',
    ...(cause !== undefined && { cause }),
  })
}
