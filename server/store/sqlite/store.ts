/** The store in one SQLite file, which two threads of its own use: one changes it, one reads it. */
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Worker, type WorkerOptions } from 'node:worker_threads'
import { asSottoError, quote, SottoError } from '../../../client/api/errors.ts'
import type {
  AuditMark,
  BackendChange,
  BackendInUse,
  Change,
  HistoryItem,
  KeyChange,
  Orphan,
  Moved,
  MovedKey,
  PlacedVersion,
  ReadResult,
  SavedBackend,
  SealedVersion,
  SecretRow,
  Snapshot,
  SnapshotOptions,
  Store,
  StoredKey,
  StoredWrap,
  StoreHead,
  StoreIdentity,
  StoreMeasure,
  VersionPlace,
  WrappedVersion,
} from '../contract.ts'
import type { MirrorCounts, Mirrored, MirrorHead } from '../mirrors.ts'
import { copyOfPlace, copyOfSaved, copyOfVersion } from './copies.ts'
import { type StoreMetrics, storeMetrics } from '../metrics.ts'
import { asStoreError, foreign } from './faults.ts'
import type { ChangeOp, KeyringOp, Op, OpValue, WrapOp, WriterData } from './messages.ts'
import { formatNumbers } from './numbers.ts'
import { WriteQueue } from './queue.ts'
import { ReadQueue } from './read-queue.ts'
import type { ReaderData } from './reader-thread.ts'
import { removeOrphans, Snapshots } from './snapshot.ts'
import { threadScript } from '../../platform/thread.ts'

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
  const writer = startWriter(writerScript, {
    workerData: writerData,
    env: {},
    name: 'store-writer',
    resourceLimits: threadLimits,
  })
  const reader = startReader(readerScript, {
    workerData: readerData,
    env: {},
    name: 'store-reader',
    resourceLimits: threadLimits,
  })
  const queue = new WriteQueue(writer, file, { waitMs, maxWaiting }, metrics)
  const reads = new ReadQueue(reader, file, waitMs)
  try {
    await queue.submit({ kind: 'ping' }, openMs)
    await removeOrphans(file)
    return new SqliteStore({ file, inode, queue, reads, metrics }, await reads.open(openMs))
  } catch (error) {
    await reads.close()
    await queue.close()
    throw asStoreError(error, 'open it', file)
  }
}

interface Parts {
  readonly file: string
  readonly inode: string
  readonly queue: WriteQueue
  readonly reads: ReadQueue
  readonly metrics: StoreMetrics
}

class SqliteStore implements Store {
  readonly identity: StoreIdentity
  readonly #file: string
  readonly #inode: string
  readonly #queue: WriteQueue
  readonly #reads: ReadQueue
  readonly #metrics: StoreMetrics
  readonly #snapshots: Snapshots
  #closed: Promise<void> | undefined

  constructor({ file, inode, queue, reads, metrics }: Parts, identity: StoreIdentity) {
    this.#file = file
    this.#inode = inode
    this.#queue = queue
    this.#reads = reads
    this.#metrics = metrics
    this.#snapshots = new Snapshots(file)
    this.identity = identity
  }

  async head(): Promise<StoreHead> {
    return this.#usable.look('head')
  }

  async list(): Promise<SecretRow[]> {
    return this.#usable.walk('list')
  }

  async find(name: string): Promise<SecretRow | undefined> {
    return name.isWellFormed() ? this.#usable.look('find', name) : undefined
  }

  async read(name: string, version: number): Promise<ReadResult | undefined> {
    return name.isWellFormed() ? this.#usable.look('read', name, version) : undefined
  }

  append(change: Change, added: SealedVersion): Promise<number> {
    return this.#change('append', change, added.version, { added })
  }

  activate(change: Change): Promise<number> {
    return this.#change('activate', change, change.next.active)
  }

