/**
 * The writer of the audit log: an entry handed to it is on the disk when the promise resolves.
 * Entries that come while a write is in flight share the next one. After a failed write the file is
 * never used again; a new segment begins with a record of the gap.
 */
import { dirname } from 'node:path'
import { quote, SottoError } from '../client/api/errors.ts'
import { nodeFiles } from './files.ts'
import { encodeEntry } from './line.ts'
import type { BatchMacs } from './batches.ts'
import { type LogMetrics, logMetrics, noteBatch } from './metrics.ts'
import { type Batch, Queue } from './queue.ts'
import { type Entry, isIntent, type Receipt } from './record.ts'
import { type Continuation, type Opening, type Recovered, recover } from './recovery.ts'
import { MAX_MIDDLE_LENGTH, Tail } from './tail.ts'
import { nextSalt } from '../server/platform/request-id.ts'
import { orLate, processTimers } from '../client/platform/timers.ts'
import { unavailable } from './unavailable.ts'
import { reasonOf } from '../client/platform/system-error.ts'

const defaults = {
  clock: () => new Date(),
  /** How long an entry may wait for the disk, in milliseconds. */
  waitMs: 5000,
  /** How long it may take to find the end of the log, in milliseconds. */
  openMs: 60_000,
  /** How long after a failure a new segment is tried, in milliseconds. */
  retryMs: 1000,
  /** Bytes after which a segment is followed by the next. */
  segmentBytes: 32 * 1024 * 1024,
  /** Zero bytes that are put after the records of a segment at once. */
  roomBytes: 256 * 1024,
  /** Entries that may wait for a write at once. */
  maxPending: 10_000,
  /** Free bytes below which `lowSpace` is true. */
  reserveBytes: 64 * 1024 * 1024,
  /** 16 hex digits, random; undefined for none, as in logs of early releases. */
  salt: nextSalt as () => string | undefined,
  files: nodeFiles,
  timers: processTimers,
}

/** How a log is opened. */
export interface AuditLogOptions extends Readonly<Partial<typeof defaults>> {
  /** The folder of the segments; made when it is not there. */
  readonly directory: string
  /** The id of the store whose log it is. */
  readonly logId: string
  /** The store's committed revision now. */
  readonly revision: () => number
  /** Sees what was found before anything is written; when it rejects, `open` does. */
  readonly accept?: (found: Opening) => Promise<void>
  /** Has each batch get a MAC from now on. Absent: none does. */
  readonly macs?: BatchMacs
  /** Ids that are skipped, since records of a part of the log that is lost may have them. Default: 0. */
  readonly skipIds?: number
  readonly metrics?: LogMetrics
}

/** Whether the log can be written, and if not, since when and why. */
export type LogState =
  | { readonly ok: true }
  | { readonly ok: false; readonly since: Date; readonly reason: string }

/** How soon a segment may end early, so that the next one declares lost records, in milliseconds. */
const GAP_MS = 60_000
/** How often the disk is looked at, in milliseconds. */
const SURVEY_MS = 1000

/** An open log. One process at a time may have it. */
export class AuditLog implements AsyncDisposable {
  /** What was found when the log was opened. */
  readonly recovered: Recovered
  readonly #options: Omit<AuditLogOptions, 'accept' | 'skipIds' | 'metrics'> & typeof defaults
  readonly #metrics: LogMetrics
  readonly #tail: Tail
  readonly #queue: Queue
  #running = false
  /** Whether the last write had one entry. */
  #alone = false
  #idle: PromiseWithResolvers<void> | undefined
  /** When the disk was given what it has not finished yet. */
  #busySince: number | undefined
  #failure: { readonly since: Date; readonly reason: string } | undefined
  /** Whether a new segment is to begin though the one in use is not full. */
  #roll = false
  /** Whether another process changed the segment in use, which is then left as it is. */
  #harmed = false
  #segmentSince = 0
  /** Durable changes whose announcer was already refused, so they are never made. */
  readonly #unclaimed = new Set<number>()
  #lowSpace = false
  #surveyed = Number.NEGATIVE_INFINITY
  #closing: Promise<void> | undefined
  #closed = false
  #stopRetry: (() => void) | undefined

  private constructor(options: AuditLogOptions, continuation: Continuation) {
    this.#options = { ...defaults, ...options }
    this.#tail = new Tail(this.#options, continuation)
    const { directory, timers, waitMs } = this.#options
    const late = () => unavailable(directory, `the disk did not take it within ${waitMs} ms`)
    this.#queue = new Queue({ waitMs, timers, late })
    this.recovered = continuation.recovered
    this.#metrics = options.metrics ?? logMetrics()
    this.#metrics.up.follow(() => (this.state().ok ? 1 : 0))
    this.#metrics.waiting.follow(() => this.#queue.length)
    this.#metrics.lowSpace.follow(() => (this.#lowSpace ? 1 : 0))
  }

