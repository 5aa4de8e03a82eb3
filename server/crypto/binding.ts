/** What a sealed byte string is bound to: its purpose and its place, as associated data. */
import { quote } from '../../client/api/errors.ts'
import { encode, type Field } from './encoding.ts'

/** The version of every structure in docs/internals/format.md. */
export const FORMAT = 1

/** Everything that is ever sealed. */
export type Purpose =
  | 'value'
  | 'reference'
  | 'data-key'
  | 'keyring-entry'
  | 'lasting-key'
  | 'previous-state'
  | 'root-key'
  | 'backup'

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
  return placeBinding('value', 'value', storeId, place)
}

/** Binds what the store keeps of a version whose value is in a backend. */
export function referenceBinding(storeId: string, place: Place): Binding {
  return placeBinding('reference', 'reference', storeId, place)
}

/** Binds the data key of a version. */
export function dataKeyBinding(storeId: string, place: Place): Binding {
  return placeBinding('data-key', 'data key', storeId, place)
}

/**
 * Binds the key of a keyring entry to all that the entry says of itself, and to the number of the root key:
 * so a store cannot be made to take an earlier number for its own.
 */
export function entryBinding(storeId: string, head: EntryHead, rootNumber = 1): Binding {
  const { id, createdAt, state } = head
  const fields = [storeId, id, createdAt, state, ...(rootNumber === 1 ? [] : [rootNumber])]
  return bindingOf('keyring-entry', fields, () => `keyring entry ${id}`)
}

/** Binds a key that outlives the root key to what it is for, and to its number. */
export function lastingBinding(
  storeId: string,
  { purpose, number }: { readonly purpose: string; readonly number: number },
): Binding {
  const subject = (): string => `lasting key ${number} for ${quote(purpose)}`
  return bindingOf('lasting-key', [storeId, purpose, number], subject)
}

/** Binds the key of the MACs that the root key before this one gave. */
export function previousStateBinding(storeId: string, rootNumber: number): Binding {
  const subject = (): string => `the key of MACs from before root key ${rootNumber}`
  return bindingOf('previous-state', [storeId, rootNumber], subject)
}

/** Binds the root key of a store. */
export function rootKeyBinding(storeId: string): Binding {
  return bindingOf('root-key', [storeId], () => `the root key of store ${storeId}`)
}

/** Binds the file key of a backup to the hash, in hex, of all that is before it in the file. */
export function backupBinding(storeId: string, headHash: string): Binding {
  const subject = (): string => `the file key of a backup of store ${storeId}`
  return bindingOf('backup', [storeId, headHash], subject)
}

function placeBinding(purpose: Purpose, what: string, storeId: string, place: Place): Binding {
  const { name, incarnation, version } = place
  const subject = (): string => `the ${what} of ${quote(name)} version ${version}`
  return bindingOf(purpose, [storeId, name, incarnation, version], subject)
}

function bindingOf(purpose: Purpose, fields: readonly Field[], subject: () => string): Binding {
  return { bytes: encode([purpose, FORMAT, ...fields]), subject }
}
