/**
 * `sotto server` whose timers run faster than the clock, so that a certificate which lives for half a
 * minute is looked after as one that lives for months.
 */
import { readServerConfig } from '../../server/config/config.ts'
import { processTimers } from '../../client/platform/timers.ts'
import { startServer } from '../../server/start/server.ts'
import { recordingLogger } from '../support/logger.ts'

/** An hour takes six seconds, a minute a tenth of one. */
const HASTE = 600

const config = readServerConfig(process.argv.slice(2), {})
const server = await startServer(config, {
  logger: recordingLogger({ push: (line) => console.log(line) }),
  schedule: (ms, task) => processTimers.after(ms / HASTE, task),
})
console.log(`listening on ${server.url}`)
process.once('SIGTERM', () => void server.stop())
