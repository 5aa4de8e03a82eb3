/**
 * Makes a store out of a backup, in an empty directory. What was given since the backup is not given
 * again: version numbers go on after the highest that the audit log tells, or pass over a thousand;
 * ids of audit records pass over a billion. The log says what happened, and the store remembers it.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, rename, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { AuditLog } from '../../../audit/log.ts'
import type { Receipt } from '../../../audit/record.ts'
import { quote, SottoError } from '../../../client/api/errors.ts'
import { madeStateDirectory, type StateDirectory } from '../../store/directory.ts'
import { lockDirectory } from '../../store/lock.ts'
import { reviveStore } from '../../store/sqlite/revive.ts'
import type { Progress } from '../targets/target.ts'
import { type LostChanges, lostChangesOf } from './lost-changes.ts'
import { gatherLog, survivingLog } from './restored-log.ts'
import { type Manifest, STORE_PART } from '../manifest.ts'
import { OpenedBackup } from '../open.ts'
import type { BackupKeys, BackupSource } from '../source.ts'
import { type ProvenStore, provenStore, unpack } from './verify.ts'
import { sync } from '../../platform/durable.ts'

/** Version numbers of each name that are passed over where no log tells which were given. */
export const NUMBERS_SKIPPED = 1000

/** Ids of audit records that are passed over then: more than a busy server writes in a day. */
const IDS_SKIPPED = 1_000_000_000

/** What a store is restored with. */
export interface RestoreParts {
  readonly source: BackupSource
  readonly keys: BackupKeys
  /** The state directory to be: absent or empty. */
  readonly to: string
  /** Who works on the files, for the audit log. */
  readonly operator: string
  /** The folder of the audit log of the same store, where it survived. */
  readonly audit?: string
  /** Gives the earlier backups that have the log before, by name. Absent: that part is left out. */
  readonly earlier?: (name: string) => Promise<BackupSource | undefined>
  readonly clock?: () => Date
  readonly progress?: Progress
  readonly signal?: AbortSignal
}

/** A store that came back. */
export interface RestoredStore {
  readonly to: string
  readonly backup: string
  readonly manifest: Manifest
  /** The key that opened the backup. */
  readonly openedWith: string | undefined
  /** Its revision now: the restore is one. */
  readonly revision: number
  /** Version numbers of each name that were passed over; 0 where the log told those that were given. */
  readonly skipped: number
  /** The record that the log which came back begins behind; id 0: it is whole. */
  readonly logAfter: Receipt
  /** Changes that the log tells of and that did not come back. */
  readonly lost: LostChanges['lost']
}

/**
 * Restores a backup. Resolves with 'finished' where an earlier restore into the same directory was
 * complete but for its last step, which is made now. Rejects with `store_exists` when the directory
 * has anything else in it, as `verifyBackup` for the backup, with `audit_cut`, `audit_damaged` or
 * `store_foreign` for a log that is not the one behind the backup, and with `local`. Until it
 * resolves there is no store in the directory, whenever it is cut short.
 */
export async function restoreBackup(parts: RestoreParts): Promise<RestoredStore | 'finished'> {
  return restoreInto(parts.to, (draft) => build(parts, draft))
}

/**
 * Makes the directory `to` a state directory of what `fill` puts into an empty directory: at once,
 * and whenever it is cut short, not at all or to be finished by the next call.
 */
export async function restoreInto<T>(
  to: string,
  fill: (draft: string) => Promise<T>,
): Promise<T | 'finished'> {
  const state = madeStateDirectory(to)
  const lock = lockDirectory(state.path)
  try {
    if (state.restoring.some((name) => name.endsWith('.ready'))) {
      await publish(state, state.restoring)
      return 'finished'
    }
    refuseOccupied(state)
    for (const name of state.restoring) await rm(join(state.path, name), { recursive: true })
    const draft = `restore.${randomBytes(4).toString('hex')}.partial`
    try {
      await mkdir(join(state.path, draft), { mode: 0o700 })
      const restored = await fill(join(state.path, draft))
      const ready = draft.replace(/partial$/, 'ready')
      await rename(join(state.path, draft), join(state.path, ready))
      await publish(state, [ready])
      return restored
    } catch (error) {
      await rm(join(state.path, draft), { recursive: true, force: true }).catch(() => {})
      throw error
    }
  } finally {
    lock.release()
  }
}

