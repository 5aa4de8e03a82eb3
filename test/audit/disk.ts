/**
 * A disk in memory that fails as told, and that can lose its power: then it keeps what was synced,
 * and of what was not, any sectors and any length.
 */
import { basename, dirname } from 'node:path'
import type { FileSystem, ReadableFile, WritableFile } from '../../audit/files.ts'

/** An operation that changes the disk, before it is carried out. */
export interface Operation {
  readonly kind: 'create' | 'write' | 'truncate' | 'sync' | 'remove' | 'syncFolder'
  readonly path: string
  /** The bytes of a write. */
  readonly bytes?: Uint8Array
}

/** How an operation ends: with an error, or (a write) after so many bytes, then with the error. */
interface Fault {
  readonly error?: Error
  readonly bytes?: number
}

/** Called with every operation once its effect is in memory; it is done when the promise resolves. */
export type Behaviour = (operation: Operation) => Promise<Fault | void> | Fault | void

interface Stored {
  content: Buffer
  /** What of it is durable. */
  durable: Buffer
  /** What it was before the write that is in flight, and that write. */
  before: Buffer
  position: number
  /** Whether its name is durable. */
  named: boolean
  /** Whether its name is removed, though perhaps not durably. */
  removed: boolean
  closed: boolean
  /** Whether a write is in flight. */
  writing: boolean
}

const SECTOR = 512

/** A file that was written long ago. */
const noFile: Stored = {
  content: Buffer.alloc(0),
  durable: Buffer.alloc(0),
  before: Buffer.alloc(0),
  position: 0,
  named: true,
  removed: false,
  closed: true,
  writing: false,
}

