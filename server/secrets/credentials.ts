/** Reads the secrets that the server logs in to backends with: as a caller of its own, so that it is recorded. */
import type { SecretRef } from '../../client/api/backends.ts'
import { SottoError } from '../../client/api/errors.ts'
import type { SecretCache } from '../catalog/cache.ts'
import type { Gate } from '../gate/gate.ts'
import { systemCall } from '../gate/system.ts'

/**
 * The credential that `ref` names. Rejects with `backend_refused` when there is none, and with
 * `audit_unavailable`.
 */
export async function readCredential(
  cache: SecretCache,
  gate: Gate,
  { name, key }: SecretRef,
): Promise<string> {
  const call = systemCall('backend', [{ action: ['get'], secret: [name] }])
  const pass = await gate.enter(call, 'get', name)
  const found = await cache.read(name, 0)
  const version = found?.versions.get(found.row.active)
  if (!found || !version) {
    await pass.record('not-found')
    throw unusable('it is not there')
  }
  // To log in to one backend it would take another, or the same.
  if (version.backend !== undefined) {
    await pass.record('refused')
    throw unusable('it is kept in a backend itself')
  }
  const value = await pass.reveal(found.row, version)
  try {
    const text = value.toString('utf8')
    return key === undefined ? text.trim() : fieldOf(text, key)
  } finally {
    value.fill(0)
  }
}

function fieldOf(text: string, key: string): string {
  let fields: unknown
  try {
    fields = JSON.parse(text)
  } catch {
    throw unusable('it is not a JSON object')
  }
  const isObject = typeof fields === 'object' && fields !== null && Object.hasOwn(fields, key)
  const field = isObject ? (fields as Record<string, unknown>)[key] : undefined
  if (typeof field === 'string') return field
  throw unusable('it has no text under the key of the settings')
}

/** Where a credential is, is masked wherever a backend is shown; the audit log has the name. */
function unusable(reason: string): SottoError {
  return new SottoError(
    'backend_refused',
    `Cannot log in with the secret that is named: ${reason}`,
    {
      hint: 'Put the credential there, or name another secret with `sotto backend apply`.',
    },
  )
}
