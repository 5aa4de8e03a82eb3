/**
 * The thread that describes, seals and writes a backup, and ends. In the thread that serves, hashing and
 * sealing would hold up every request.
 */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { planCopy, readStart } from '../../audit/copy.ts'
import { findRecord } from '../../audit/recovery.ts'
import type { Receipt } from '../../audit/record.ts'
import type { Wrap } from '../crypto/root-key.ts'
import { answerQuestion, type Asker, yieldToOthers } from '../platform/thread.ts'
import { type NewFileKey, type Piece, sealBackup } from './file.ts'
import { type Manifest, STORE_PART } from './manifest.ts'
import { targetAt } from './targets/place.ts'
import type { BackupPlace } from './targets/target.ts'

/** What the thread is started with. It asks for the file key, with the hash of the head, when it can seal. */
export interface BackupDraft {
  readonly place: BackupPlace
  readonly name: string
  /** Whether the processor is left to other threads first: those that serve. */
  readonly yields: boolean
  readonly wraps: readonly Wrap[]
  /** The manifest without what is found by reading. */
  readonly manifest: Omit<Manifest, 'log' | 'follows' | 'parts'>
  /** The copy of the store. */
  readonly store: { readonly path: string; readonly bytes: number }
  readonly log: {
    readonly directory: string
    /** The last record that the backup has; id 0 where the log has none. */
    readonly last: Receipt
    /** The backup to follow, and the last record that it has; absent: the whole log is taken. */
    readonly earlier: { readonly name: string; readonly last: Receipt } | undefined
  }
}

/** A backup that is in its target, whole. */
export interface CreatedBackup {
  readonly name: string
  /** In bytes. */
  readonly size: number
  readonly manifest: Manifest
}

async function write(draft: BackupDraft, asker: Asker): Promise<CreatedBackup> {
  if (draft.yields) yieldToOthers()
  const { name, place, wraps, store } = draft
  const { signal } = asker
  const { pieces: segments, ...log } = await logSince(draft.log)
  const read = () => readStart(store.path, store.bytes)
  const pieces = [{ name: STORE_PART, size: store.bytes, read }, ...segments]
  const parts: Manifest['parts'] = []
  for (const piece of pieces) parts.push(await described(piece, signal))
  const manifest: Manifest = { ...draft.manifest, ...log, parts }
  const newFileKey = (headHash: string) => asker.ask(headHash) as Promise<NewFileKey>
  const sealed = await sealBackup(newFileKey, wraps, manifest, pieces)
  const { size } = sealed
  const content = counted(sealed.bytes(), (done) => asker.progress(done, size))
  await targetAt(place).put({ name, size, content, signal })
  return { name, size, manifest }
}

/** The log up to `last`: since the backup that this one follows, or all of it. */
async function logSince({ directory, last, earlier }: BackupDraft['log']) {
  if (last.id === 0) return { log: null, follows: null, pieces: [] }
  const followed = earlier && (await isIn(directory, earlier.last)) ? earlier : undefined
  const plan = await planCopy(directory, { after: followed?.last.id ?? 0, last })
  return {
    log: { after: plan.after, last },
    follows: followed?.name ?? null,
    pieces: plan.segments.map(({ name, bytes }) => ({
      name: `audit/${name}`,
      size: bytes,
      read: () => readStart(join(directory, name), bytes),
    })),
  }
}

/** Whether a record is in the log; a log that cannot be read that far is not built on. */
async function isIn(directory: string, { id, hash }: Receipt): Promise<boolean> {
  const found = await findRecord(directory, id).catch(() => undefined)
  return found?.hash === hash
}

async function described(piece: Piece, signal: AbortSignal): Promise<Manifest['parts'][number]> {
  const hash = createHash('sha256')
  for await (const bytes of piece.read()) {
    signal.throwIfAborted()
    hash.update(bytes)
  }
  return { name: piece.name, size: piece.size, sha256: hash.digest('hex') }
}

async function* counted(
  pieces: AsyncIterable<Uint8Array>,
  report: (done: number) => void,
): AsyncGenerator<Uint8Array> {
  let done = 0
  for await (const piece of pieces) {
    yield piece
    done += piece.byteLength
    report(done)
  }
}

await answerQuestion(write)
