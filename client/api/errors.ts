/**
 * The one closed table of errors. HTTP status and body, CLI exit code, client behaviour and
 * docs/reference/errors.md all read it; nothing else in the project decides what a failure looks like outside.
 */
import type { Action } from './types.ts'

/** How one error code looks from outside. */
export interface ErrorKind {
  /** HTTP status, or 0 for an error that never crosses the wire. */
  readonly status: number
  /** The whole body of the HTTP answer, without the newline that ends it; empty means no body. */
  readonly text: string
  /** Exit code of the command line: 1 local or usage, 2 server, 3 not found, 4 denied, 5 unchanged, 6 unreachable. */
  readonly exit: 1 | 2 | 3 | 4 | 5 | 6
  /**
   * Whether the message of the error may be sent to the caller, in the `Sotto-Detail` header.
   * False where the reason is for the operator alone: refusals, and faults inside the server.
   */
  readonly open: boolean
  /** One sentence for the docs. */
  readonly meaning: string
}

type Exit = ErrorKind['exit']

/** An error that the server answers with, and its reason. */
function answered(status: number, text: string, meaning: string, exit: Exit = 2): ErrorKind {
  return { status, text, exit, open: true, meaning }
}

/** An error whose reason the caller does not learn: it is only in the log of the server. */
function closed(status: number, text: string, meaning: string, exit: Exit = 2): ErrorKind {
  return { status, text, exit, open: false, meaning }
}

/** An error that never crosses the wire. */
const local = (exit: Exit, meaning: string): ErrorKind => closed(0, '', meaning, exit)
/** A refusal. */
const refused = (meaning: string): ErrorKind => closed(403, 'access denied', meaning, 4)
/** A fault inside the server. */
const inside = (meaning: string): ErrorKind => closed(500, 'internal error', meaning)
/** A fault with the keys of the store. */
const key = (meaning: string): ErrorKind =>
  answered(500, 'no available key could be used', meaning, 1)

/** Every error that Sotto can give, by code. Statuses and texts up to `version_taken` are setec's. */
export const errorTable = {
  not_post: answered(400, 'only POST requests allowed', 'The request is not a POST.'),
  content_type: answered(
    400,
    'request body must be json',
    '`Content-Type` is not `application/json`.',
  ),
  browser: refused('The header that keeps browsers out is missing.'),
  wrong_host: answered(
    421,
    'this server does not have that name',
    '`Host` is not a name of the server.',
  ),
  unidentified: closed(
    500,
    'unable to identify caller',
    'The network could not say who is calling.',
  ),
  bad_request: answered(400, 'bad request', 'The body is not a request of this method.'),
  denied: refused('No rule allows the action, whether the name exists or not.'),
  not_found: answered(404, 'not found', 'What was named does not exist.', 3),
  unchanged: closed(304, '', 'The caller holds the active version.', 5),
  invalid_version: answered(
    400,
    'invalid version, please specify a version > 0',
    'Version 0 was given.',
  ),
  version_taken: answered(412, 'version already set', 'The number has, or once had, a value.'),
  invalid_name: answered(
    400,
    'invalid secret name',
    'The name is empty, longer than 512 bytes, or has control characters.',
  ),
  version_active: answered(
    400,
    'cannot delete the active version; activate another version first',
    'The version is active.',
  ),
  versions_exhausted: answered(
    400,
    'no version number is left for this secret',
    'Version 4294967295 was already given.',
  ),
  conflict: answered(
    409,
    'the secret was changed by another request; try again',
    'Another request changed it first.',
  ),
  job_failed: local(2, 'A job of the server failed.'),
  no_such_method: answered(404, 'no such method', 'The path names no method of the API.'),
  timeout: answered(
    408,
    'request took too long to arrive',
    'The request was not complete in time.',
  ),
  too_large: answered(413, 'request body too large', 'The body is larger than 2 MiB.'),
  head_too_large: answered(
    431,
    'request header fields too large',
    'The headers are larger than 16 KiB.',
  ),
  overloaded: answered(
    503,
    'too many requests, try again later',
    'The server is at its limit of requests.',
  ),
  shutting_down: answered(503, 'server is shutting down', 'The server is stopping.'),
  audit_unavailable: inside('The audit log cannot be written. Nothing was revealed or changed.'),
  store_unavailable: inside('The store cannot be read or written.'),
  store_damaged: inside('Stored bytes were damaged, moved or altered.'),
  backend_unavailable: answered(
    503,
    'the backend of this secret is unavailable, try again later',
    'The backend does not answer, is sealed, or is busy.',
  ),
  backend_refused: answered(
    502,
    'the backend of this secret refused',
    'A permission, a login or a mount is missing in the backend.',
  ),
  backend_altered: answered(
    502,
    'the value in the backend is not the one that was written',
    'Someone else changed or deleted it.',
  ),
  backend_exists: answered(
    409,
    'the backend exists already',
    'Another backend has that name or place.',
  ),
  rotation_exists: answered(
    409,
    'the rotation exists already',
    'Another rotation has that name, or rotates that secret.',
  ),
  rotation_state: answered(
    409,
    'the rotation is not in a state that permits it',
    'A run is under way, or there is none, or it is held.',
  ),
  rotation_not_allowed: answered(
    400,
    'the settings of the server do not allow that target',
    'A rotation may change nothing at that address.',
  ),
  rotation_unavailable: answered(
    503,
    'the target of the rotation is unavailable, try again later',
    'The target does not answer, or does not prove who it is.',
  ),
  rotation_refused: answered(
    502,
    'the target of the rotation refused',
    'A login or a right is missing there, or something there is not as the rotation needs it.',
  ),
  backend_in_use: answered(
    409,
    'the backend is in use',
    'The backend keeps secrets, is the home of new ones, or is built in.',
  ),
  backend_not_allowed: answered(
    400,
    'the settings of the server do not allow that backend',
    'Its address or login is not allowed.',
  ),
  backend_too_large: answered(
    413,
    'value too large for its backend',
    'The value has too many bytes or fields.',
  ),
  not_adopted: answered(
    409,
    'this server may change nothing outside its store before an operator adopts it',
    'The store was restored or copied, or another server wrote to its places.',
  ),
  internal: inside('A fault in the server.'),
  usage: local(1, 'The command line was not understood.'),
  local: local(1, 'A file, the terminal or an argument cannot be used.'),
  unreachable: local(6, 'No answer came from the server.'),
  bad_answer: local(2, 'The answer is not one of the API.'),
  no_store: local(1, 'The state directory has no store.'),
  store_exists: local(1, 'The directory is not empty.'),
  store_locked: local(1, 'Another process uses the state directory.'),
  store_newer: local(1, 'A newer release wrote the store.'),
  store_foreign: local(1, 'The file belongs to another store, or to none.'),
  rolled_back: local(2, 'The server answers from before what it told a program.'),
  store_behind: local(1, 'The store is older than its audit log.'),
  audit_cut: local(1, 'The audit log lacks records that the store refers to.'),
  audit_damaged: local(1, 'The audit log does not verify.'),
  key_missing: key('No key that opens the store is available.'),
  key_exposed: key('Others can read the key file.'),
  key_wrong: key('The store was sealed under another key.'),
  tailscaled_unavailable: local(1, 'tailscaled did not answer as expected.'),
  certificate_unavailable: local(1, 'The server has no certificate.'),
  migration_incomplete: local(2, 'Some secrets were not moved.'),
  import_incomplete: local(1, 'Some secrets were not copied, or differ.'),
  no_backup: answered(404, 'no such backup', 'There is no such backup.', 3),
  backup_damaged: answered(
    500,
    'the backup does not verify',
    'The backup is not whole, or was altered.',
    1,
  ),
  target_unavailable: answered(
    500,
    'the backup target does not work',
    'Backups cannot be read or written there.',
    1,
  ),
  backup_locked: local(1, 'An object lock keeps the backup.'),
  unsafe: local(1, 'The program refuses an unsafe state.'),
} as const satisfies Record<string, ErrorKind>

