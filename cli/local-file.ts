/** Reads files of the person who runs a command. */
import { readFileSync } from 'node:fs'
import { quote, SottoError } from '../client/api/errors.ts'

/** The text of a file. Throws `local` where it cannot be read. */
export function readLocalFile(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    const reason = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : ''
    throw new SottoError('local', `Cannot read ${quote(path)}${reason}`, { cause })
  }
}
