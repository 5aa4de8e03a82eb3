/** The store in one SQLite file, which two threads of its own use: one changes it, one reads it. */
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Worker, type WorkerOptions } from 'node:worker_threads'
import { SottoError } from '../../../client/api/errors.ts'
import { isAbsent, systemError } from '../../../client/platform/system-error.ts'
import { threadScript } from '../../platform/thread.ts'
import type { Snapshot, SnapshotOptions, Store, StoreIdentity } from '../contract.ts'
import { type StoreMetrics, storeMetrics } from '../metrics.ts'
import { asStoreError, foreign } from './faults.ts'
import type { WriterData } from './messages.ts'
import { inspect } from './open.ts'
import { ReadQueue, type Reads, readsOf } from './read-queue.ts'
import type { ReaderData } from './reader-thread.ts'
import { removeOrphans, Snapshots } from './snapshot.ts'
import { WriteQueue, writesOf } from './write-queue.ts'

export { createStore } from './create.ts'

/** How a store is opened. */
export interface OpenOptions {
  /** How long a verb waits for the writer or the reader. Default 5000. */
  readonly waitMs?: number
  /** How long opening may take, the check of the whole file included. Default 600000. */
  readonly openMs?: number
  /** Changes that may wait while others are committed; one more is `overloaded`. Default 1000. */
  readonly maxWaiting?: number
  /** Bytes that the database file may grow to. Default: as many as the disk takes. */
  readonly maxBytes?: number
  readonly metrics?: StoreMetrics
  /** Starts the writer's thread; a test that ends the thread keeps hold of it here. */
  readonly startWriter?: (script: URL, options: WorkerOptions) => Worker
  /** The same for the reader's thread. */
  readonly startReader?: (script: URL, options: WorkerOptions) => Worker
}

const writerScript = threadScript('server/store/sqlite/writer-thread')
const readerScript = threadScript('server/store/sqlite/reader-thread')

/** Rows pass through these threads and are not kept: more room for what dies young only grows the process. */
const threadLimits = { maxYoungGenerationSizeMb: 2 }

/** How long a verb waits where no request does. */
const READ_MS = 60_000

const startWorker = (script: URL, options: WorkerOptions): Worker => new Worker(script, options)

/**
 * Opens the store at `path`, which must exist, and checks the whole file. The caller holds the lock
 * of its directory. Throws SottoError `no_store`, `store_foreign`, `store_newer`, `store_damaged` or
 * `store_unavailable`; then nothing was changed, but for migrations that were finished.
 */
export async function openStore(path: string, options: OpenOptions = {}): Promise<Store> {
  const { waitMs = 5000, openMs = 600_000, maxWaiting = 1000, maxBytes } = options
  const { startWriter = startWorker, startReader = startWorker, metrics = storeMetrics() } = options
  const file = resolve(path)
  const inode = await inodeOf(file)
  const writerData: WriterData = { path: file, maxBytes }
  const readerData: ReaderData = { path: file }
  const common = { env: {}, resourceLimits: threadLimits }
  const writerOptions = { ...common, workerData: writerData, name: 'store-writer' }
  const writer = startWriter(writerScript, writerOptions)
  const readerOptions = { ...common, workerData: readerData, name: 'store-reader' }
  const reader = startReader(readerScript, readerOptions)
  const queue = new WriteQueue(writer, file, { waitMs, maxWaiting }, metrics)
  const reads = new ReadQueue(reader, file, waitMs)
  try {
    await queue.submit('ping', [], openMs)
    await removeOrphans(file)
    const identity = await reads.open(openMs)
    const store = new SqliteStore({ file, inode, queue, reads }, identity)
    // A store whose changes were given up is not read, either.
    const asked = readsOf(reads, () => queue.demandUsable())
    return Object.assign(store, asked, writesOf(queue, metrics))
  } catch (error) {
    await reads.close()
    await queue.close()
    throw asStoreError(error, 'open it', file)
  }
}

/** A store that is looked at alone. */
export type StoreToRead = Reads & Pick<Store, 'identity' | 'close'>

/**
 * Opens the store at `path` for looking at it, and checks the whole file; a server may be using it. Nothing is changed,
 * so that a store of an earlier release lacks what some verbs ask for. Throws as `openStore`.
 */
export async function openToRead(path: string): Promise<StoreToRead> {
  const file = resolve(path)
  await inodeOf(file)
  inspect(file)
  const data: ReaderData = { path: file }
  const options = { env: {}, resourceLimits: threadLimits, workerData: data, name: 'store-reader' }
  const reads = new ReadQueue(startWorker(readerScript, options), file, READ_MS)
  try {
    const identity = await reads.open(READ_MS)
    return { ...readsOf(reads, () => {}), identity, close: () => reads.close() }
  } catch (error) {
    await reads.close()
    throw asStoreError(error, 'open it', file)
  }
}

interface Parts {
  readonly file: string
  readonly inode: string
  readonly queue: WriteQueue
  readonly reads: ReadQueue
}

/** All of the store but its reads and writes. */
class SqliteStore {
  readonly identity: StoreIdentity
  readonly #parts: Parts
  readonly #snapshots: Snapshots
  #closed: Promise<void> | undefined

  constructor(parts: Parts, identity: StoreIdentity) {
    this.#parts = parts
    this.#snapshots = new Snapshots(parts.file)
    this.identity = identity
  }

  async snapshot(options: SnapshotOptions = {}): Promise<Snapshot> {
    this.#parts.queue.demandUsable()
    return this.#snapshots.take(options)
  }

  async check(): Promise<void> {
    const { file, inode, queue, reads } = this.#parts
    queue.demandUsable()
    await reads.ask('head', [])
    if ((await inodeOf(file)) !== inode) {
      throw new SottoError('store_unavailable', `The store "${file}" was replaced by another`, {
        hint: 'What is written now is lost. Stop the server and find the file that it had open.',
      })
    }
    await queue.submit('ping', [])
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    // The writer closes last: the last connection to close moves the log into the file.
    const { queue, reads } = this.#parts
    const written = queue.drain()
    await this.#snapshots.close()
    await reads.close()
    await written
    await queue.close()
  }
}

/** Names the file at `path` itself, whatever is moved there later. Throws `no_store` for none. */
async function inodeOf(path: string): Promise<string> {
  const found = await stat(path, { bigint: true }).catch((error: unknown) => {
    throw systemError(error, 'open the store', path, {
      code: isAbsent(error) ? 'no_store' : 'store_unavailable',
      ...(isAbsent(error) && {
        hint: 'Check the path and that the volume is mounted; a store that was lost comes from a backup. `sotto init` makes a new, empty one.',
      }),
    })
  })
  if (!found.isFile()) throw foreign(path)
  return `${found.dev}:${found.ino}`
}
