/**
 * The one closed table of errors. HTTP status and body, CLI exit code, client behaviour and
 * docs/api.md all read it; nothing else in the project decides what a failure looks like outside.
 */

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
  not_post: answered(400, 'only POST requests allowed', 'The API only answers POST.'),
  content_type: answered(
    400,
    'request body must be json',
    'The `Content-Type` header is not `application/json`.',
  ),
  browser: refused('The header that keeps browsers out is missing or wrong.'),
  unidentified: closed(
    500,
    'unable to identify caller',
    'The network could not say who is calling.',
  ),
  bad_request: answered(
    400,
    'bad request',
    'The body does not decode into a request of this method.',
  ),
  denied: refused('No rule of the caller allows the action on the name, whether it exists or not.'),
  not_found: answered(
    404,
    'not found',
    'The secret, the version, or what else was named does not exist.',
    3,
  ),
  unchanged: closed(
    304,
    '',
    'A conditional get found the version that the caller holds still active.',
    5,
  ),
  invalid_version: answered(
    400,
    'invalid version, please specify a version > 0',
    'A version number of 0 was given where a version must be named.',
  ),
  version_taken: answered(
    412,
    'version already set',
    'create-version named a number that has, or once had, a value.',
  ),
  invalid_name: answered(
    400,
    'invalid secret name',
    'The name of a secret to be written is empty, too long, or has control characters.',
  ),
  version_active: answered(
    400,
    'cannot delete the active version; activate another version first',
    'delete-version named the version that is active.',
  ),
  versions_exhausted: answered(
    400,
    'no version number is left for this secret',
    'The highest version number, 4294967295, was already given.',
  ),
  conflict: answered(
    409,
    'the secret was changed by another request; try again',
    'A compare-and-set lost against another writer.',
  ),
  job_failed: local(2, 'A job of the server failed; its state says why.'),
  no_such_method: answered(404, 'no such method', 'The path names no method of the API.'),
  timeout: answered(
    408,
    'request took too long to arrive',
    'The request was not complete within the limit.',
  ),
  too_large: answered(413, 'request body too large', 'The body is larger than 2 MiB.'),
  head_too_large: answered(
    431,
    'request header fields too large',
    'The request line and headers together are larger than 16 KiB.',
  ),
  overloaded: answered(
    503,
    'too many requests, try again later',
    'The server is working on as many requests as it takes at once; `Retry-After` says when to try again.',
  ),
  shutting_down: answered(
    503,
    'server is shutting down',
    'The server finishes what it accepted and accepts nothing new.',
  ),
  audit_unavailable: inside(
    'The audit log could not be made durable in time, so nothing was revealed or changed.',
  ),
  store_unavailable: inside('The store could not be read or written in time.'),
  store_damaged: inside('Stored bytes failed their authentication: damaged, moved or altered.'),
  backend_unavailable: answered(
    503,
    'the backend of this secret is unavailable, try again later',
    'The backend that keeps the value did not answer in time, or cannot for now: it is down, sealed, or busy.',
  ),
  backend_refused: answered(
    502,
    'the backend of this secret refused',
    'The backend that keeps the value answers, but refuses: a permission, a login, or a mount that is gone.',
  ),
  backend_altered: answered(
    502,
    'the value in the backend is not the one that was written',
    'What the backend keeps was altered, deleted or written by someone else.',
  ),
  backend_exists: answered(
    409,
    'the backend exists already',
    'A backend was to be created under a name that another one has.',
  ),
  backend_in_use: answered(
    409,
    'the backend is in use',
    'The backend keeps secrets, or is where new ones are kept, or always stays.',
  ),
  backend_not_allowed: answered(
    400,
    'the settings of the server allow no backend at that address',
    'A backend was to be at an address that `--backend-origin` does not name.',
  ),
  backend_too_large: answered(
    413,
    'value too large for its backend',
    'The value has more bytes or fields than its backend takes.',
  ),
  internal: inside('A fault in the server.'),
  usage: local(1, 'The command line was not understood.'),
  local: local(1, 'Something on this machine failed: a file, the terminal, an argument.'),
  unreachable: local(6, 'No answer came from the server.'),
  bad_answer: local(2, 'The server answered with something that is not part of the API.'),
  no_store: local(1, 'The state directory holds no store; making one is `sotto init`.'),
  store_exists: local(1, 'The state directory already holds something; it is never replaced.'),
  store_locked: local(1, 'Another process owns the state directory.'),
  store_newer: local(1, 'The store was written by a newer release.'),
  store_foreign: local(1, 'The file is not a Sotto store, or belongs to another mode or store.'),
  store_behind: local(
    1,
    'The audit log has changes that the store does not have: the store was rolled back.',
  ),
  audit_cut: local(
    1,
    'The store refers to audit records that the log does not have: the log was cut.',
  ),
  audit_damaged: local(1, 'The audit log does not verify.'),
  key_missing: key(
    'The key does not exist or cannot be used: a file, or a key service that does not answer.',
  ),
  key_exposed: key('The key file can be read by others than its owner.'),
  key_wrong: key('The store was sealed under another key.'),
  tailscaled_unavailable: local(
    1,
    'tailscaled could not be asked, did not answer in time, or gave no sensible answer.',
  ),
  certificate_unavailable: local(1, 'There is no certificate for the name of the server.'),
  migration_incomplete: local(2, 'Secrets were not migrated.'),
  import_incomplete: local(1, 'Secrets did not come over, or are not equal on both servers.'),
  no_backup: answered(404, 'no such backup', 'There is no backup of that name, or no file.', 3),
  backup_damaged: answered(
    500,
    'the backup does not verify',
    'A backup is not whole, was altered, or does not hold what it says.',
    1,
  ),
  target_unavailable: answered(
    500,
    'the backup target does not work',
    'Where backups are kept could not be read or written.',
    1,
  ),
  backup_locked: local(1, 'A backup cannot be deleted yet: an object lock keeps it.'),
  unsafe: local(1, 'The server refuses to start in a state that is not safe.'),
} as const satisfies Record<string, ErrorKind>

/** The code of an error: one of the closed table. */
export type ErrorCode = keyof typeof errorTable

/** What an error may carry besides its code and message. */
export interface ErrorExtra {
  /** What to do about it, one sentence for an operator. */
  readonly hint?: string | undefined
  /** The error underneath. Never an error that could hold a secret value. */
  readonly cause?: unknown
}

/**
 * The only error class that crosses rooms. The message says what was attempted, quotes names and
 * gives the state; it never holds a secret value. The code decides what others see of it.
 */
export class SottoError extends Error {
  override readonly name = 'SottoError'
  readonly code: ErrorCode
  readonly hint: string | undefined

  constructor(code: ErrorCode, message: string, extra: ErrorExtra = {}) {
    super(message, extra.cause === undefined ? undefined : { cause: extra.cause })
    this.code = code
    this.hint = extra.hint
  }
}

/** The error as it is, or, for anything unexpected, `internal` with that as its cause. */
export function asSottoError(error: unknown): SottoError {
  if (error instanceof SottoError) return error
  return new SottoError('internal', 'Unexpected fault', { cause: error })
}

/** Quotes a name for a message: JSON, so that control characters and quotes stay visible. */
export function quote(name: string): string {
  return JSON.stringify(name)
}
