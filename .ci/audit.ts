/**
 * Asks the registry for advisories on the packages of the lock file, and reports all of them. Fails for those that
 * `judge` says: on what ships, with a fixed release, without an exception in .ci/advisories.json. `npm run audit`
 * builds first.
 *   node .ci/audit.ts
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { type Exception, judge } from './advisories.ts'
import { shippedPackages } from './shipped.ts'

const top = new URL('..', import.meta.url).pathname
const exceptions = JSON.parse(
  readFileSync(new URL('advisories.json', import.meta.url), 'utf8'),
) as Exception[]
const { stdout, stderr } = spawnSync('npm', ['audit', '--json', '--audit=true'], {
  cwd: top,
  encoding: 'utf8',
  timeout: 60_000,
})
const today = new Date().toISOString().slice(0, 10)
const verdict = judge(stdout || stderr, shippedPackages(top), exceptions, today)
for (const line of verdict.lines) process.stdout.write(`${line}\n`)
for (const line of verdict.failures) process.stdout.write(`FAILED: ${line}\n`)
process.exitCode = verdict.failures.length > 0 ? 1 : 0
