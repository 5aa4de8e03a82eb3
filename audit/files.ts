/**
 * The slice of a file system that the log stands on, and that slice over Node. What may be relied
 * on after a crash is part of it: bytes of an awaited `write`, entries of an awaited `syncFolder`.
 */
import * as fs from 'node:fs'
import { promisify } from 'node:util'
import { sync } from '../client/platform/durable.ts'
import { READ_NOW } from '../client/platform/private-file.ts'
import { errorCode } from '../client/platform/system-error.ts'

/** A file open for reading. */
export interface ReadableFile {
  /** Reads into `into` from `position`; resolves with the number of bytes, 0 at the end. */
  read(into: Uint8Array, position: number): Promise<number>
  /** Makes what was read from the file durable, whichever process wrote it. */
  sync(): Promise<void>
  close(): Promise<void>
}

/** A file open for writing. */
export interface WritableFile {
  /**
   * Writes bytes at `position`, perhaps not all of them: resolves with their number once they and
   * the length of the file are durable.
   */
  write(bytes: Uint8Array, position: number): Promise<number>
  /** Cuts the file off. That need not be durable. */
  truncate(length: number): Promise<void>
  /** Makes everything about the file durable. */
  sync(): Promise<void>
  close(): Promise<void>
}

/** What the log needs of a file system. Every method rejects with the system's error. */
export interface FileSystem {
  /** Makes a folder (and those above it) for the owner alone; false where it was there already. */
  makeFolder(path: string): Promise<boolean>
  /** The names in a folder. */
  list(path: string): Promise<string[]>
  /** Opens a file that exists, for reading. */
  open(path: string): Promise<ReadableFile>
  /** Makes a file for the owner alone and opens it for writing; rejects where it exists. */
  create(path: string): Promise<WritableFile>
  remove(path: string): Promise<void>
  /** Makes the entries of a folder durable. */
  syncFolder(path: string): Promise<void>
  /** Bytes in a file; undefined where there is none. */
  size(path: string): Promise<number | undefined>
  /** Bytes that can still be written to the file system that holds `path`. */
  freeBytes(path: string): Promise<number>
}

/** The machine's own file system. */
export const nodeFiles: FileSystem = Object.freeze({
  makeFolder: async (path: string) => {
    try {
      return (await fs.promises.mkdir(path, { recursive: true, mode: 0o700 })) !== undefined
    } catch (error) {
      // A file is there.
      throw errorCode(error) === 'EEXIST'
        ? Object.assign(error as Error, { code: 'ENOTDIR' })
        : error
    }
  },
  list: (path: string) => fs.promises.readdir(path),
  open: async (path: string) => readable(await fs.promises.open(path, READ_NOW), path),
  create: async (path: string) => writable(await promisify(fs.open)(path, createFlags, 0o600)),
  remove: (path: string) => fs.promises.unlink(path),
  syncFolder: sync,
  size: async (path: string) => {
    try {
      return (await fs.promises.stat(path)).size
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined
      throw error
    }
  },
  freeBytes: async (path: string) => {
    const { bavail, bsize } = await fs.promises.statfs(path)
    return bavail * bsize
  },
})

/** Absent where the system has no such flag; a sync then follows each write. */
const durableWrites: number | undefined = fs.constants.O_DSYNC

const createFlags =
  fs.constants.O_WRONLY | fs.constants.O_CREAT | fs.constants.O_EXCL | (durableWrites ?? 0)

function readable(handle: fs.promises.FileHandle, path: string): ReadableFile {
  // Of an open file, the system's error does not say which.
  const named = (error: unknown): never => {
    throw Object.assign(error as Error, { path })
  }
  return {
    read: async (into, position) =>
      (await handle.read(into, 0, into.byteLength, position).catch(named)).bytesRead,
    sync: () => handle.sync().catch(named),
    close: () => handle.close(),
  }
}

function writable(fd: number): WritableFile {
  return {
    // The plain callback: one write is on the way of every request, and a FileHandle costs more.
    write: (bytes, position) =>
      new Promise((resolve, reject) => {
        fs.write(fd, bytes, 0, bytes.byteLength, position, (error, written) => {
          if (error) reject(error)
          else if (durableWrites !== undefined) resolve(written)
          else fs.fdatasync(fd, (failed) => (failed ? reject(failed) : resolve(written)))
        })
      }),
    truncate: (length) => promisify(fs.ftruncate)(fd, length),
    sync: () => promisify(fs.fsync)(fd),
    close: () => promisify(fs.close)(fd),
  }
}