  removeVersion(change: Change, version: number): Promise<number> {
    return this.#change('remove-version', change, version)
  }

  remove(change: Change): Promise<number> {
    return this.#change('remove', change, null)
  }

  reserve(change: Change, version: number, backend: number): Promise<number> {
    return this.#change('reserve', change, version, { backend })
  }

  fill(change: Change, added: SealedVersion): Promise<number> {
    return this.#change('fill', change, added.version, { added })
  }

  rehome(change: Change, versions: readonly SealedVersion[], keepSource: boolean): Promise<number> {
    return this.#change('rehome', change, null, { moved: versions.map(copyOfVersion), keepSource })
  }

  async homed(backend: number | null): Promise<string[]> {
    return this.#usable.walk('homed', backend)
  }

  async backends(): Promise<{ backends: BackendInUse[]; nextId: number }> {
    return this.#usable.look('backends')
  }

  async saveBackend(
    { intent, by, at }: BackendChange,
    saved: SavedBackend,
    demoted?: SavedBackend,
  ): Promise<number> {
    const stamp = { intent: { id: intent.id, hash: intent.hash }, by: JSON.stringify(by), at }
    const rows = { saved: copyOfSaved(saved), demoted: demoted && copyOfSaved(demoted) }
    return this.#commit({ kind: 'backend', verb: 'save', ...stamp, ...rows })
  }

  async removeBackend(
    { intent, by, at }: BackendChange,
    id: number,
    expected: Uint8Array,
  ): Promise<number> {
    const stamp = { intent: { id: intent.id, hash: intent.hash }, by: JSON.stringify(by), at }
    const row = { id, expected: new Uint8Array(expected) }
    return this.#commit({ kind: 'backend', verb: 'erase-backend', ...stamp, ...row })
  }

  async orphans(cursor: number, limit: number): Promise<(Orphan & { readonly cursor: number })[]> {
    return this.#usable.look('orphans', cursor, limit)
  }

  async noteWritten(places: readonly Orphan[]): Promise<void> {
    const copies = places.map(copyOfPlace)
    await this.#queue.submit({ kind: 'orphans', places: copies, cleared: false })
  }

  async forgetOrphan(place: Orphan): Promise<void> {
    await this.#queue.submit({ kind: 'orphans', places: [copyOfPlace(place)], cleared: true })
  }

  async changedSince(
    revision: number,
    limit: number,
  ): Promise<{ names: string[]; revision: number }> {
    return this.#usable.look('changedSince', revision, limit)
  }

  async mirrorHead(backend: number): Promise<MirrorHead | undefined> {
    return this.#usable.look('mirrorHead', backend)
  }

  async takeUp(
    backend: number,
    head: MirrorHead,
    due: readonly string[],
    at: string,
  ): Promise<void> {
    const copies = { head: { ...head }, due: due.filter((name) => name.isWellFormed()) }
    await this.#queue.submit({ kind: 'mirror', verb: 'take-up', backend, ...copies, at })
  }

  async mirrored(
    backend: number,
    cursor: number,
    limit: number,
    dueBy?: string,
  ): Promise<(Mirrored & { readonly cursor: number })[]> {
    return this.#usable.look('mirrored', backend, cursor, limit, dueBy)
  }

  async findMirrored(backend: number, name: string): Promise<Mirrored | undefined> {
    return name.isWellFormed() ? this.#usable.look('findMirrored', backend, name) : undefined
  }

  async mirrorCounts(backend: number): Promise<MirrorCounts> {
    return this.#usable.look('mirrorCounts', backend)
  }

  async saveMirrored(backend: number, mirrored: Mirrored): Promise<void> {
    const copy = { ...mirrored, leaves: [...mirrored.leaves] }
    await this.#queue.submit({ kind: 'mirror', verb: 'save-mirrored', backend, mirrored: copy })
  }

