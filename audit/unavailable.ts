/** The error of a log that cannot be written, in words for the operator. */
import { quote, SottoError } from '../client/api/errors.ts'
import { errorCode, reasonOf } from '../client/platform/system-error.ts'

/** `audit_unavailable` for the log in `directory`; `cause` is the system's error, or words. */
export function unavailable(directory: string, cause: unknown): SottoError {
  const full = ['ENOSPC', 'EDQUOT'].includes(errorCode(cause) ?? '')
  return new SottoError(
    'audit_unavailable',
    `Cannot write the audit log in ${quote(directory)}: ${reasonOf(cause)}`,
    {
      hint: full
        ? 'Free space on the file system that holds it; the log continues by itself.'
        : 'Check the disk and the folder that hold it; the log continues by itself.',
      ...(cause instanceof Error && { cause }),
    },
  )
}
