/** Reads the private files that are named, and prints what came of each: run as another user. */
import { SottoError } from '../../client/api/errors.ts'
import { readPrivateFile } from '../../client/platform/private-file.ts'

/** What came of one: `read`, or the code, message and hint of the error. */
export async function outcomeOf(path: string): Promise<string> {
  try {
    await readPrivateFile(path, 'key file', 1024)
    return 'read'
  } catch (error) {
    if (!(error instanceof SottoError)) throw error
    const { code, message, hint = '' } = error
    return `${code}: ${message} / ${hint}`
  }
}

if (process.argv[1] === import.meta.filename) {
  const outcomes = await Promise.all(process.argv.slice(2).map(outcomeOf))
  process.stdout.write(JSON.stringify(outcomes))
}