  async dropMirrored(backend: number, name: string): Promise<void> {
    if (!name.isWellFormed()) return
    await this.#queue.submit({ kind: 'mirror', verb: 'drop-mirrored', backend, name })
  }

  async committed(intents: readonly number[]): Promise<Set<number>> {
    const found = await this.#queue.submit({ kind: 'committed', intents: [...intents] })
    return new Set(found as readonly number[])
  }

  async remember({ id, hash }: AuditMark): Promise<void> {
    await this.#queue.submit({ kind: 'remember', mark: { id, hash } })
  }

  async history(name: string): Promise<HistoryItem[]> {
    return name.isWellFormed() ? this.#usable.walk('history', name) : []
  }

  async keys(): Promise<{ keys: StoredKey[]; wraps: StoredWrap[] }> {
    return this.#usable.look('keys')
  }

  async addWrap(change: KeyChange, wrap: StoredWrap): Promise<number> {
    return this.#changeWraps(change, 'add', wrap, { added: copyOfWrap(wrap) })
  }

  async states(after: string | undefined): Promise<SecretRow[]> {
    return this.#usable.look('states', after)
  }

  async versions(after: VersionPlace | undefined): Promise<PlacedVersion[]> {
    return this.#usable.look('versions', after)
  }

  async snapshot(options: SnapshotOptions = {}): Promise<Snapshot> {
    this.#queue.demandUsable()
    return this.#snapshots.take(options)
  }

  async removeWrap(change: KeyChange, provider: string, fingerprint: string): Promise<number> {
    return this.#changeWraps(change, 'remove', { provider, fingerprint })
  }

  async replaceWrap(change: KeyChange, wrap: StoredWrap, expected: Uint8Array): Promise<number> {
    const bytes = { added: copyOfWrap(wrap), expected: new Uint8Array(expected) }
    return this.#changeWraps(change, 'rewrap', wrap, bytes)
  }

  async noteProven(provider: string, fingerprint: string, at: string): Promise<void> {
    await this.#queue.submit({ kind: 'proven', provider, fingerprint, at })
  }

  async addKey(change: KeyChange, added: StoredKey, retired: StoredKey): Promise<number> {
    const entries = { added: copyOfKey(added), retired: copyOfKey(retired) }
    return this.#commit({ kind: 'keyring', ...asOp(change), verb: 'add', ...entries })
  }

