/** The job that proves backups: the newest one is restored to a temporary place, opened whole, and destroyed there. */
import { mkdir, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { asSottoError, SottoError } from '../../client/api/errors.ts'
import type { Manifest } from '../backup/manifest.ts'
import { ownBackups } from '../backup/name.ts'
import { OpenedBackup } from '../backup/open.ts'
import { restoreBackup } from '../backup/restore.ts'
import { type BackupSource, providerKeys } from '../backup/source.ts'
import type { BackupTarget } from '../backup/target.ts'
import type { KeyProvider } from '../crypto/provider.ts'
import type { Gate } from '../secrets/gate.ts'
import { openKeyring } from '../secrets/wraps.ts'
import { openValues } from '../backup/verify.ts'
import type { Store } from '../store/contract.ts'
import { stateDirectory } from '../store/directory.ts'
import { openStore } from '../store/sqlite/store.ts'
import type { BackupMemory } from './backup-memory.ts'
import type { Job, Run } from './scheduler.ts'

/** What backups are proven with. */
export interface RehearsalParts {
  readonly store: Store
  readonly gate: Gate
  readonly target: BackupTarget
  readonly memory: BackupMemory
  /** Gives the keys that are at hand: those that would open the store after a disaster. */
  readonly providers: () => Promise<KeyProvider[]>
  /** Where backups are restored to, in a directory of their own that is made and removed. */
  readonly directory: string
  readonly everyMs: number
  readonly clock: () => Date
}

/** Its name, and that of its principal behind `system:`. */
export const REHEARSAL_JOB = 'rehearsal'

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
  const source = { name, size, read: () => target.get(name) }
  try {
    const values = await prove(parts, source, signal)
    await records.rehearsed({ backup: name, values })
    await memory.noteProven({ name, size, created, values, at: clock().toISOString() })
    return `${name} was restored and all of its ${values} values opened`
  } catch (error) {
    const { message } = asSottoError(signal.aborted ? signal.reason : error)
    await records.rehearsed({ backup: name, values: 0, reason: message }).catch(() => {})
    throw error
  }
}

/** Restores a backup, opens every value of what came back, and destroys it. Resolves with their number. */
async function prove(
  { directory, providers }: RehearsalParts,
  source: BackupSource,
  signal: AbortSignal,
): Promise<number> {
  const scratch = join(directory, 'rehearsal')
  // What is there was left by a process that ended first.
  await rm(scratch, { recursive: true, force: true })
  try {
    const atHand = await providers()
    using keys = providerKeys(atHand)
    await refuseFullDisk(source, keys, directory)
    await mkdir(scratch, { mode: 0o700 })
    const to = join(scratch, 'state')
    const operator = `system:${REHEARSAL_JOB}`
    const restored = await restoreBackup({ source, keys, to, operator, signal })
    if (restored === 'finished') throw new Error('a restore into a new directory had begun before')
    return await openWhole(to, restored.manifest, atHand, signal)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

async function refuseFullDisk(
  source: BackupSource,
  keys: ReturnType<typeof providerKeys>,
  directory: string,
): Promise<void> {
  await using backup = await OpenedBackup.open(source, keys)
  const needed = ROOM * backup.manifest.parts.reduce((sum, { size }) => sum + size, 0)
  const { bavail, bsize } = await statfs(directory)
  if (bavail * bsize >= needed) return
  throw new SottoError(
    'local',
    `Cannot restore ${source.name} in ${directory}: that needs ${needed} bytes, and ${bavail * bsize} are free`,
    { hint: 'Free space there, or name another directory with --rehearse-in.' },
  )
}

/** Opens what was restored as a server would. Resolves with the number of its values. */
async function openWhole(
  path: string,
  manifest: Manifest,
  providers: readonly KeyProvider[],
  signal: AbortSignal,
): Promise<number> {
  await using restored = new AsyncDisposableStack()
  const store = await openStore(stateDirectory(path).store)
  restored.defer(() => store.close())
  const { keyring, rootKey } = await openKeyring(store.identity.id, await store.keys(), providers)
  rootKey.fill(0)
  const values = await openValues(store, keyring, manifest, () => signal.throwIfAborted())
  const due = manifest.store.counts.versions
  if (values === due) return values
  throw new SottoError('backup_damaged', `${values} values were restored where ${due} are due`)
}
