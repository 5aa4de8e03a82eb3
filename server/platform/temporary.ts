/** Directories for a short time, where the system or TMPDIR says that temporary files go. */
import { mkdtempSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { quote, SottoError } from '../../client/api/errors.ts'
import { reasonOf } from '../../client/platform/system-error.ts'

/** Makes one whose name begins with `prefix`, in `parent` or where temporary files go. Rejects with `local`. */
export async function makeTemporary(prefix: string, parent: string = tmpdir()): Promise<string> {
  return mkdtemp(join(parent, prefix)).catch((error: unknown) => {
    throw refused(error, parent)
  })
}

/** As `makeTemporary`, at once. */
export function makeTemporaryNow(prefix: string): string {
  const parent = tmpdir()
  try {
    return mkdtempSync(join(parent, prefix))
  } catch (error) {
    throw refused(error, parent)
  }
}

function refused(error: unknown, parent: string): Error {
  const message = `Cannot make a temporary directory in ${quote(parent)}: ${reasonOf(error)}`
  return new SottoError('local', message, {
    cause: error,
    hint: 'It must be there, with space, and open to the user that the program runs as; TMPDIR names another one.',
  })
}
