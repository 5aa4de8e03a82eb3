/** Turns what SQLite reports into errors of the error table. */
import { dirname } from 'node:path'
import Database from 'better-sqlite3'
import { type ErrorCode, SottoError } from '../../../client/api/errors.ts'
import { accessFault, adviceOn, reasonOf } from '../../../client/platform/system-error.ts'

const RESTORE = 'Keep the file for inspection and restore the store from a backup.'

/** Why a change is refused, to follow "Cannot …: " in a message. It undoes itself, and nothing else. */
export class Refusal extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, reason: string) {
    super(reason)
    this.code = code
  }
}

/**
 * `error` as a SottoError about the store at `path`; `attempt` follows "Cannot". A SottoError stays
 * as it is.
 */
export function asStoreError(error: unknown, attempt: string, path: string): SottoError {
  if (error instanceof SottoError) return error
  if (error instanceof Refusal) {
    return new SottoError(error.code, `Cannot ${attempt}: ${error.message}`)
  }
  if (!(error instanceof Database.SqliteError)) {
    return new SottoError('internal', `Cannot ${attempt}: ${String(error)}`, { cause: error })
  }
  const { code } = error
  const about = `Cannot ${attempt}: the store "${path}"`
  if (/^SQLITE_(CORRUPT|NOTADB|FORMAT)/.test(code)) {
    return new SottoError('store_damaged', `${about} is damaged (${code})`, { hint: RESTORE })
  }
  if (code.startsWith('SQLITE_CONSTRAINT')) {
    return new SottoError('internal', `${about} does not admit the change (${code})`)
  }
  const fault = /^SQLITE_(?:CANTOPEN|READONLY|PERM)/.test(code) && rightsFault(path)
  if (fault) {
    const message = `${about} cannot be opened: ${reasonOf(fault)} (${code})`
    return new SottoError('store_unavailable', message, { hint: adviceOn(fault), cause: error })
  }
  const known = reasons.find(([prefix]) => code.startsWith(prefix))
  return new SottoError('store_unavailable', `${about} ${known?.[1] ?? 'failed'} (${code})`, {
    ...(known && { hint: known[2] }),
    cause: error,
  })
}

/** What SQLite does not say: who may not do what. */
function rightsFault(path: string): NodeJS.ErrnoException | undefined {
  return accessFault(path) ?? accessFault(dirname(path), true)
}

/** Whether no room was left for what was written. */
export function isFull(error: unknown): boolean {
  return error instanceof Database.SqliteError && error.code === 'SQLITE_FULL'
}

/** The error for a file that is not a store. */
export function foreign(path: string): SottoError {
  return new SottoError('store_foreign', `Cannot open "${path}": it is not a Sotto store`, {
    hint: 'Look at which file it is. If it was a store, its first page is damaged: restore a backup.',
  })
}

/** The store did not pass the check that is made when it is opened. */
export function damaged(path: string, finding: string): SottoError {
  const message = `Cannot open the store "${path}": ${finding}`
  return new SottoError('store_damaged', message, { hint: RESTORE })
}

const reasons: readonly (readonly [prefix: string, reason: string, hint: string])[] = [
  ['SQLITE_FULL', 'has no room left: the disk is full', 'Free space on the disk of the store.'],
  ['SQLITE_IOERR', 'could not be read or written: the disk failed', 'Look at the system log.'],
  ['SQLITE_BUSY', 'is held by another program', 'End what else has the file open.'],
  ['SQLITE_READONLY', 'cannot be written', 'Look at the permissions of the file and its folder.'],
  ['SQLITE_CANTOPEN', 'cannot be opened', 'Look at the permissions of the file and its folder.'],
  ['SQLITE_PERM', 'cannot be opened', 'Look at the permissions of the file and its folder.'],
]
