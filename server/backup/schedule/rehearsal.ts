/**
 * The job that proves backups: the newest one is restored to a temporary place, opened whole, and destroyed there.
 * Which one that is, the server knows; a name in the target does not say.
 */
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { SottoError } from '../../../client/api/errors.ts'
import { damaged } from '../damage.ts'
import { isLater, type OwnBackup, ownOf } from '../own.ts'
import { peekBackup } from '../open.ts'
import { objectSource } from '../source.ts'
import type { TargetObject } from '../targets/target.ts'
import type { KeyProvider } from '../../crypto/provider.ts'
import { openRootKey } from '../../crypto/root-key.ts'
import type { BackupJob, BackupJobParts } from './job.ts'
import { REHEARSAL_JOB } from './names.ts'
import { makeScratch } from './scratch.ts'
import type { BackupMemory } from './memory.ts'
import type { Rehearsed, RehearsedBackup } from './rehearsal-thread.ts'
import type { Job, Run } from '../../jobs/scheduler.ts'
import { described, systemError } from '../../../client/platform/system-error.ts'
import { askThread, threadScript } from '../../platform/thread.ts'

/** What backups are proven with. */
export interface RehearsalParts
  extends Pick<
    BackupJobParts,
    'store' | 'keyring' | 'gate' | 'target' | 'memory' | 'clock' | 'adoption'
  > {
  readonly job: Pick<BackupJob, 'newest' | 'hold'>
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
  // By the clock alone: where it says that a backup will be proven, it is not known when one was.
  const age = memory.proven ? clock().getTime() - Date.parse(memory.proven.at) : everyMs
  const due = age < 0 ? 0 : everyMs - age
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
  const { target, gate, memory, clock } = parts
  const pass = await gate.operate(call, 'backup', REHEARSAL_JOB)
  if (!parts.adoption.adopted())
    return 'the store is not adopted here, so that it has no backups yet'
  const records = pass.backups(target.description)
  const { name, size } = await newestOf(parts)
  using _ = parts.job.hold(name)
  try {
    const { values, found, stuck } = await prove(parts, { name, size }, signal)
    await records.rehearsed({ backup: name, values })
    const { created, branch, revision, logged } = found
    const proven = { name, size, created, branch, revision, logged, values }
    await memory.noteProven({ ...proven, at: clock().toISOString() })
    const left = stuck.length === 0 ? '' : `; cannot remove ${stuck.join(', ')} of earlier runs`
    return `${name} was restored and all of its ${values} values opened${left}`
  } catch (error) {
    const { message } = described(signal.aborted ? signal.reason : error)
    await records.rehearsed({ backup: name, values: 0, reason: message }).catch(() => {})
    throw error
  }
}

/** The newest backup: the one that the server made last, unless there is a later one. Rejects with `no_backup`. */
async function newestOf({ target, memory, job }: RehearsalParts): Promise<TargetObject> {
  const objects = await target.list()
  const found = await job.newest(objects)
  const known = memory.newest
  if (known === undefined || (found && isLater(found, known))) {
    if (found) return found
    throw new SottoError('no_backup', `There is no backup in ${target.description} to rehearse`)
  }
  const there = objects.find(({ name }) => name === known.name)
  if (there) return there
  throw new SottoError(
    'no_backup',
    `The backup ${known.name}, the newest that was made, is not in ${target.description} any more`,
    { hint: 'Find out who deleted it; `sotto backup create` makes another.' },
  )
}

/**
 * Restores a backup in a thread of its own, opens every value of what came back, and destroys it. Resolves with
 * their number, and with what is inside. The keys are asked here, for the root key of this very backup, which must
 * be that of the store.
 */
async function prove(
  { store, keyring, directory, providers, target, memory }: RehearsalParts,
  backup: TargetObject,
  signal: AbortSignal,
): Promise<{
  readonly values: number
  readonly found: OwnBackup
  readonly stuck: readonly string[]
}> {
  const head = await peekBackup(objectSource(target, backup))
  await refuseFullDisk(backup.name, head.contentBytes, directory).catch(unusable(directory))
  const { rootKey, wrap } = await openRootKey(await providers(), head.wraps, head.storeId)
  try {
    const made = makeScratch(directory, store.identity.id)
    await using scratch = await made.catch(unusable(directory))
    const { provider, fingerprint } = wrap
    const to = join(scratch.path, 'state')
    const root = keyring.rootFingerprint
    const given: Rehearsed = {
      place: target.place,
      backup,
      to,
      provider,
      fingerprint,
      rootKey,
      root,
    }
    const { values, manifest } = await askThread<RehearsedBackup>(script, given, {
      name: 'rehearsal',
      env: process.env,
      signal,
    })
    const found = ownOf(backup, manifest)
    refuseAnother(found, memory)
    return { values, found, stuck: scratch.stuck }
  } finally {
    rootKey.fill(0)
  }
}

/** What is inside a backup must be what the server knows that it wrote under that name. */
function refuseAnother(found: OwnBackup, { newest }: Pick<BackupMemory, 'newest'>): void {
  if (newest?.name !== found.name || newest.logged === undefined) return
  const same =
    newest.created === found.created &&
    newest.branch === found.branch &&
    newest.revision === found.revision &&
    newest.logged === found.logged
  if (!same) throw damaged(found.name, 'it is another backup than the server made under that name')
}

/** The system's error about the folder for rehearsals, as a sentence. */
function unusable(directory: string): (error: unknown) => never {
  return (error) => {
    throw systemError(error, 'restore backups for a while in', directory)
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
