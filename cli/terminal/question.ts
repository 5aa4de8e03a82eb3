/** Asks a person for a line at the terminal, which shows what is typed. */
import { openSync } from 'node:fs'
import { ReadStream } from 'node:tty'
import { SottoError } from '../../client/api/errors.ts'
import type { Io } from './io.ts'

/**
 * Writes `question` to stderr and resolves with the line that is typed then, empty where the terminal goes away. Nothing
 * is read ahead, so that a program that is started later gets all that is typed for it. Rejects with what `stop` rejects
 * with, and with `local` where there is no terminal.
 */
export async function askLine(io: Io, question: string, stop: Promise<never>): Promise<string> {
  let input: ReadStream
  try {
    input = new ReadStream(openSync('/dev/tty', 'r'))
  } catch {
    throw new SottoError('local', 'Cannot ask: there is no terminal')
  }
  try {
    await io.stderr.write(question)
    const line = new Promise<string>((resolve) => {
      input.once('data', (chunk: Buffer) => resolve(chunk.toString('utf8')))
      input.once('end', () => resolve('')).once('error', () => resolve(''))
    })
    return (await Promise.race([line, stop])).trim()
  } finally {
    input.destroy()
  }
}
