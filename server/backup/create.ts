/** Makes a backup of a store while it serves: one snapshot, and the audit log since an earlier backup. */
import type { Receipt } from '../../audit/record.ts'
import { SottoError } from '../../client/api/errors.ts'
import type { Keyring } from '../crypto/keyring.ts'
import { described } from '../../client/platform/system-error.ts'
import { askThread, threadScript } from '../platform/thread.ts'
import { version } from '../platform/version.ts'
import type { Snapshot, Store } from '../store/contract.ts'
import type { BackupDraft, CreatedBackup } from './create-thread.ts'
import { BACKUP_FORMAT } from './head.ts'
import { backupName } from './name.ts'
import { OpenedBackup } from './open.ts'
import { OwnBackups } from './own.ts'
import { keyringKeys, objectSource } from './source.ts'
import type { BackupTarget, Progress, TargetObject } from './targets/target.ts'

export type { CreatedBackup } from './create-thread.ts'

/** What a backup is made of. */
export interface CreateParts {
  readonly store: Store
  readonly keyring: Keyring
  /** The folder of the audit log. */
  readonly auditDirectory: string
  /** The last durable record of the log; id 0 where there is none. */
  readonly logHead: () => Receipt
  readonly target: BackupTarget
  /** What the target lists now. Absent: it is asked. */
  readonly objects?: readonly TargetObject[]
  /** What is known of them. Absent: nothing is. */
  readonly own?: OwnBackups
  readonly records: BackupRecords
  /** Takes the whole log, and not only what no earlier backup has. */
  readonly wholeLog?: boolean
  /** Whether this process serves no requests meanwhile, so that nothing has to go first. */
  readonly alone?: boolean
  readonly clock?: () => Date
  readonly signal?: AbortSignal
  readonly progress?: Progress
}

/** How a backup is recorded in the audit log. */
export interface BackupRecords {
  /**
   * Resolves when a record of the backup `name`, which is under the root key of that fingerprint, is durable;
   * the backup is not made where it rejects.
   */
  announce(name: string, root: string): Promise<void>
  /** The backup that was announced will not exist. Never rejects. */
  abandon(reason: string): Promise<void>
}

const script = threadScript('server/backup/create-thread')

/** How long a thread that is aborted may remove what it put: as long as one call to S3 for that. */
const GRACE_MS = 10_000

/**
 * Makes a backup and puts it into its target. When it rejects, no backup is there: with what the
 * store, the log or the target reject with, and with the reason of the signal. What a target has of a
 * backup that a process or thread died of is removed by the first put after a day.
 */
export async function createBackup(parts: CreateParts): Promise<CreatedBackup> {
  const { store, target, keyring, auditDirectory, records, progress, clock } = parts
  const { signal = new AbortController().signal } = parts
  // First: where the target does not work, nothing was done in vain.
  const objects = parts.objects ?? (await target.list())
  const earlier = parts.wholeLog === true ? undefined : await followed(parts, objects)
  // Before the snapshot: no record up to here has a revision that the snapshot does not have.
  const known = parts.logHead()
  const root = keyring.rootFingerprint
  await using snapshot = await store.snapshot({
    signal,
    ...(progress && { progress: (done, total) => progress('copying the store', done, total) }),
  })
  const created = (clock?.() ?? new Date()).toISOString()
  const { path, bytes, head, wraps } = snapshot
  const last = head.audit !== null && head.audit.id > known.id ? head.audit : known
  const name = backupName({ created, storeId: store.identity.id, revision: head.revision })
  const draft: BackupDraft = {
    place: target.place,
    name,
    yields: parts.alone !== true,
    head: { wraps, root },
    manifest: {
      format: BACKUP_FORMAT,
      program: version,
      store: storeOf(parts, snapshot),
      created,
      notes: {},
    },
    store: { path, bytes },
    log: { directory: auditDirectory, last, earlier },
  }
  let announced = false
  try {
    return await askThread(script, draft, {
      name: 'backup',
      // Credentials of a bucket may be in it.
      env: process.env,
      signal,
      graceMs: GRACE_MS,
      progress: (done, total) => progress?.('writing', done, total),
      // Without the record there is no key, so nothing is put before the record is durable.
      reply: async (headHash: string) => {
        await records.announce(name, root)
        announced = true
        const isSameRoot =
          keyring.rootNumber === snapshot.rootNumber && keyring.rootFingerprint === root
        if (isSameRoot) return keyring.newFileKey(headHash)
        // The wraps of the snapshot would not open what this root key seals.
        throw new SottoError(
          'conflict',
          `Cannot back up ${name}: the root key was rotated meanwhile`,
        )
      },
    })
  } catch (error) {
    if (announced) await records.abandon(described(error).message)
    throw error
  }
}

function storeOf(
  { store, keyring }: CreateParts,
  snapshot: Snapshot,
): BackupDraft['manifest']['store'] {
  const { id, development, createdAt, branch } = store.identity
  const known = new Map(keyring.fingerprints().map((each) => [each.id, each.fingerprint]))
  const { schema, counts } = snapshot
  const { revision, audit } = snapshot.head
  // A fingerprint is unknown here only where the entry came or went while this was made.
  const keys = snapshot.keys.map((key) => ({
    id: key.id,
    state: key.state,
    fingerprint: known.get(key.id) ?? '',
  }))
  return { id, development, createdAt, schema, branch, revision, audit, counts, keys }
}

/**
 * The backup of this branch that has the records before: the first one of the newest day that has any. So each day
 * adds one link to the chain, and the others of a day can go.
 */
async function followed(
  {
    store,
    target,
    keyring,
    own = new OwnBackups({ target, keyring, identity: store.identity }),
  }: CreateParts,
  objects: readonly TargetObject[],
): Promise<BackupDraft['log']['earlier']> {
  const newest = await own.newest(objects)
  const first = newest && (await own.firstOfDay(objects, newest))
  if (first === undefined) return undefined
  try {
    const source = objectSource(target, first)
    await using opened = await OpenedBackup.open(source, keyringKeys(keyring))
    const last = opened.manifest.log?.last
    return last && { name: first.name, last }
  } catch {
    // What cannot be read cannot be built on: this backup then has the whole log.
    return undefined
  }
}
