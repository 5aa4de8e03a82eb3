/** What the MACs of a store cover: what it is, and each of its changes with what it led to. */
import { hash, timingSafeEqual } from 'node:crypto'
import type { BatchKeys } from '../../audit/batches.ts'
import { SottoError } from '../../client/api/errors.ts'
import type { Keyring } from '../crypto/keyring.ts'
import type {
  ChangeMac,
  Restored,
  SecretState,
  StoredBackend,
  StoredChange,
  StoredKeys,
  StoredRotation,
  StoredStanding,
  StoreIdentity,
} from '../store/contract.ts'
import { keysShape, secretShape } from '../store/shapes.ts'

/** What a store is that never changes, or only by a restore. */
export type Fixed = Pick<StoreIdentity, 'id' | 'development' | 'createdAt' | 'branch'>

/** The keys of MACs. */
export type MacKeys = Pick<Keyring, 'auditMac' | 'auditKeys' | 'takesPrevious'>

/** What of a change its MAC covers. */
export interface Covered {
  readonly fields: readonly unknown[]
  /** In hex. */
  readonly state?: string
}

/** What a MAC of a store covers of what it is. */
export function fieldsOf(
  { id, development, createdAt, branch }: Fixed,
  restores: readonly Restored[],
  { adopted, starts, host, macsFrom, checked = 0, digest: rows = new Uint8Array() }: StoredStanding,
): unknown[] {
  const came = restores.map((each) => {
    const { revision, backup, takenAt, takenRevision, floor, by, at } = each
    return [revision, backup, takenAt, takenRevision, floor, by, at, each.former, each.branch]
  })
  const known = [checked, Buffer.from(rows).toString('hex')]
  return ['store', id, development, createdAt, branch, adopted, starts, host, macsFrom, known, came]
}

/** What a MAC of a change covers. */
export function covered(storeId: string, change: Omit<StoredChange, 'revision' | 'mac'>): Covered {
  const { id, hash: of, about, verb, name, incarnation = 0, version = 0, by, at, state } = change
  // What the log's record says of a change of the keys is bound by its hash.
  const named = about === 'keys' ? [] : [verb, name, incarnation, version]
  return {
    fields: ['change', storeId, id, of, about, ...named, by, at, state ?? ''],
    ...(state && { state }),
  }
}

/**
 * What a secret looks like, in 64 hex digits. Not the highest number: that a restore raises by itself, and the secret's
 * own MAC covers it.
 */
export function digestOfSecret(state: SecretState): string {
  return digestOfShape(secretShape(state))
}

/** The same of one whose text is known. */
export function digestOfShape(shape: string): string {
  return hash('sha256', shape, 'hex')
}

/** The same of a backend; not whether it is the default, which another one's change may end: see `withDefault`. */
export function digestOfBackend(backend: StoredBackend): string {
  const { id, name, type, description, config, createdAt } = backend
  return digest(['backend', id, name, type, description, config, createdAt])
}

/** The same of a rotation. */
export function digestOfRotation(rotation: StoredRotation): string {
  const { id, name, config, state, createdAt } = rotation
  return digest(['rotation', id, name, config, state, createdAt])
}

/** Of a backend that was deleted. */
export const NO_BACKEND = ''

/** What a change of backends led to: one with the digest `of`, and new secrets in the backend `home`; 0 is the store itself. */
export function withDefault(of: string, home: number): string {
  return digest([of, home])
}

/** The same of the keyring and the root key. */
export function digestOfKeys(keys: Pick<StoredKeys, 'keys' | 'root'>): string {
  return digestOfShape(keysShape(keys))
}

function digest(fields: readonly unknown[]): string {
  return hash('sha256', JSON.stringify(fields), 'hex')
}

/** The MAC of a change. */
export function macOf(keys: BatchKeys, { fields, state }: Covered): ChangeMac {
  const mac = macBytes(keys, fields)
  return { mac, ...(state !== undefined && { state: Buffer.from(state, 'hex') }) }
}

/** The number of the key, in four bytes, and the MAC. */
export function macBytes(keys: BatchKeys, fields: readonly unknown[], of?: number): Buffer {
  const { number, mac } = keys.auditMac([digest(fields)], of)
  const bytes = Buffer.alloc(36)
  bytes.writeUInt32BE(number)
  bytes.write(mac, 4, 'hex')
  return bytes
}

/** The number of the key that a MAC is by; 0 for what is not a MAC. */
export function numberOf(mac: Uint8Array): number {
  return mac.length === 36 ? Buffer.from(mac).readUInt32BE() : 0
}

/**
 * Throws `store_damaged` unless `mac` covers `fields`. With `newest`, it is to be by the newest key, or by the one
 * before while the root key is being replaced.
 */
export function demandMac(
  keys: MacKeys,
  mac: Uint8Array,
  fields: readonly unknown[],
  subject: string,
  { newest = false } = {},
): void {
  const number = numberOf(mac)
  const known = keys.auditKeys.slice(0, !newest ? undefined : keys.takesPrevious ? 2 : 1)
  const isValid = known.includes(number) && timingSafeEqual(mac, macBytes(keys, fields, number))
  if (!isValid) throw altered(`${subject} was altered outside Sotto`)
}

/** The error that a store was altered. */
export function altered(why: string): SottoError {
  return new SottoError('store_damaged', `Cannot trust the store: ${why}`, {
    hint: 'Restore the store from a backup.',
  })
}