/** The code of an error: one of the closed table. */
export type ErrorCode = keyof typeof errorTable

/** What an error may carry besides its code and message. */
export interface ErrorExtra {
  /** What to do about it, one sentence for an operator: callers without any operator's action are not sent it. */
  readonly hint?: string | undefined
  /** The same for every caller, whatever the code: it says nothing but what the caller asked for, and what the docs say. */
  readonly callerHint?: string | undefined
  /** The error underneath. Never an error that could hold a secret value. */
  readonly cause?: unknown
  /** Callers without this action are not sent the message. Absent: as the table says of the code. */
  readonly onlyFor?: Action | undefined
  /** The state that was found, in words that name nothing: it may be told to others who meet it. */
  readonly found?: string | undefined
}

/**
 * The only error class that crosses rooms. The message says what was attempted, quotes names and
 * gives the state; it never holds a secret value. The code decides what others see of it.
 */
export class SottoError extends Error {
  override readonly name = 'SottoError'
  readonly code: ErrorCode
  readonly hint: string | undefined
  readonly callerHint: string | undefined
  readonly onlyFor: Action | undefined
  readonly found: string | undefined

  constructor(code: ErrorCode, message: string, extra: ErrorExtra = {}) {
    super(message, extra.cause === undefined ? undefined : { cause: extra.cause })
    this.code = code
    this.hint = extra.hint
    this.callerHint = extra.callerHint
    this.onlyFor = extra.onlyFor
    this.found = extra.found
  }
}

/** The error as it is, or, for anything unexpected, `internal` with that as its cause. */
export function asSottoError(error: unknown): SottoError {
  if (error instanceof SottoError) return error
  return new SottoError('internal', 'Unexpected fault', { cause: error })
}

/** The same error, whose message is for callers with `action` alone. */
export function onlyFor(action: Action, error: unknown): SottoError {
  const { code, message, ...extra } = asSottoError(error)
  return new SottoError(code, message, { ...extra, onlyFor: action })
}

/** Quotes a name for a message: JSON, so that control characters and quotes stay visible. */
export function quote(name: string): string {
  return JSON.stringify(name)
}