/** Builds the whole state in the directory `draft`. */
async function build(parts: RestoreParts, draft: string): Promise<RestoredStore> {
  const { source, keys } = parts
  const audit = join(draft, 'audit')
  await using backup = await OpenedBackup.open(source, keys)
  await unpack(backup, draft, parts)
  const { name, manifest } = backup
  await using proven = await provenStore(backup, draft, keys, parts)
  const logAfter =
    parts.audit === undefined
      ? await gatherLog(backup, audit, parts)
      : await survivingLog(parts.audit, audit, manifest)
  const { openedWith } = keys
  return await goOn({ ...parts, exact: parts.audit !== undefined }, draft, {
    name,
    manifest,
    openedWith,
    logAfter,
    proven,
  })
}

/** What a store goes on from. */
export interface Origin {
  /** Names what it came from. */
  readonly name: string
  readonly manifest: Manifest
  readonly openedWith: string | undefined
  /** The record that its log begins behind. */
  readonly logAfter: Receipt
  /** The store in the draft; it is closed. */
  readonly proven: Pick<ProvenStore, 'store' | 'keyring'> & AsyncDisposable
}

/** How it goes on. */
export interface GoingOn extends Pick<RestoreParts, 'to' | 'operator' | 'clock'> {
  /** Whether the log tells every number that was given. */
  readonly exact: boolean
}

/** Makes the store and the log in `draft` go on as those that were lost. */
export async function goOn(
  { to, operator, clock = () => new Date(), exact }: GoingOn,
  draft: string,
  { name, manifest, openedWith, logAfter, proven }: Origin,
): Promise<RestoredStore> {
  const audit = join(draft, 'audit')
  const lostChanges = await lostChangesOf(audit, proven.store, manifest)
  const skipped = exact ? 0 : NUMBERS_SKIPPED
  const last = Math.max(manifest.store.revision, lostChanges.revision)
  const revision = last + skipped + 1
  const entry = { backup: name, taken: manifest.store.revision, skipped, operator } as const
  const mark = await tellRestore(audit, manifest, lostChanges, {
    entry: { kind: 'restore', ...entry },
    revision: last,
    // Where no part of the log is left, it begins behind the newest record that the store knows.
    skipIds: exact
      ? 0
      : IDS_SKIPPED + (manifest.log === null ? (manifest.store.audit?.id ?? 0) : 0),
    clock,
  })
  const { keyring, store } = proven
  const floor = (store.identity.restored?.floor ?? 0) + skipped
  await proven[Symbol.asyncDispose]()
  reviveStore(join(draft, STORE_PART), {
    mark,
    revision,
    restored: {
      backup: name,
      takenAt: manifest.created,
      takenRevision: manifest.store.revision,
      floor,
      by: operator,
      at: clock().toISOString(),
    },
    skip: skipped,
    given: lostChanges.given,
    mac: (row) => keyring.mac(row),
  })
  await sync(audit)
  await sync(draft)
  const { lost } = lostChanges
  return { to, backup: name, manifest, openedWith, revision, skipped, logAfter, lost }
}

/** Records the restore, and what it undid, on the log that goes on. Resolves with its record. */
async function tellRestore(
  directory: string,
  { store: { id: logId } }: Manifest,
  { lost }: LostChanges,
  how: {
    readonly entry: Parameters<AuditLog['append']>[0]
    readonly revision: number
    readonly skipIds: number
    readonly clock: () => Date
  },
): Promise<Receipt> {
  const { entry, skipIds, clock } = how
  const revision = (): number => how.revision
  await using log = await AuditLog.open({ directory, logId, revision, skipIds, clock })
  const receipt = await log.append(entry)
  const reason = 'the store was restored from a backup that does not have it'
  for (let at = 0; at < lost.length; at += 1000) {
    const some = lost.slice(at, at + 1000)
    await Promise.all(some.map(({ id }) => log.append({ kind: 'abandoned', of: id, reason })))
  }
  return receipt
}

/** Puts a state that is complete in its place: the store last, for without it there is none. */
async function publish(state: StateDirectory, drafts: readonly string[]): Promise<void> {
  await sync(state.path)
  for (const name of drafts) {
    const draft = join(state.path, name)
    if (!name.endsWith('.ready')) {
      await rm(draft, { recursive: true })
      continue
    }
    for (const each of ['audit', STORE_PART]) {
      await rename(join(draft, each), join(state.path, each)).catch(unlessGone)
      await sync(state.path)
    }
    await rmdir(draft)
  }
  await sync(state.path)
}

/** It was moved before the earlier run was cut short. */
function unlessGone(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
}

function refuseOccupied(state: StateDirectory): void {
  const { path, empty, restoring, entries } = state
  if (empty || restoring.length === entries.length) return
  throw new SottoError('store_exists', `Cannot restore into ${quote(path)}: it is not empty`, {
    hint: 'A store is never replaced. Give an empty directory, or move what is there away.',
  })
}
