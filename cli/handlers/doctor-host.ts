/** What `sotto doctor` finds on the machine: user, clock, state directory. */
import { execFile } from 'node:child_process'
import { lstatSync, readdirSync, statfsSync, statSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { quote } from '../../client/api/errors.ts'
import type { DoctorConfig } from '../../server/config/config.ts'
import { type StateDirectory, stateDirectory } from '../../server/store/directory.ts'
import { failed, failure, type Finding, ok, warning } from './finding.ts'

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

/** What is wrong with the state directory; nothing where none was named. */
export function stateFindings(config: DoctorConfig, now: Date): Finding[] {
  if (config.stateDir === undefined) return []
  try {
    const state = stateDirectory(config.stateDir)
    return [
      storeFinding(state),
      ...(config.awsKms ? [serviceFinding('AWS KMS', config.awsKms.key)] : []),
      ...(config.transit ? [serviceFinding('OpenBao Transit', config.transit.key)] : []),
      ...((config.awsKms ?? config.transit) && config.keyFile === undefined
        ? []
        : [keyFinding(config.keyFile ?? state.keyFile)]),
      spaceFinding(state),
      ...aheadFinding(state, now),
    ]
  } catch (error) {
    return [failure('state', error)]
  }
}

function storeFinding({ path, store }: StateDirectory): Finding {
  const { uid } = lstatSync(path)
  const mine = process.getuid?.() ?? uid
  if (uid !== mine && mine !== 0) {
    const hint = 'Run doctor and the server as that user.'
    return failed('state', `${quote(path)} belongs to user ${uid}`, hint)
  }
  if (statSync(store, { throwIfNoEntry: false })) {
    return ok('state', `a store in ${quote(path)}, which no other user can enter`)
  }
  const hint =
    'Check the path and that the volume is mounted. `sotto init` makes a new, empty store.'
  return failed('state', `there is no store in ${quote(path)}`, hint)
}

function serviceFinding(service: string, key: string): Finding {
  return ok('key', `${service} key ${quote(key)} is named; \`sotto key check\` proves it`)
}

function keyFinding(path: string): Finding {
  const found = statSync(path, { throwIfNoEntry: false })
  if (!found) {
    const hint = 'Give the key that the store is sealed under with --key-file.'
    return failed('key', `there is no key file ${quote(path)}`, hint)
  }
  if ((found.mode & 0o077) === 0) {
    return ok('key', `${quote(path)}, which no other user can read`)
  }
  return failed('key', `${quote(path)} can be read by others than its owner`, `chmod 600 ${path}`)
}

function spaceFinding({ path }: StateDirectory): Finding {
  const { bavail, bsize } = statfsSync(path)
  const free = bavail * bsize
  const message = `${(free / LITTLE_SPACE).toFixed(1)} GiB free`
  if (free >= LITTLE_SPACE) return ok('disk', message)
  const hint =
    'When the disk is full no value can be read: free some space, or move old segments of the audit log.'
  return warning('disk', message, hint)
}

/** Files from the future mean that the clock was set back. */
function aheadFinding({ audit }: StateDirectory, now: Date): Finding[] {
  const newest = Math.max(0, ...writtenIn(audit))
  if (newest - now.getTime() <= AHEAD_MS) return []
  const message = `the audit log was written at ${new Date(newest).toISOString()}, which is in the future`
  return [failed('time', message, 'The clock was set back: correct it.')]
}

function writtenIn(directory: string): number[] {
  if (!statSync(directory, { throwIfNoEntry: false })) return []
  return readdirSync(directory).map((name) => statSync(join(directory, name)).mtimeMs)
}
