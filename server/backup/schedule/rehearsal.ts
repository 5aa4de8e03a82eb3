/** The job that proves backups: the newest one is restored to a temporary place, opened whole, and destroyed there. */
import { mkdir, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { asSottoError, SottoError } from '../../../client/api/errors.ts'
import { ownBackups } from '../name.ts'
import { peekBackup } from '../open.ts'
import { objectSource } from '../source.ts'
import type { TargetObject } from '../targets/target.ts'
import type { KeyProvider } from '../../crypto/provider.ts'
import { openRootKey } from '../../crypto/root-key.ts'
import type { BackupJobParts } from './job.ts'
import { REHEARSAL_JOB } from './names.ts'
import type { Rehearsed } from './rehearsal-thread.ts'
import type { Job, Run } from '../../jobs/scheduler.ts'
import { askThread, threadScript } from '../../platform/thread.ts'

/** What backups are proven with. */
export interface RehearsalParts
  extends Pick<BackupJobParts, 'store' | 'gate' | 'target' | 'memory' | 'clock'> {
  /** Gives the keys that are available: those that would open the store after a disaster. */
  readonly providers: () => Promise<KeyProvider[]>
  /** Where backups are restored to, in a directory of their own that is made and removed. */
  readonly directory: string
  readonly everyMs: number
}

const script = threadScript('server/backup/schedule/rehearsal-thread')

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
/** Where an overdue rehearsal does not hinder a server that starts. */
const SOON_MS = 5 * MINUTE_MS
/** What restoring needs of the disk, as a multiple of what the backup holds: a copy, and what changes in it. */
const ROOM = 2

/** The job, for the scheduler. */
export function rehearsalJob(parts: RehearsalParts): Job {
  const { everyMs, memory, clock } = parts
  const due = memory.proven ? Date.parse(memory.proven.at) + everyMs - clock().getTime() : 0
  return {
    name: REHEARSAL_JOB,
    action: 'backup',
    rules: [{ action: ['backup'], secret: ['*'] }],
    everyMs,
    firstMs: Math.min(everyMs, Math.max(SOON_MS, due)),
    retryMs: Math.min(everyMs, HOUR_MS),
    maxMs: 4 * HOUR_MS,
    run: (run) => rehearse(parts, run),
  }
}

async function rehearse(parts: RehearsalParts, { call, signal }: Run): Promise<string> {
  const { store, target, gate, memory, clock } = parts
  const pass = await gate.operate(call, 'backup', REHEARSAL_JOB)
  const records = pass.backups(target.description)
  const newest = ownBackups(await target.list(), store.identity.id).at(-1)
  if (!newest) {
    throw new SottoError('no_backup', `There is no backup in ${target.description} to rehearse`)
  }
  const { name, size, created } = newest
  try {
    const values = await prove(parts, { name, size }, signal)
    await records.rehearsed({ backup: name, values })
    await memory.noteProven({ name, size, created, values, at: clock().toISOString() })
    return `${name} was restored and all of its ${values} values opened`
  } catch (error) {
    const { message } = asSottoError(signal.aborted ? signal.reason : error)
    await records.rehearsed({ backup: name, values: 0, reason: message }).catch(() => {})
    throw error
  }
}

/**
 * Restores a backup in a thread of its own, opens every value of what came back, and destroys it. Resolves with
 * their number. The keys are asked here, for the root key of this very backup.
 */
async function prove(
  { directory, providers, target }: RehearsalParts,
  backup: TargetObject,
  signal: AbortSignal,
): Promise<number> {
  const scratch = join(directory, 'rehearsal')
  // What is there was left by a process that ended first.
  await rm(scratch, { recursive: true, force: true })
  const head = await peekBackup(objectSource(target, backup))
  await refuseFullDisk(backup.name, head.contentBytes, directory)
  const { rootKey, wrap } = await openRootKey(await providers(), head.wraps, head.storeId)
  try {
    await mkdir(scratch, { mode: 0o700 })
    const { provider, fingerprint } = wrap
    const to = join(scratch, 'state')
    const given: Rehearsed = { place: target.place, backup, to, provider, fingerprint, rootKey }
    return await askThread(script, given, { name: 'rehearsal', env: process.env, signal })
  } finally {
    rootKey.fill(0)
    await rm(scratch, { recursive: true, force: true })
  }
}

async function refuseFullDisk(name: string, bytes: number, directory: string): Promise<void> {
  const needed = ROOM * bytes
  const { bavail, bsize } = await statfs(directory)
  if (bavail * bsize >= needed) return
  throw new SottoError(
    'local',
    `Cannot restore ${name} in ${directory}: that needs ${needed} bytes, and ${bavail * bsize} are free`,
    { hint: 'Free space there, or name another directory with --rehearse-in.' },
  )
}
