/**
 * The log of the server, on stderr: words for a person, with priorities where the journal of systemd reads them; or a
 * line of JSON each. Each line is handed over whole.
 */
import { fstatSync } from 'node:fs'
import { errorTable } from '../client/api/errors.ts'
import type { Environment } from '../client/api/given.ts'
import { visible } from '../client/api/visible.ts'
import type { LogFormat } from '../server/config/config.ts'
import { type Level, type LogFields, type Logger, wordsOf } from '../server/platform/logger.ts'
import { hintFor } from './cures.ts'
import { failureText, faultOf, knownFailure } from './failure.ts'
import type { Io, Output } from './terminal/io.ts'

/** The log of a server, and what its process says besides. */
export interface ServerLog extends Logger {
  /** Whether lines of others on stderr, such as Node, would not look as those of the log do. */
  readonly isStrict: boolean
  /** Writes a line that is `words`, of many lines perhaps, to a person; `to` is stderr where it is not given. */
  show(words: string, message: string, fields?: LogFields, to?: Output): Promise<void>
  /** Says why the server does not start or does not continue; resolves with the exit code. */
  failed(error: unknown): Promise<number>
}

/** Priorities, as syslog numbers them. */
const priorities: Readonly<Record<Level, number>> = { error: 3, warn: 4, info: 6 }

/** Opens the log on the stderr of `io`. */
export function openServerLog(format: LogFormat, io: Io, env: Environment): ServerLog {
  const inJournal = isJournal(env['JOURNAL_STREAM'])
  const write = async (
    level: Level,
    words: string,
    fields: LogFields & { readonly message: string },
    to = io.stderr,
  ): Promise<void> => {
    // A server runs on when its output is closed.
    await to.write(lineOf(level, words, fields, to)).catch(() => {})
  }
  const lineOf = (level: Level, words: string, fields: object, to: Output): string => {
    if (format === 'json') {
      const time = new Date(io.now()).toISOString()
      return `${visible(JSON.stringify({ time, level, ...fields }))}\n`
    }
    return inJournal && to === io.stderr ? words.replaceAll(/^(?=.|\n)/gm, prefixOf(level)) : words
  }
  const at =
    (level: Level) =>
    (message: string, fields: LogFields = {}): void =>
      void write(level, `${visible(wordsOf(message, fields))}\n`, { message, ...fields })
  return {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    isStrict: format === 'json' || inJournal,
    show: (words, message, fields, to) => write('info', words, { message, ...fields }, to),
    failed: async (error) => {
      const known = await knownFailure(error)
      if (known === undefined) {
        const { message, stack } = faultOf(error)
        const words = [`sotto: ${message}`, ...stack.map((place) => `    ${place}`), '']
        await write('error', words.map(visible).join('\n'), { message, stack })
        return 1
      }
      const { code, message } = known
      const hint = hintFor(code, known.hint)
      await write('error', failureText(message, hint), { message, hint, code })
      return errorTable[code].exit
    },
  }
}

function prefixOf(level: Level): string {
  return `<${priorities[level]}>`
}

/** Whether stderr is the stream of the journal that systemd names as `DEVICE:INODE`, and nobody redirected it. */
function isJournal(stream: string | undefined): boolean {
  if (stream === undefined) return false
  try {
    const { dev, ino } = fstatSync(2, { bigint: true })
    return stream === `${dev}:${ino}`
  } catch {
    return false
  }
}
