/** The files of a tree that are checked, and what of it is not read. Links are not followed, so there are no circles. */
import { type Dirent, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { SottoError } from '../../client/api/errors.ts'
import { reasonOf, systemError } from '../../client/platform/system-error.ts'
import { readTextFileNow } from '../../client/platform/text-file.ts'
import { languageOf } from './text.ts'

/** A path that was not read, and why. */
export interface NotRead {
  readonly path: string
  readonly why: string
  /** Whether something may be in it that nobody looked at. */
  readonly isFault: boolean
}

/** What there is below a path. */
interface Tree {
  readonly files: readonly string[]
  readonly notRead: readonly NotRead[]
}

/** What others wrote, or wrote themselves. */
const foreign: ReadonlySet<string> = new Set(
  'node_modules .git .hg .svn .venv .terraform __pycache__'.split(' '),
)
/** Bounds of one tree. */
const MOST_FILES = 50_000
const DEEPEST = 64
/** A larger file was not written by a person. */
const MOST_BYTES = 1024 * 1024

/** The files at or below `path`, in order. Throws `local` where there is nothing. */
export function treeOf(path: string): Tree {
  try {
    if (!statSync(path).isDirectory()) {
      return languageOf(path) === undefined
        ? { files: [], notRead: [left(path, 'it is of no kind that is checked')] }
        : { files: [path], notRead: [] }
    }
  } catch (error) {
    throw systemError(error, 'check', path)
  }
  const files: string[] = []
  const notRead: NotRead[] = []
  walk(path, DEEPEST, files, notRead)
  return { files, notRead }
}

/** The text of a file, or why it is not read. */
export function contentOf(path: string): string | NotRead {
  try {
    const stat = statSync(path)
    if (!stat.isFile()) return left(path, 'it is not a regular file')
    if (stat.size > MOST_BYTES) return left(path, 'it is larger than 1 MiB')
    return readTextFileNow(path, 'file')
  } catch (error) {
    if (!(error instanceof SottoError)) return fault(path, reasonOf(error))
    if (error.cause !== undefined) return fault(path, reasonOf(error.cause))
    return left(path, error.message.slice(error.message.lastIndexOf(': ') + 2))
  }
}

function walk(folder: string, depth: number, files: string[], notRead: NotRead[]): void {
  let entries: Dirent[]
  try {
    entries = readdirSync(folder, { withFileTypes: true })
  } catch (error) {
    notRead.push(fault(folder, reasonOf(error)))
    return
  }
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name)
    if (entry.isSymbolicLink()) notRead.push(left(path, 'it is a symbolic link'))
    else if (entry.isDirectory()) {
      if (foreign.has(entry.name)) continue
      if (depth > 0) walk(path, depth - 1, files, notRead)
      else notRead.push(fault(path, `it is more than ${DEEPEST} folders deep`))
    } else if (entry.isFile() && languageOf(path) !== undefined) {
      if (files.length < MOST_FILES) files.push(path)
      else {
        notRead.push(fault(path, `it and what follows are more than ${MOST_FILES} files`))
        return
      }
    }
  }
}

function left(path: string, why: string): NotRead {
  return { path, why, isFault: false }
}

function fault(path: string, why: string): NotRead {
  return { path, why, isFault: true }
}
