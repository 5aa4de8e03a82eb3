/** What a person can do about each error: its hint where it has none of its own. docs/reference/errors.md shows it too. */
import type { ErrorCode } from '../client/api/errors.ts'

/** By code, one or two short sentences. */
export const cures: Readonly<Record<ErrorCode, string>> = {
  not_post: 'Send POST.',
  content_type: 'Send that header.',
  browser: 'Send `Sec-X-Tailscale-No-Browsers: setec`, and check that no proxy removes it.',
  wrong_host: 'Call it by its tailnet name.',
  unidentified: 'Check that this machine is on the tailnet. The server logs the reason.',
  bad_request: 'Compare it with `/api/openapi.json`.',
  denied: 'Run `sotto whoami NAME` to see who you are to the server and what you may do.',
  not_found: 'Check the name. `sotto list` shows the secrets that you may see.',
  unchanged: 'Keep using it.',
  invalid_version: 'Versions count from 1.',
  version_taken: 'Use `sotto put`, or a higher number.',
  invalid_name: 'Choose another name.',
  version_active: 'Activate another version first.',
  versions_exhausted: 'Choose a new name.',
  conflict: 'Look again, then try again.',
  job_failed: '`sotto job status` says why.',
  no_such_method: 'The server is another release, or not Sotto.',
  timeout: 'Check the network, then try again.',
  too_large: 'Store a smaller value.',
  head_too_large: 'Send fewer headers.',
  overloaded: 'Wait as long as `Retry-After` says.',
  shutting_down: 'Try again when it is back.',
  audit_unavailable: 'Check the disk of the audit log.',
  store_unavailable: 'Check the disk of the store.',
  store_damaged: 'Restore the store from a backup.',
  backend_unavailable: '`sotto backend test BACKEND` shows why.',
  backend_refused: '`sotto backend test BACKEND` shows why.',
  backend_altered: 'Find out who, then put the value again.',
  backend_exists: 'Choose another name or place.',
  rotation_exists: 'Choose another name, or change the rotation that there is.',
  rotation_state: 'See `sotto rotation status`.',
  backend_in_use: 'Move its secrets with `sotto migrate secrets` first.',
  backend_not_allowed: 'See `--backend-origin`, `--backend-jwt-role` and `--backend-ca-file`.',
  backend_too_large: 'Keep it in Sotto, or split it.',
  not_adopted: 'Stop other servers of this store, then run `sotto branch adopt`.',
  internal: 'Look for the request id in the log of the server.',
  usage: 'Run `sotto help COMMAND`.',
  local: 'Fix what the message names.',
  unreachable: 'Check the URL, the network and the server.',
  bad_answer: 'Check the URL.',
  no_store: 'Check the path and the mount. `sotto init` makes a new store.',
  store_exists: 'Give an empty directory.',
  store_locked: 'Ask the running server instead, or stop it first.',
  store_newer: 'Start it with that release, or a newer one.',
  store_foreign: 'Put back the right file, or restore a backup.',
  rolled_back: 'Find out whether an older copy of the server runs; it is asked again.',
  store_behind: 'Put the newer store back, or run `sotto restore` with `--audit`.',
  audit_cut: 'Put the whole log back, or run `sotto restore`.',
  audit_damaged: 'Keep its files, and put back a good copy.',
  key_missing: 'Give one: `sotto key status` lists them.',
  key_exposed: 'Run `chmod 600` on it. Replace a key that was read.',
  key_wrong: 'Give a key that opens this store: `sotto key status` lists them.',
  tailscaled_unavailable: 'Run `tailscale status` and `sotto doctor`.',
  certificate_unavailable: 'Turn on HTTPS for the tailnet, or give `--tls-cert`.',
  migration_incomplete: 'Fix what is named, then run it again.',
  import_incomplete: 'Fix what is named, then run it again.',
  no_backup: '`sotto backup list` shows which there are.',
  backup_damaged: 'Use another: `sotto backup list`.',
  target_unavailable: 'Check the volume or bucket, and its credentials.',
  backup_locked: 'Delete it when the lock has ended.',
  unsafe: 'Fix what the message names.',
}

/** What is said of itself: there, a cure would repeat the message. */
const plain: ReadonlySet<ErrorCode> = new Set([
  'usage',
  'local',
  'unsafe',
  'unchanged',
  'bad_request',
])

/** The hint of an error: its `own`, or else the cure for its code. Who is denied is told both. */
export function hintFor(code: ErrorCode, own: string | undefined): string | undefined {
  if (own === undefined) return plain.has(code) ? undefined : cures[code]
  return code === 'denied' ? `${own} ${cures.denied}` : own
}