  async keyUse(): Promise<Map<number, number>> {
    return new Map(await this.#usable.look('keyUse'))
  }

  async wrappedBy(keyId: number, cursor: number, limit: number): Promise<WrappedVersion[]> {
    return this.#usable.look('wrappedBy', keyId, cursor, limit)
  }

  async moveKeys(change: KeyChange, keyId: number, moved: readonly MovedKey[]): Promise<Moved> {
    const copies = moved.map(({ name, version, wrappedKey, expected }) => ({
      name,
      version,
      wrappedKey: new Uint8Array(wrappedKey),
      expected: new Uint8Array(expected),
    }))
    const op: KeyringOp = { kind: 'keyring', ...asOp(change), verb: 'move', keyId, moved: copies }
    return this.#commit<Moved>(op)
  }

  async eraseKey(change: KeyChange, keyId: number): Promise<number> {
    return this.#commit({ kind: 'keyring', ...asOp(change), verb: 'erase', keyId })
  }

  async measure(): Promise<StoreMeasure> {
    return this.#usable.look('measure')
  }

  async check(): Promise<void> {
    await this.head()
    if ((await inodeOf(this.#file)) !== this.#inode) {
      throw new SottoError(
        'store_unavailable',
        `The store "${this.#file}" was replaced by another`,
        {
          hint: 'What is written now is lost. Stop the server and find the file that it had open.',
        },
      )
    }
    await this.#queue.submit({ kind: 'ping' })
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    // The writer closes last: the last connection to close moves the log into the file.
    const written = this.#queue.drain()
    await this.#snapshots.close()
    await this.#reads.close()
    await written
    await this.#queue.close()
  }

  /** The reads of a store that is open, and whose changes were not given up. */
  get #usable(): ReadQueue {
    this.#queue.demandUsable()
    return this.#reads
  }

  /** Has the writer do a change, and counts how it comes out. Resolves with what the writer answers. */
  async #commit<T extends OpValue = number>(
    op: Extract<Op, { readonly intent: AuditMark }>,
  ): Promise<T> {
    const { changes } = this.#metrics
    try {
      const value = (await this.#queue.submit(op)) as T
      changes.with({ result: 'done' }).add()
      return value
    } catch (error) {
      const unknown = asSottoError(error).code === 'store_unavailable'
      changes.with({ result: unknown ? 'unknown' : 'refused' }).add()
      throw error
    }
  }

  async #changeWraps(
    change: KeyChange,
    verb: WrapOp['verb'],
    { provider, fingerprint }: Pick<StoredWrap, 'provider' | 'fingerprint'>,
    { added, expected }: { added?: StoredWrap; expected?: Uint8Array } = {},
  ): Promise<number> {
    const op = { ...asOp(change), provider, fingerprint, added, expected }
    return this.#commit({ kind: 'wrap', verb, ...op })
  }

  async #change(
    verb: ChangeOp['verb'],
    { intent, by, at, expected, next }: Change,
    version: number | null,
    { added, ...more }: Pick<Partial<ChangeOp>, 'added' | 'backend' | 'moved' | 'keepSource'> = {},
  ): Promise<number> {
    const { name, incarnation, active, highest, versions, removed, mac } = next
    if (!name.isWellFormed()) {
      throw new SottoError('invalid_name', `Cannot store ${quote(name)}: not well-formed Unicode`)
    }
    return this.#commit({
      kind: 'change',
      verb,
      name,
      version,
      intent: { id: intent.id, hash: intent.hash },
      by: JSON.stringify(by),
      at,
      // Copies: the caller may change its bytes, and memory that moves to a thread is gone here.
      expected: expected && new Uint8Array(expected),
      next: {
        incarnation,
        active,
        highest,
        versions: formatNumbers(versions),
        removed: formatNumbers(removed),
      },
      mac: new Uint8Array(mac),
      added: added && copyOfVersion(added),
      ...more,
    })
  }
}

/** What every op on keys has. */
function asOp({ intent, by, at }: KeyChange): Pick<WrapOp, 'intent' | 'by' | 'at'> {
  const { id, hash } = intent
  return { intent: { id, hash }, by: typeof by === 'string' ? by : JSON.stringify(by), at }
}

function copyOfKey({ id, createdAt, state, sealed }: StoredKey): StoredKey {
  return { id, createdAt, state, sealed: new Uint8Array(sealed) }
}

function copyOfWrap(wrap: StoredWrap): StoredWrap {
  const { provider, fingerprint, createdAt, provenAt, wrapped } = wrap
  const proven = provenAt === undefined ? {} : { provenAt }
  return { provider, fingerprint, createdAt, ...proven, wrapped: new Uint8Array(wrapped) }
}

/** Names the file at `path` itself, whatever is moved there later. Throws `no_store` for none. */
async function inodeOf(path: string): Promise<string> {
  const found = await stat(path, { bigint: true }).catch((error: NodeJS.ErrnoException) => error)
  if (found instanceof Error) {
    const absent = found.code === 'ENOENT' || found.code === 'ENOTDIR'
    throw absent
      ? new SottoError('no_store', `Cannot open the store "${path}": there is no such file`, {
          hint: 'Check the path and that the volume is mounted; a store that was lost comes from a backup. `sotto init` makes a new, empty one.',
        })
      : new SottoError('store_unavailable', `Cannot open the store "${path}": ${found.message}`)
  }
  if (!found.isFile()) throw foreign(path)
  return `${found.dev}:${found.ino}`
}