/** An error like the system's. */
export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: made by a test, write`), { code })
}

/** A folder of files in memory. */
export class MemoryDisk implements FileSystem {
  behaviour: Behaviour = () => {}
  free = 1e12
  readonly #files = new Map<string, Stored>()
  readonly #folders = new Set<string>()
  /** Uses of files that were closed, and files closed with a write in flight: there must be none. */
  misuses = 0

  async makeFolder(path: string): Promise<boolean> {
    if (this.#folders.has(path)) return false
    this.#folders.add(path)
    return true
  }

  async list(path: string): Promise<string[]> {
    return [...this.#files]
      .filter(([name, file]) => !file.removed && dirname(name) === path)
      .map(([name]) => basename(name))
  }

  async open(path: string): Promise<ReadableFile> {
    const file = this.#file(path)
    return {
      read: async (into, position) => file.content.copy(into, 0, position),
      sync: async () => {
        await this.#operate({ kind: 'sync', path })
        file.durable = file.content
      },
      close: async () => {},
    }
  }

  async create(path: string): Promise<WritableFile> {
    if (this.#files.get(path)?.removed === false) throw systemError('EEXIST')
    await this.#operate({ kind: 'create', path })
    const file: Stored = { ...noFile, named: false, closed: false }
    this.#files.set(path, file)
    return {
      write: (bytes, position) => this.#write(path, file, bytes, position),
      truncate: async (length) => {
        if (file.closed || file.writing) this.misuses++
        file.content = file.content.subarray(0, length)
        await this.#operate({ kind: 'truncate', path })
      },
      sync: async () => {
        if (file.closed) this.misuses++
        await this.#operate({ kind: 'sync', path })
        file.durable = file.content
      },
      close: async () => {
        if (file.closed || file.writing) this.misuses++
        file.closed = true
      },
    }
  }

  async remove(path: string): Promise<void> {
    const file = this.#file(path)
    await this.#operate({ kind: 'remove', path })
    file.removed = true
  }

  async syncFolder(path: string): Promise<void> {
    await this.#operate({ kind: 'syncFolder', path })
    for (const [name, file] of this.#files) {
      if (dirname(name) !== path) continue
      if (file.removed) this.#files.delete(name)
      else file.named = true
    }
  }

  async size(path: string): Promise<number | undefined> {
    const file = this.#files.get(path)
    return file?.removed === false ? file.content.length : undefined
  }

  async freeBytes(): Promise<number> {
    return this.free
  }

  /** Files that are open for appending. */
  get appending(): number {
    return [...this.#files.values()].filter(({ closed }) => !closed).length
  }

  /** The bytes of a file, as a reader sees them. */
  content(path: string): Buffer {
    return this.#file(path).content
  }

  /** Puts a durable file there, or takes it away. */
  put(path: string, content: Uint8Array | undefined): void {
    if (content === undefined) this.#files.delete(path)
    else {
      const file = this.#files.get(path) ?? { ...noFile }
      this.#files.set(path, file)
      file.content = Buffer.from(content)
      file.durable = file.content
    }
  }

  /** Adds bytes to a file. */
  grow(path: string, bytes: Uint8Array): void {
    this.put(path, Buffer.concat([this.content(path), bytes]))
  }

  /** The paths of all files. */
  get paths(): string[] {
    return [...this.#files].filter(([, file]) => !file.removed).map(([path]) => path)
  }

  /** Another disk, with what this one would show after the process was killed now; not all durable. */
  afterKill(random: () => number): MemoryDisk {
    const disk = new MemoryDisk()
    for (const [path, file] of this.#files) {
      if (file.removed) continue
      const { content, durable, named } = file
      disk.put(path, file.writing ? copiedInPart(file, random) : content)
      Object.assign(disk.#file(path), { durable, named })
    }
    return disk
  }

  /** Another disk, with what this one would have after a loss of power now. */
  afterPowerLoss(random: () => number): MemoryDisk {
    const disk = new MemoryDisk()
    for (const [path, file] of this.#files) {
      const kept = file.removed || !file.named ? random() < 0.5 : true
      if (kept) disk.put(path, survivors(file, random))
    }
    return disk
  }

  async #write(path: string, file: Stored, bytes: Uint8Array, position: number): Promise<number> {
    if (file.closed) this.misuses++
    // A copy: what is given may be used again once the write is over.
    const before = file.content
    file.content = written(before, bytes, position)
    Object.assign(file, { writing: true, before, position })
    const fault = (await this.behaviour({ kind: 'write', path, bytes })) ?? {}
    file.writing = false
    const done = bytes.subarray(0, fault.bytes)
    file.content = written(before, done, position)
    if (fault.error !== undefined) throw fault.error
    file.durable = written(file.durable, done, position)
    return done.byteLength
  }

  async #operate(operation: Operation): Promise<void> {
    const fault = await this.behaviour(operation)
    if (fault?.error !== undefined) throw fault.error
  }

  #file(path: string): Stored {
    const file = this.#files.get(path)
    if (file === undefined || file.removed) throw systemError('ENOENT')
    return file
  }
}

/** What a file holds once `bytes` were written to it. */
function written(content: Buffer, bytes: Uint8Array, position: number): Buffer {
  const end = position + bytes.byteLength
  const behind = content.subarray(Math.min(end, content.length))
  const gap = Buffer.alloc(Math.max(0, position - content.length))
  return Buffer.concat([content.subarray(0, position), gap, bytes, behind])
}

/** What a file holds when the process is killed in the midst of a write. */
function copiedInPart({ content, before, position }: Stored, random: () => number): Buffer {
  const end = position + Math.floor(random() * (content.length - position + 1))
  return Buffer.concat([content.subarray(0, end), before.subarray(end)])
}

/** The bytes of a file that a loss of power leaves. */
function survivors({ content, durable }: Stored, random: () => number): Buffer {
  const choice = random()
  if (content.equals(durable) || choice < 0.2) return durable
  if (choice < 0.4) return content
  // The length is one of the two, or one between them; each sector is the old one or the new one.
  const [low, high] = [durable.length, content.length].toSorted((a, b) => a - b) as [number, number]
  const length = choice < 0.6 ? high : low + Math.floor(random() * (high - low + 1))
  const left = Buffer.alloc(length)
  durable.copy(left)
  const cut = Math.floor(random() * content.length)
  for (let from = 0; from < length; from += SECTOR) {
    const isNew = choice < 0.8 ? from < cut : random() < 0.5
    if (isNew && from < content.length) content.copy(left, from, from, from + SECTOR)
  }
  return left
}
