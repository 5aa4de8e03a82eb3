/** The machine's file system with a switch that breaks writing: the disk that an audit log may be on. */
import { type FileSystem, nodeFiles, type WritableFile } from '../../audit/files.ts'

/** What writing does: works, fails as a full disk does, or does not come back until it works again. */
export type Mode = 'works' | 'full' | 'hangs'

/** A file system that can be broken and mended. */
export interface FaultyFiles {
  readonly files: FileSystem
  /** Writes that were asked for so far. */
  writes(): number
  set(mode: Mode): void
}

/** A file system that works until it is told otherwise. */
export function faultyFiles(): FaultyFiles {
  let mode: Mode = 'works'
  let count = 0
  let mended = Promise.withResolvers<void>()
  const pass = async (): Promise<void> => {
    if (mode === 'full') throw Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC' })
    if (mode === 'hangs') await mended.promise
  }
  const wrap = (file: WritableFile): WritableFile => ({
    write: async (bytes, position) => {
      count++
      await pass()
      return file.write(bytes, position)
    },
    truncate: async (length) => {
      await pass()
      await file.truncate(length)
    },
    sync: async () => {
      await pass()
      await file.sync()
    },
    close: () => file.close(),
  })
  return {
    files: {
      ...nodeFiles,
      create: async (path) => {
        await pass()
        return wrap(await nodeFiles.create(path))
      },
    },
    writes: () => count,
    set: (next) => {
      mode = next
      if (next !== 'works') return
      mended.resolve()
      mended = Promise.withResolvers()
    },
  }
}
