/**
 * Authenticates what a store says in the clear, and names values by fingerprints that no one else can make:
 * MACs under keys that the root key gives.
 */
import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto'
import { quote, SottoError } from '../../client/api/errors.ts'
import { FORMAT, type Place } from './binding.ts'
import { deriveKey } from './derive.ts'
import { encode, type Field, runs } from './encoding.ts'

/** All that a store says of a secret in the clear, and the MAC covers. */
export interface State {
  readonly name: string
  readonly incarnation: number
  readonly active: number
  readonly highest: number
  readonly versions: readonly number[]
  readonly removed: readonly number[]
}

/** All that a store says of a backend, and a MAC covers. */
export interface BackendState {
  readonly id: number
  readonly name: string
  readonly type: string
  readonly description: string
  readonly isDefault: boolean
  readonly config: string
  readonly createdAt: string
}

/** The authenticating half of the keys of one store. */
export class Authenticators {
  readonly #storeId: string
  readonly #stateKey: KeyObject
  readonly #fingerprintKey: KeyObject

  constructor(storeId: string, root: KeyObject) {
    this.#storeId = storeId
    this.#stateKey = deriveKey(root, storeId, 'state')
    this.#fingerprintKey = deriveKey(root, storeId, 'value-fingerprint')
  }

  /** Whether `other` is of the same store and root key. */
  protected isOfSameStore(other: Authenticators): boolean {
    return other.#storeId === this.#storeId && other.#stateKey.equals(this.#stateKey)
  }

  /** The MAC of a secret's state: 32 bytes, stored with it. */
  mac({ name, incarnation, active, highest, versions, removed }: State): Buffer {
    const numbers = [incarnation, active, highest, ...runs(versions), ...runs(removed)]
    return this.#mac(['state', FORMAT, this.#storeId, name, ...numbers])
  }

  /** Throws `store_damaged` unless `mac` is that of `state`. */
  verify(state: State, mac: Uint8Array): void {
    demandSame(mac, this.mac(state), `secret ${quote(state.name)}`)
  }

  /** The MAC of what the store says of a backend: 32 bytes, stored with it. */
  backendMac(backend: BackendState): Buffer {
    const { id, name, type, description, isDefault, config, createdAt } = backend
    const fields = [id, name, type, description, isDefault ? 1 : 0, config, createdAt]
    return this.#mac(['backend', FORMAT, this.#storeId, ...fields])
  }

  /** Throws `store_damaged` unless `mac` is that of `backend`. */
  verifyBackend(backend: BackendState, mac: Uint8Array): void {
    demandSame(mac, this.backendMac(backend), `backend ${quote(backend.name)}`)
  }

  /**
   * Differs for every other value at `place`, and reveals nothing about `value`: 32 bytes. The same value has
   * another one at every place, so that fingerprints do not show which secrets are equal.
   */
  fingerprintOf({ name, incarnation, version }: Place, value: Uint8Array): Buffer {
    const bytes = encode(['value-fingerprint', FORMAT, this.#storeId, name, incarnation, version])
    return createHmac('sha256', this.#fingerprintKey).update(bytes).update(value).digest()
  }

  /**
   * Names what other readers see of the version at `place`, in 64 hex digits: the same for the same bytes.
   * Without the key it can neither be made nor used to test a guess.
   */
  mirrorFingerprint({ name, incarnation, version }: Place, content: Uint8Array): string {
    const bytes = encode(['mirror', FORMAT, this.#storeId, name, incarnation, version])
    return createHmac('sha256', this.#stateKey).update(bytes).update(content).digest('hex')
  }

  #mac(fields: readonly Field[]): Buffer {
    return createHmac('sha256', this.#stateKey).update(encode(fields)).digest()
  }
}

function demandSame(mac: Uint8Array, due: Buffer, subject: string): void {
  if (mac.length === due.length && timingSafeEqual(mac, due)) return
  throw new SottoError(
    'store_damaged',
    `Cannot trust the record of ${subject}: it was altered outside Sotto or moved from another place`,
    { hint: 'Restore the store from a backup.' },
  )
}
