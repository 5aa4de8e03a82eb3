/** What `sotto doctor` finds on the machine: user, clock, disk. */
import { execFile } from 'node:child_process'
import { lstatSync, readdirSync, statfsSync, statSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { segmentId } from '../../audit/segment.ts'
import { quote } from '../../client/api/errors.ts'
import { isAbsent, reasonOf } from '../../client/platform/system-error.ts'
import type { StateDirectory } from '../../server/store/directory.ts'
import { failure, type Finding, ok, warning } from './finding.ts'

/** Free space below which a warning is due, in bytes. */
const LITTLE_SPACE = 1024 ** 3
/** How far a file may seem to be written ahead of the clock, in milliseconds. */
const AHEAD_MS = 5000
/** How long the system may take to answer about its clock, in milliseconds. */
const CLOCK_WAIT_MS = 3000

/** Who looks: what root may do, the server's own user may not be able to. */
export function userFinding(): Finding {
  const uid = process.getuid?.()
  if (uid !== 0) return ok('user', userName(uid))
  const hint = 'Run it as that user: `sudo -u sotto sotto doctor …`.'
  return warning('user', 'this is root, who may do more than the user of the server', hint)
}

/** In a container a user may have a number alone. */
function userName(uid: number | undefined): string {
  try {
    return uid === undefined ? userInfo().username : `${userInfo().username} (${uid})`
  } catch {
    return `${uid}, without a name on this system`
  }
}

/** Whether the system keeps its clock right: certificates and keys expire by it. */
export async function clockFinding(): Promise<Finding> {
  const answer = await new Promise<string>((resolve) => {
    const args = ['show', '--property=NTPSynchronized', '--value']
    execFile('timedatectl', args, { timeout: CLOCK_WAIT_MS }, (error, stdout) =>
      resolve(error ? '' : stdout.trim()),
    )
  })
  if (answer === 'yes') return ok('clock', 'the system keeps it right')
  return warning(
    'clock',
    answer === 'no' ? 'nothing keeps it right' : 'the system does not say whether it is right',
    'Compare `date -u` with another machine, and see that a time service runs.',
  )
}

/** What is left on the disk of the state directory, and whether the clock is behind what was written there. */
export function diskFindings(
  state: Pick<StateDirectory, 'path' | 'audit'>,
  clock: () => Date,
): Finding[] {
  try {
    return [spaceFinding(state), ...segmentFindings(state, clock)]
  } catch (error) {
    return [failure('disk', error)]
  }
}

/** The log may be on a disk of its own. */
function spaceFinding({ path, audit }: Pick<StateDirectory, 'path' | 'audit'>): Finding {
  const places = [path, audit].filter((each) => statSync(each, { throwIfNoEntry: false }))
  const free = Math.min(...places.map(freeIn))
  const message = `${(free / LITTLE_SPACE).toFixed(1)} GiB free`
  if (free >= LITTLE_SPACE) return ok('disk', message)
  const hint =
    'When the disk is full no value can be read: free some space, or move old segments of the audit log.'
  return warning('disk', message, hint)
}

function freeIn(path: string): number {
  const { bavail, bsize } = statfsSync(path)
  return bavail * bsize
}

/**
 * Looks at the newest segment of the log by its number: a clock that was ahead once may have left others from the
 * future. A segment that cannot be looked at hides no other.
 */
function segmentFindings({ audit }: Pick<StateDirectory, 'audit'>, clock: () => Date): Finding[] {
  if (!statSync(audit, { throwIfNoEntry: false })) return []
  const findings: Finding[] = []
  let newest = { id: 0, written: 0 }
  for (const name of readdirSync(audit)) {
    const id = segmentId(name)
    if (id === undefined) continue
    const path = join(audit, name)
    try {
      const written = statSync(path).mtimeMs
      if (id >= newest.id) newest = { id, written }
    } catch (error) {
      // Somebody moved it away meanwhile, which is their right.
      if (isAbsent(error) && !lstatSync(path, { throwIfNoEntry: false })) continue
      const hint =
        'Put the segment itself there, or move its name away: `sotto audit verify` says what is missing then.'
      findings.push(
        warning('audit log', `cannot look at its segment ${quote(path)}: ${reasonOf(error)}`, hint),
      )
    }
  }
  // The clock is read after the files: a server may write while doctor looks.
  if (newest.written - clock().getTime() <= AHEAD_MS) return findings
  const message = `the audit log was last written at ${new Date(newest.written).toISOString()}, which is in the future`
  const hint =
    'The clock is behind, or was ahead then: compare `date -u` with another machine, and correct it.'
  return [...findings, warning('time', message, hint)]
}
