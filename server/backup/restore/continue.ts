/**
 * Makes a store that came back continue as the one that was lost. Nothing that was given since is given again:
 * version numbers continue after the highest in the audit log, or skip a thousand; ids of audit records skip a
 * billion. The log records the restore, and the store remembers that record. It is another branch from then on: two
 * restores of one backup are two.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { AuditLog } from '../../../audit/log.ts'
import { sync } from '../../../client/platform/durable.ts'
import { StoreMacs } from '../../gate/store-macs.ts'
import { reviveStore } from '../../store/sqlite/revive.ts'
import { type Manifest, STORE_PART } from '../manifest.ts'
import { type LostChanges, lostChangesOf } from './lost-changes.ts'
import type { ProvenStore } from './verify.ts'

/** Version numbers of each name that are skipped where no log says which were given. */
export const NUMBERS_SKIPPED = 1000

/** Ids of audit records that are skipped then: more than a busy server writes in a day. */
const IDS_SKIPPED = 1_000_000_000

/** A store and a log in a draft, proven. */
export interface Draft {
  readonly path: string
  /** Names what it came from. */
  readonly backup: string
  readonly manifest: Manifest
  /** The store; it is closed. */
  readonly proven: Pick<ProvenStore, 'store' | 'keyring'> & AsyncDisposable
}

/** How the store continues. */
export interface Continuing {
  /** Who works on the files, for the audit log. */
  readonly operator: string
  readonly clock?: () => Date
  /** Aborts it before anything is changed. */
  readonly signal?: AbortSignal
  /** Whether the log has every number that was given. */
  readonly exact: boolean
  /** The fingerprint of the root key that it came back under. */
  readonly root: string
}

/** Where a store continues. */
export interface Continued {
  /** Its revision now: the restore is one. */
  readonly revision: number
  /** Version numbers of each name that were skipped; 0 where the log had those that were given. */
  readonly skipped: number
  /** The branch that the store is now. */
  readonly branch: string
  /** Changes that are in the log and did not come back. */
  readonly lost: LostChanges['lost']
}

/** Makes the store and the log of `draft` continue as those that were lost. */
export async function continueStore(
  { path, backup, manifest, proven }: Draft,
  { operator, clock = () => new Date(), signal, exact, root }: Continuing,
): Promise<Continued> {
  const { store, keyring } = proven
  const audit = join(path, 'audit')
  const changes = await lostChangesOf(audit, store, manifest, signal)
  signal?.throwIfAborted()
  const taken = manifest.store.revision
  const skipped = exact ? 0 : NUMBERS_SKIPPED
  const revision = Math.max(taken, changes.revision)
  // Where no part of the log is left, it begins after the newest record that the store knows.
  const known = manifest.log === null ? (manifest.store.audit?.id ?? 0) : 0
  const branch = randomBytes(8).toString('hex')
  const opened: { macs?: StoreMacs } = {}
  await using log = await AuditLog.open({
    macs: { keys: keyring, branch, from: () => opened.macs?.from ?? 0 },
    accept: async (found) =>
      void (opened.macs = await StoreMacs.open(store, keyring, found, { fromBackup: true })),
    directory: audit,
    logId: manifest.store.id,
    revision: () => revision,
    skipIds: exact ? 0 : IDS_SKIPPED + known,
    clock,
  })
  const mark = await log.append({ kind: 'restore', backup, taken, skipped, branch, root, operator })
  await recordLost(log, changes)
  await log.close()
  const floor = (store.identity.restored?.floor ?? 0) + skipped
  const next = revision + skipped + 1
  const restored = {
    backup,
    takenAt: manifest.created,
    takenRevision: taken,
    revision: next,
    floor,
    by: operator,
    at: clock().toISOString(),
    branch,
    former: store.identity.branch,
  }
  const standing = opened.macs?.restored(restored)
  if (standing === undefined) throw new Error('the audit log was opened without a look at it')
  await proven[Symbol.asyncDispose]()
  reviveStore(join(path, STORE_PART), {
    mark,
    restored,
    standing,
    skip: skipped,
    given: changes.given,
    mac: (row) => keyring.mac(row),
  })
  await sync(audit)
  await sync(path)
  return { revision: next, skipped, branch, lost: changes.lost }
}

/** Records what the restore undid. */
async function recordLost(log: AuditLog, { lost }: LostChanges): Promise<void> {
  const reason = 'the store was restored from a backup that does not have it'
  for (let at = 0; at < lost.length; at += 1000) {
    const some = lost.slice(at, at + 1000)
    await Promise.all(some.map(({ id }) => log.append({ kind: 'abandoned', of: id, reason })))
  }
}
