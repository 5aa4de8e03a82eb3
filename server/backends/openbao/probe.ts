/** Proves that an OpenBao can be a backend, with an entry of its own at a path that no secret has. */
import { randomBytes } from 'node:crypto'
import { SottoError } from '../../../client/api/errors.ts'
import { type OpenBaoAddress, OpenBaoConnection } from '../../openbao/connection.ts'
import type { BackendReport } from '../contract.ts'
import type { Kv, MountSettings } from './kv.ts'

const FOLDER = 'probe'

/**
 * Looks at the mount and its settings; writes, changes, lists, reads and removes an entry. Rejects with
 * what is wrong: `backend_refused` for a setting or a missing permission.
 */
export async function probe(
  kv: Kv,
  address: OpenBaoAddress,
  storeId: string,
): Promise<BackendReport> {
  const mount = await kv.mount()
  const settings = await kv.settings()
  if (settings?.deletes === true) throw expiring('use it', kv.place)
  const { marks, removes } = await tryEntry(kv, `${FOLDER}/${storeId}`)
  const version = await versionOf(address)
  return {
    product: `${mount.openBao ? 'OpenBao' : 'Vault'}${version === undefined ? '' : ` ${version}`}`,
    marks,
    notes: notesOn(settings, marks, removes),
  }
}

/** The error that OpenBao is set up to delete what is written there. `attempted` follows "Cannot". */
export function expiring(attempted: string, place: string): SottoError {
  return new SottoError(
    'backend_refused',
    `Cannot ${attempted} at ${place}: the mount deletes what is written there after a time`,
    { hint: 'Set `delete_version_after` of the mount to 0s, or give a mount of its own.' },
  )
}

async function tryEntry(kv: Kv, path: string): Promise<{ marks: boolean; removes: boolean }> {
  const attempted = 'write and read a probe'
  const before = await kv.read(path, attempted)
  const text = randomBytes(8).toString('hex')
  const data = Buffer.from(JSON.stringify({ text }))
  const first = before?.revision ?? 0
  for (const expected of [first, first + 1]) {
    const written = await kv.write(path, data, expected, attempted)
    if (written === undefined) throw disturbed(kv.place)
    if (written.expires !== undefined) throw expiring('use it', kv.place)
  }
  const marks = await kv.note(path, { sotto: 'probe' }, attempted)
  const read = await kv.read(path, attempted)
  if (read?.data?.['text'] !== text) throw disturbed(kv.place)
  const keys: string[] = []
  for await (const key of kv.list(FOLDER, 'list a probe')) keys.push(key)
  if (!keys.includes(path.slice(FOLDER.length + 1))) throw disturbed(kv.place)
  return { marks, removes: await removed(kv, path) }
}

/** Whether the policy lets us remove for good. */
async function removed(kv: Kv, path: string): Promise<boolean> {
  try {
    await kv.remove(path, 'remove a probe')
    return true
  } catch (error) {
    if (error instanceof SottoError && error.code === 'backend_refused') return false
    throw error
  }
}

function disturbed(place: string): SottoError {
  return new SottoError(
    'backend_unavailable',
    `Cannot test ${place}: what was written is not what is read, or another test is running`,
    { hint: 'Try again. Where standbys answer reads, they may lag for a moment.' },
  )
}

function notesOn(settings: MountSettings | undefined, marks: boolean, removes: boolean): string[] {
  return [
    ...(settings ? [] : ['The settings of the mount may not be read: they are not checked.']),
    ...(marks ? [] : ['Entries cannot be marked as ours: ownership is kept in the store alone.']),
    ...(removes ? [] : ['Nothing can be removed there: no policy allows delete on the metadata.']),
  ]
}

/** Asked without a namespace: it is answered only there. */
async function versionOf(address: OpenBaoAddress): Promise<string | undefined> {
  const { namespace: _namespace, ...outside } = address
  const connection = new OpenBaoConnection(outside)
  try {
    const answer = await connection.call({ method: 'GET', path: 'sys/seal-status' })
    const { version } = ((answer.ok && answer.body) || {}) as { version?: unknown }
    return typeof version === 'string' ? version : undefined
  } finally {
    await connection.close()
  }
}