  /**
   * Opens the log in a folder, or begins one. Nothing is written before the first entry: that one
   * begins a new segment, since what an earlier process wrote is never added to. Throws SottoError
   * `audit_damaged` when the newest segment holds anything but records and one write cut short,
   * `store_foreign` for the log of another store, `store_newer` for the format of a later release,
   * `audit_unavailable` when the folder cannot be used.
   */
  static async open(options: AuditLogOptions): Promise<AuditLog> {
    const { directory, logId, files, timers, openMs, macs } = { ...defaults, ...options }
    const find = async (): Promise<Continuation> => {
      if (await files.makeFolder(directory)) await files.syncFolder(dirname(directory))
      return recover(files, directory, logId, macs)
    }
    const bound = { timers, ms: openMs }
    const continuation = await orLate(find(), bound).catch((error: unknown) => {
      if (error instanceof SottoError && error.code !== 'local') throw error
      throw unavailable(directory, error)
    })
    if (continuation === 'late') {
      throw unavailable(directory, `the disk did not answer within ${openMs} ms`)
    }
    const nextId = continuation.nextId + (options.skipIds ?? 0)
    await options.accept?.({ ...continuation.recovered, nextId })
    const log = new AuditLog(options, { ...continuation, nextId })
    await orLate(log.#survey(), bound)
    return log
  }

  /** The last durable record; id 0 and a hash of zeros for a log that has none. */
  get head(): Receipt {
    return this.#tail.head
  }

  /** Whether the file system had less free space than the reserve, as of a second ago. */
  get lowSpace(): boolean {
    return this.#lowSpace
  }

  /** Whether entries can be written now. */
  state(): LogState {
    if (this.#failure !== undefined) return { ok: false, ...this.#failure }
    const { clock, waitMs, timers } = this.#options
    const busyMs = this.#busySince === undefined ? 0 : timers.now() - this.#busySince
    if (busyMs < waitMs) return { ok: true }
    const since = new Date(clock().getTime() - busyMs)
    return { ok: false, since, reason: 'the disk does not answer' }
  }

  /**
   * Adds a record; resolves once it is durable. Rejects with SottoError `audit_unavailable` when it
   * cannot be made durable within the wait, `overloaded` when too many wait, `shutting_down` once
   * the log is closing. A record that was rejected may still get into the log; if it is a
   * change, a record that it was abandoned follows, without the caller's doing.
   */
  append(entry: Entry): Promise<Receipt> {
    const middle = encodeEntry(entry, this.#options.salt)
    const refusal = this.#refusal(middle.length)
    if (refusal !== undefined) return Promise.reject(refusal)
    return new Promise((resolve, reject) => {
      this.#queue.push({ entry, middle, resolve, reject })
      this.#wake()
    })
  }

  /** Notes that the change `id` was made: its outcome is known, and needs no record. */
  settle(id: number): void {
    this.#tail.open.delete(id)
  }

  /** Counts records of acts that revealed nothing and could not be written; the log has the number later. */
  noteLost(count = 1): void {
    this.#metrics.lost.add(count)
    this.#tail.lost += count
  }

  /** Writes what waits, for as long as an entry may wait, and lets go of the file. Never rejects. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Why an entry cannot even wait. */
  #refusal(length: number): SottoError | undefined {
    const { directory, maxPending } = this.#options
    if (this.#closing !== undefined) {
      return new SottoError('shutting_down', `The audit log in ${quote(directory)} is closing`)
    }
    const state = this.state()
    if (!state.ok) return unavailable(directory, state.reason)
    if (this.#queue.length >= maxPending) {
      const text = `${maxPending} entries wait for the audit log in ${quote(directory)}`
      return new SottoError('overloaded', text)
    }
    if (length <= MAX_MIDDLE_LENGTH) return undefined
    return new SottoError('internal', `Cannot record an entry of ${length} characters`)
  }

  #wake(): void {
    if (this.#running) return
    this.#running = true
    // A turn later, so that entries of the same turn share the write; but where they come one by one
    // there are none, and the turn is a good part of what a write takes.
    if (this.#alone) queueMicrotask(() => void this.#run())
    else setImmediate(() => void this.#run())
  }

  async #run(): Promise<void> {
    const { timers } = this.#options
    try {
      while (this.#isDue()) {
        this.#busySince = timers.now()
        if (this.#wantsSegment()) {
          await this.#begin()
        } else {
          this.#claim()
          const batch = this.#queue.take((pending) => this.#tail.build(pending))
          this.#alone = batch.items.length === 1
          const began = timers.now()
          await this.#tail.write(batch)
          noteBatch(this.#metrics, batch, timers.now() - began)
          // Those who waited continue in a later turn, when the next write is on its way.
          this.#confirm(batch)
        }
      }
    } catch (error) {
      this.#fail(error)
    }
    this.#busySince = undefined
    this.#running = false
    if (this.#closed) void this.#tail.end()
    this.#idle?.resolve()
  }

  #isDue(): boolean {
    if (this.#closed) return false
    return this.#queue.length > 0 || this.#unclaimed.size > 0 || this.#roll
  }

  #wantsSegment(): boolean {
    const { segment, lost } = this.#tail
    const { segmentBytes, timers } = this.#options
    if (segment === undefined || this.#roll || segment.bytes >= segmentBytes) return true
    if (this.#tail.hasOldKey) return true
    return lost > 0 && timers.now() - this.#segmentSince >= GAP_MS
  }

  async #begin(): Promise<void> {
    this.#roll = false
    if (this.#harmed) this.#tail.giveUp()
    this.#harmed = false
    await this.#tail.begin()
    this.#metrics.records.add()
    this.#segmentSince = this.#options.timers.now()
    this.#failure = undefined
  }

  /** Lets the log itself abandon the changes whose announcer was refused. */
  #claim(): void {
    if (this.#unclaimed.size === 0) return
    for (const of of this.#unclaimed) {
      const entry: Entry = { kind: 'abandoned', of, reason: 'its record came too late' }
      const reject = () => void this.#unclaimed.add(of)
      this.#queue.push({
        entry,
        middle: encodeEntry(entry, this.#options.salt),
        resolve: () => {},
        reject,
      })
    }
    this.#unclaimed.clear()
  }

  /** Takes note of what became durable, and resolves who waited. */
  #confirm(batch: Batch): void {
    this.#queue.finish(batch)
    for (const { entry, receipt, expired } of batch.items) {
      if (isIntent(entry) && receipt) {
        this.#tail.open.add(receipt.id)
        if (expired) this.#unclaimed.add(receipt.id)
      } else if (entry.kind === 'abandoned') {
        this.#tail.open.delete(entry.of)
        this.#unclaimed.delete(entry.of)
      }
    }
    if (this.#options.timers.now() - this.#surveyed >= SURVEY_MS) void this.#survey()
  }

  /** Refuses everything that waits; a new segment is tried after a while. */
  #fail(error: unknown): void {
    const { directory, clock, retryMs, timers } = this.#options
    this.#failure = { since: this.#failure?.since ?? clock(), reason: reasonOf(error) }
    this.#metrics.failures.add()
    this.#tail.giveUp()
    this.#queue.refuse(unavailable(directory, error))
    if (this.#closing !== undefined) return
    this.#stopRetry = timers.after(retryMs, () => this.#beginSoon())
  }

  #beginSoon(): void {
    this.#roll = true
    this.#wake()
  }

  /** Looks whether the disk has room, and still has the file that is being written. */
  async #survey(): Promise<void> {
    const { directory, files, reserveBytes, timers } = this.#options
    this.#surveyed = timers.now()
    const segment = this.#tail.segment
    const length = segment?.length ?? 0
    try {
      this.#lowSpace = (await files.freeBytes(directory)) < reserveBytes
      const found = segment === undefined ? 0 : ((await files.size(segment.path)) ?? -1)
      // The file was removed or cut: what is added to it would be nowhere.
      if (found < length && segment === this.#tail.segment) {
        this.#harmed = true
        this.#beginSoon()
      }
    } catch {
      // Whether records can be written, the next write shows.
    }
  }

  async #close(): Promise<void> {
    this.#stopRetry?.()
    if (this.#tail.lost > 0 && this.#failure === undefined) this.#roll = true
    this.#wake()
    this.#idle = Promise.withResolvers()
    const bound = { timers: this.#options.timers, ms: this.#options.waitMs }
    await orLate(this.#idle.promise, bound)
    this.#closed = true
    this.#queue.close(unavailable(this.#options.directory, 'it was closed'))
    // A file with a write in flight is let go of when that ends.
    if (!this.#running) await orLate(this.#tail.end(), bound)
  }
}
