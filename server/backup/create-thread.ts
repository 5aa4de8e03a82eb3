/**
 * The thread that seals and writes a backup, and ends. In the thread that serves, sealing would hold up every request.
 */
import { join } from 'node:path'
import { planCopy, readStart } from '../../audit/copy.ts'
import { findBatchEnd, findRecord } from '../../audit/recovery.ts'
import type { Receipt } from '../../audit/record.ts'
import { answerQuestion, type Asker, yieldToOthers } from '../platform/thread.ts'
import { type NewFileKey, sealBackup } from './file.ts'
import type { Head } from './head.ts'
import { type Manifest, STORE_PART } from './manifest.ts'
import { targetAt } from './targets/place.ts'
import type { BackupPlace } from './targets/target.ts'

/** What the thread is started with. It asks for the file key, with the hash of the head, when it can seal. */
export interface BackupDraft {
  readonly place: BackupPlace
  readonly name: string
  /** Whether the processor is left to other threads first: those that serve. */
  readonly yields: boolean
  readonly head: Pick<Head, 'wraps' | 'root'>
  /** The manifest without what is found by reading. */
  readonly manifest: Omit<Manifest, 'log' | 'follows' | 'parts'>
  /** The copy of the store. */
  readonly store: { readonly path: string; readonly bytes: number }
  readonly log: {
    readonly directory: string
    /** The last record that the backup has at least; id 0 where the log has none. */
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
  /** The fingerprint of the root key that it is under. */
  readonly root: string
}

async function write(draft: BackupDraft, asker: Asker): Promise<CreatedBackup> {
  if (draft.yields) yieldToOthers()
  const { name, place, head, store } = draft
  const { signal } = asker
  const { pieces: segments, ...log } = await logSince(draft.log)
  const read = () => readStart(store.path, store.bytes)
  const pieces = [{ name: STORE_PART, size: store.bytes, read }, ...segments]
  const parts = pieces.map((each) => ({ name: each.name, size: each.size }))
  const manifest: Manifest = { ...draft.manifest, ...log, parts }
  const newFileKey = (headHash: string) => asker.ask(headHash) as Promise<NewFileKey>
  const sealed = await sealBackup(newFileKey, head, manifest, pieces)
  const { size } = sealed
  const content = counted(sealed.bytes(), (done) => asker.progress(done, size))
  await targetAt(place).put({ name, size, content, signal })
  return { name, size, manifest, root: head.root }
}

/** The log up to `last`: since the backup that this one follows, or all of it. */
async function logSince({ directory, last: known, earlier }: BackupDraft['log']) {
  if (known.id === 0) return { log: null, follows: null, pieces: [] }
  // Nothing in the rest of the batch knows of a later revision: it was written before its changes were committed.
  const last = (await findBatchEnd(directory, known)) ?? known
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
