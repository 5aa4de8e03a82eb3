/** What a sealed byte string is bound to: its purpose and its place, as associated data. */
import { quote } from '../../client/api/errors.ts'
import { encode } from './encoding.ts'

/** The version of every structure in docs/format.md. */
export const FORMAT = 1

/** Everything that is ever sealed. */
export type Purpose = 'value' | 'reference' | 'data-key' | 'keyring-entry' | 'root-key' | 'backup'

/** Where a version of a secret belongs. */
export interface Place {
  readonly name: string
  readonly incarnation: number
  readonly version: number
}

/** What an entry of the keyring says of itself in the clear. */
export interface EntryHead {
  readonly id: number
  /** UTC. */
  readonly createdAt: string
  readonly state: 'active' | 'retiring'
}

/** The associated data of one envelope. Holds no secret, and may be kept as long as its place. */
export interface Binding {
  readonly bytes: Uint8Array
  /** Names what is sealed, for messages; called only when something is wrong with it. */
  subject(): string
}

/** Binds the value of a version. */
export function valueBinding(storeId: string, place: Place): Binding {
  return {
    bytes: placeBytes('value', storeId, place),
    subject: () => `the value of ${quote(place.name)} version ${place.version}`,
  }
}

/** Binds what the store keeps of a version whose value is in a backend. */
export function referenceBinding(storeId: string, place: Place): Binding {
  return {
    bytes: placeBytes('reference', storeId, place),
    subject: () => `the reference of ${quote(place.name)} version ${place.version}`,
  }
}

/** Binds the data key of a version. */
export function dataKeyBinding(storeId: string, place: Place): Binding {
  return {
    bytes: placeBytes('data-key', storeId, place),
    subject: () => `the data key of ${quote(place.name)} version ${place.version}`,
  }
}

/** Binds the key of a keyring entry to all that the entry says of itself. */
export function entryBinding(storeId: string, entry: EntryHead): Binding {
  const purpose: Purpose = 'keyring-entry'
  return {
    bytes: encode([purpose, FORMAT, storeId, entry.id, entry.createdAt, entry.state]),
    subject: () => `keyring entry ${entry.id}`,
  }
}

/** Binds the root key of a store. */
export function rootKeyBinding(storeId: string): Binding {
  const purpose: Purpose = 'root-key'
  return {
    bytes: encode([purpose, FORMAT, storeId]),
    subject: () => `the root key of store ${storeId}`,
  }
}

/** Binds the file key of a backup to the hash, in hex, of all that is before it in the file. */
export function backupBinding(storeId: string, headHash: string): Binding {
  const purpose: Purpose = 'backup'
  return {
    bytes: encode([purpose, FORMAT, storeId, headHash]),
    subject: () => `the file key of a backup of store ${storeId}`,
  }
}

function placeBytes(purpose: Purpose, storeId: string, place: Place): Uint8Array {
  return encode([purpose, FORMAT, storeId, place.name, place.incarnation, place.version])
}
