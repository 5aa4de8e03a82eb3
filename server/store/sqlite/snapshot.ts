/** Copies of an open store: each made by a thread of its own, in a file next to the store's. */
import { randomBytes } from 'node:crypto'
import { open, readdir, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { SottoError } from '../../../client/api/errors.ts'
import type { Snapshot, SnapshotOptions } from '../contract.ts'
import { type Copied, type CopierData, type FromCopier } from './messages.ts'
import { systemError } from '../../../client/platform/system-error.ts'
import { fromPlain, threadScript } from '../../platform/thread.ts'

/** A copy without progress for so long is given up. */
const STALL_MS = 60_000

type Progress = NonNullable<SnapshotOptions['progress']>

const script = threadScript('server/store/sqlite/copier-thread')

/** The snapshots of the store in one file. */
export class Snapshots {
  readonly #file: string
  /** Stops those that are being taken. */
  readonly #stop = new AbortController()
  readonly #taking = new Set<Promise<unknown>>()

  constructor(file: string) {
    this.#file = file
  }

  /** Takes one, as the contract says. */
  async take({ signal, progress = () => {} }: SnapshotOptions): Promise<Snapshot> {
    const stop = AbortSignal.any([this.#stop.signal, ...(signal ? [signal] : [])])
    const taking = copyStore(this.#file, stop, progress)
    this.#taking.add(taking)
    try {
      return await taking
    } finally {
      this.#taking.delete(taking)
    }
  }

  /** Stops what is under way, and resolves when its connections are closed. */
  async close(): Promise<void> {
    this.#stop.abort()
    await Promise.allSettled(this.#taking)
  }
}

async function copyStore(file: string, signal: AbortSignal, progress: Progress): Promise<Snapshot> {
  const path = `${file}.${randomBytes(4).toString('hex')}.snapshot`
  const remove = (): Promise<void> => removeCopy(path)
  try {
    if (signal.aborted) throw stopped(file)
    // Made here, not by SQLite, for the mode, which the files that SQLite adds inherit.
    await (await open(path, 'wx', 0o600)).close()
    const copied = await runCopier({ path: file, copy: path }, signal, progress)
    const { size } = await stat(path)
    return { path, bytes: size, ...copied, [Symbol.asyncDispose]: remove }
  } catch (error) {
    await remove().catch(() => {})
    throw systemError(error, 'copy the store', file)
  }
}

/** Resolves, or rejects, when the thread is gone. */
async function runCopier(
  data: CopierData,
  signal: AbortSignal,
  progress: Progress,
): Promise<Copied> {
  const worker = new Worker(script, { workerData: data, env: {}, name: 'store-copier' })
  let copied: Copied | undefined
  let failure: Error | undefined
  const stall = setTimeout(() => {
    failure ??= stalled(data.path)
    void worker.terminate()
  }, STALL_MS)
  const stop = (): void => {
    failure ??= stopped(data.path)
    // A thread that was ended by force would leave its lock on the store's log.
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- threads have no origin
    worker.postMessage('stop')
  }
  signal.addEventListener('abort', stop)
  worker.on('message', (message: FromCopier) => {
    stall.refresh()
    if ('copied' in message) copied = message.copied
    else if ('refused' in message) failure ??= fromPlain(message.refused)
    else progress(message.done, message.total)
  })
  worker.on('error', (error: Error) => (failure ??= error))
  await new Promise((resolve) => worker.once('exit', resolve))
  clearTimeout(stall)
  signal.removeEventListener('abort', stop)
  if (failure) throw failure
  if (copied) return copied
  throw new Error('its copier ended too soon')
}

/** Removes what a crash left of snapshots of the store in `file`, whose lock is held. Never rejects. */
export async function removeOrphans(file: string): Promise<void> {
  const directory = dirname(file)
  const start = `${basename(file)}.`
  const ending = /^[0-9a-f]{8}\.snapshot(?:-journal|-wal|-shm)?$/
  for (const name of await readdir(directory).catch(() => [])) {
    if (!name.startsWith(start) || !ending.test(name.slice(start.length))) continue
    await rm(join(directory, name), { force: true }).catch(() => {})
  }
}

async function removeCopy(path: string): Promise<void> {
  for (const ending of ['', '-journal', '-wal', '-shm']) await rm(path + ending, { force: true })
}

function stopped(file: string): SottoError {
  return new SottoError('local', `The copy of the store "${file}" was stopped`)
}

function stalled(file: string): SottoError {
  const message = `Cannot copy the store "${file}": nothing was copied for ${STALL_MS} ms`
  return new SottoError('store_unavailable', message, { hint: 'Look at the disk of the store.' })
}
