/** Makes a backup of a store while it serves: one snapshot, and the audit log since an earlier backup. */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { planCopy, readStart } from '../../audit/copy.ts'
import { type FileSystem, nodeFiles } from '../../audit/files.ts'
import { findRecord } from '../../audit/log.ts'
import type { Receipt } from '../../audit/record.ts'
import { asSottoError } from '../../client/api/errors.ts'
import type { Keyring } from '../crypto/keyring.ts'
import type { Snapshot, Store } from '../store/contract.ts'
import { version } from '../platform/version.ts'
import { type Piece, sealBackup } from './file.ts'
import { type Manifest, STORE_PART } from './manifest.ts'
import { backupName, parseName } from './name.ts'
import { OpenedBackup } from './open.ts'
import { keyringKeys, targetSource } from './source.ts'
import type { BackupTarget } from './targets/target.ts'

/** How far a long piece of work is. */
export type Progress = (step: string, done: number, total: number) => void

/** What a backup is made of. */
export interface CreateParts {
  readonly store: Store
  readonly keyring: Keyring
  /** The folder of the audit log. */
  readonly auditDirectory: string
  /** The last durable record of the log; id 0 where there is none. */
  readonly logHead: () => Receipt
  readonly target: BackupTarget
  readonly records: BackupRecords
  /** Takes all of the log, and not only what no earlier backup has. */
  readonly wholeLog?: boolean
  readonly clock?: () => Date
  /** Breaks it off. */
  readonly signal?: AbortSignal
  readonly progress?: Progress
  readonly auditFiles?: FileSystem
}

/** How a backup is told on the audit log. */
export interface BackupRecords {
  /** Resolves when a record of the backup `name` is durable; the backup is not made where it rejects. */
  announce(name: string): Promise<void>
  /** The backup that was announced does not come to be. Never rejects. */
  abandon(reason: string): Promise<void>
}

/** A backup that is in its target, whole. */
export interface CreatedBackup {
  readonly name: string
  /** In bytes. */
  readonly size: number
  readonly manifest: Manifest
}

/**
 * Makes a backup and puts it into its target. When it rejects, no backup is there: with what the
 * store, the log or the target reject with, and with `local` when it was broken off.
 */
export async function createBackup(parts: CreateParts): Promise<CreatedBackup> {
  const { store, target, records, signal, progress, clock = () => new Date() } = parts
  // First: where the target does not work, nothing was done in vain.
  const earlier = await followed(parts)
  // Before the snapshot: no record up to here tells of a revision that the snapshot does not have.
  const known = parts.logHead()
  await using snapshot = await store.snapshot({
    ...(signal && { signal }),
    ...(progress && {
      progress: (done: number, total: number) => progress('copying the store', done, total),
    }),
  })
  const created = clock().toISOString()
  const name = backupName({ created, storeId: store.identity.id, revision: snapshot.head.revision })
  const log = await logSince(parts, earlier, newer(known, snapshot.head.audit))
  const pieces = [storePiece(snapshot), ...log.pieces]
  const manifest: Manifest = {
    format: 1,
    program: version,
    store: storeOf(parts, snapshot),
    created,
    log: log.range,
    follows: log.follows,
    parts: await Promise.all(pieces.map(described)),
  }
  const sealed = sealBackup(parts.keyring, snapshot.wraps, manifest, pieces)
  await records.announce(name)
  try {
    const content = counted(sealed.bytes(), (done) => progress?.('writing', done, sealed.size))
    await target.put({ name, size: sealed.size, content, ...(signal && { signal }) })
  } catch (error) {
    await records.abandon(asSottoError(error).message)
    throw error
  }
  return { name, size: sealed.size, manifest }
}

function storeOf({ store, keyring }: CreateParts, snapshot: Snapshot): Manifest['store'] {
  const { id, development, createdAt } = store.identity
  const known = new Map(keyring.fingerprints().map((each) => [each.id, each.fingerprint]))
  const { head, schema, counts, keys } = snapshot
  return {
    id,
    development,
    createdAt,
    schema,
    revision: head.revision,
    audit: head.audit && { ...head.audit },
    counts: { ...counts },
    keys: keys.map((key) => ({
      id: key.id,
      state: key.state,
      // Unknown here only where the entry came or went while this was made.
      fingerprint: known.get(key.id) ?? '',
    })),
  }
}

function storePiece({ path, bytes }: Snapshot): Piece {
  return { name: STORE_PART, size: bytes, read: () => readStart(path, bytes) }
}

interface LogPart {
  readonly range: Manifest['log']
  readonly follows: string | null
  readonly pieces: readonly Piece[]
}

/** The log up to `last`: since the backup that this one follows, or all of it. */
async function logSince(
  { auditDirectory, auditFiles = nodeFiles }: CreateParts,
  earlier: Followed | undefined,
  last: Receipt,
): Promise<LogPart> {
  if (last.id === 0) return { range: null, follows: null, pieces: [] }
  const plan = await planCopy(auditDirectory, { after: earlier?.last ?? 0, last }, auditFiles)
  return {
    range: { after: { ...plan.after }, last: { ...plan.last } },
    follows: earlier?.name ?? null,
    pieces: plan.segments.map(({ name, bytes }) => ({
      name: `audit/${name}`,
      size: bytes,
      read: () => readStart(join(auditDirectory, name), bytes, auditFiles),
    })),
  }
}

/** An earlier backup, and the last record that it has. */
interface Followed {
  readonly name: string
  readonly last: number
}

/**
 * The backup that has the records before: the first one of the newest day that has any. So each day
 * adds one link to the chain, and the others of a day can go.
 */
async function followed(parts: CreateParts): Promise<Followed | undefined> {
  const { store, target, keyring, auditDirectory, auditFiles } = parts
  const objects = await target.list()
  if (parts.wholeLog === true) return undefined
  const names = objects
    .map(({ name }) => name)
    .filter((name) => parseName(name)?.storeId === store.identity.id)
  const day = dayOf(names.at(-1))
  const name = names.find((each) => dayOf(each) === day)
  if (name === undefined) return undefined
  try {
    await using opened = await OpenedBackup.open(
      await targetSource(target, name),
      keyringKeys(keyring),
    )
    const last = opened.manifest.log?.last
    const found = last && (await findRecord(auditDirectory, last.id, auditFiles))
    return last && found?.hash === last.hash ? { name, last: last.id } : undefined
  } catch {
    // What cannot be read cannot be built on: this backup then has all of the log.
    return undefined
  }
}

function dayOf(name: string | undefined): string | undefined {
  return name === undefined ? undefined : parseName(name)?.created.slice(0, 10)
}

function newer(one: Receipt, other: Receipt | null): Receipt {
  return other !== null && other.id > one.id ? other : one
}

async function described(piece: Piece): Promise<Manifest['parts'][number]> {
  const hash = createHash('sha256')
  for await (const bytes of piece.read()) hash.update(bytes)
  return { name: piece.name, size: piece.size, sha256: hash.digest('hex') }
}

async function* counted(
  pieces: AsyncIterable<Uint8Array>,
  tell: (done: number) => void,
): AsyncGenerator<Uint8Array> {
  let done = 0
  for await (const piece of pieces) {
    yield piece
    done += piece.byteLength
    tell(done)
  }
}
