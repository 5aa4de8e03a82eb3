/** A log that a test reads. */
import { type Level, type Log, type Logger, wordsOf } from '../../server/platform/logger.ts'

/** Adds each line to `lines`, as `LEVEL: WORDS`. */
export function recordingLogger(lines: { push(line: string): unknown }): Logger {
  const at = (level: Level): Log => {
    return (message, fields) => void lines.push(`${level}: ${wordsOf(message, fields)}`)
  }
  return { error: at('error'), warn: at('warn'), info: at('info') }
}
