/**
 * Authenticates what a store says in the clear, and names values by fingerprints that no one else can make:
 * MACs under a key that the root key gives, and under keys that outlive it.
 */
import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto'
import { quote, SottoError } from '../../client/api/errors.ts'
import { FORMAT, type Place } from './binding.ts'
import { encode, type Field, runs } from './encoding.ts'
import { HashesHmac } from './hmac.ts'
import type { LastingKey, LastingKeys, LastingPurpose } from './lasting.ts'

/** All that a store says of a secret in the clear, and the MAC covers. */
export interface State {
  readonly name: string
  readonly incarnation: number
  readonly active: number
  readonly highest: number
  readonly versions: readonly number[]
  readonly removed: readonly number[]
  /** What the secret is set to, as canonical bytes; absent or empty where it is set to nothing. */
  readonly settings?: Uint8Array
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

/** All that a store says of a rotation, and a MAC covers. */
export interface RotationState {
  readonly id: number
  readonly name: string
  readonly config: string
  readonly state: string
  readonly createdAt: string
}

/** What something is named by, and the number of the lasting key that gave it. */
export interface Fingerprint<T> {
  readonly number: number
  readonly fingerprint: T
}

/** The keys that authenticate. */
export interface AuthenticatorKeys {
  /** The number of the root key: 1, then one more for each that replaced it. */
  readonly rootNumber: number
  readonly rootFingerprint: string
  /** Gives MACs of what the store says. */
  readonly state: KeyObject
  /** Gave them under the root key before this one; absent once all are replaced. */
  readonly previous?: KeyObject
  readonly lasting: LastingKeys
}

/** The authenticating half of the keys of one store. */
export class Authenticators {
  readonly #storeId: string
  #keys: AuthenticatorKeys
  readonly #auditHmacs = new WeakMap<KeyObject, HashesHmac>()

  constructor(storeId: string, keys: AuthenticatorKeys) {
    this.#storeId = storeId
    this.#keys = keys
  }

  /** The number of the root key: 1, then one more for each that replaced it. */
  get rootNumber(): number {
    return this.#keys.rootNumber
  }

  /** Names the root key in 32 hex digits, which may be public. */
  get rootFingerprint(): string {
    return this.#keys.rootFingerprint
  }

  /** Whether MACs that the root key before this one gave are still taken. */
  get takesPrevious(): boolean {
    return this.#keys.previous !== undefined
  }

  /** Takes MACs of the root key before this one no longer. */
  forgetPrevious(): void {
    const { previous: _, ...keys } = this.#keys
    this.#keys = keys
  }

  /** Takes over the keys of `other`; false where that is not of the same store and root key, or the next one. */
  protected continueAs(other: Authenticators): boolean {
    const { state, previous } = other.#keys
    const mine = this.#keys.state
    const follows = state.equals(mine) || previous?.equals(mine) === true
    if (other.#storeId !== this.#storeId || !follows) return false
    this.#keys = other.#keys
    return true
  }

  /** The MAC of a secret's state: 32 bytes, stored with it. */
  mac(state: State): Buffer {
    return this.#mac(stateInput(this.#storeId, state))
  }

  /** Throws `store_damaged` unless `mac` is that of `state`. */
  verify(state: State, mac: Uint8Array): void {
    this.#verify(stateInput(this.#storeId, state), mac, () => `secret ${quote(state.name)}`)
  }

  /** As `verify`. Whether it was the root key before this one that gave the MAC. */
  isOfPrevious(state: State, mac: Uint8Array): boolean {
    return this.#verify(stateInput(this.#storeId, state), mac, () => `secret ${quote(state.name)}`)
  }

  /** The MAC of what the store says of a backend: 32 bytes, stored with it. */
  backendMac(backend: BackendState): Buffer {
    return this.#mac(backendInput(this.#storeId, backend))
  }

  /** Throws `store_damaged` unless `mac` is that of `backend`. */
  verifyBackend(backend: BackendState, mac: Uint8Array): void {
    this.#verify(backendInput(this.#storeId, backend), mac, () => `backend ${quote(backend.name)}`)
  }

  /** The MAC of what the store says of a rotation: 32 bytes, stored with it. */
  rotationMac(rotation: RotationState): Buffer {
    return this.#mac(rotationInput(this.#storeId, rotation))
  }

  /** Throws `store_damaged` unless `mac` is that of `rotation`. */
  verifyRotation(rotation: RotationState, mac: Uint8Array): void {
    const input = rotationInput(this.#storeId, rotation)
    this.#verify(input, mac, () => `rotation ${quote(rotation.name)}`)
  }

  /**
   * Differs for every other value at `place`, and reveals nothing about `value`: 32 bytes. The same value has
   * another one at every place, so that fingerprints do not show which secrets are equal. `number` is that of
   * the key; absent: the newest. Throws `store_damaged` for one that the store does not have.
   */
  fingerprintOf(place: Place, value: Uint8Array, number?: number): Fingerprint<Buffer> {
    const used = this.#lasting('value-fingerprint', number)
    if (used === undefined) throw missingKey(`the value of ${quote(place.name)}`, number)
    const bytes = placeInput('value-fingerprint', this.#storeId, place)
    const fingerprint = createHmac('sha256', used.key).update(bytes).update(value).digest()
    return { number: used.number, fingerprint }
  }

  /**
   * Names what other readers see of the version at `place`, in 64 hex digits: the same for the same bytes.
   * Without the key it can neither be made nor used to test a guess. `number` is that of the key; absent: the
   * newest. Undefined where the store has none of that number.
   */
  mirrorFingerprint(place: Place, content: Uint8Array): Fingerprint<string>
  mirrorFingerprint(
    place: Place,
    content: Uint8Array,
    number: number,
  ): Fingerprint<string> | undefined
  mirrorFingerprint(
    place: Place,
    content: Uint8Array,
    number?: number,
  ): Fingerprint<string> | undefined {
    const used = this.#lasting('mirror', number)
    if (used === undefined) return undefined
    const bytes = placeInput('mirror', this.#storeId, place)
    const fingerprint = createHmac('sha256', used.key).update(bytes).update(content).digest('hex')
    return { number: used.number, fingerprint }
  }

  /** The numbers of the keys that audit batches may have their MACs from, the newest first. */
  get auditKeys(): readonly number[] {
    return this.#keys.lasting.all('audit').map(({ number }) => number)
  }

  /**
   * The MAC of a batch of audit records, in hex, over their hashes, which are given in hex. `number` is that
   * of the key; absent: the newest. Throws `store_damaged` for one that the store does not have.
   */
  auditMac(hashes: readonly string[], number?: number): { number: number; mac: string } {
    const used = this.#lasting('audit', number)
    if (used === undefined) throw missingKey('a batch of audit records', number)
    const hmac = this.#auditHmacs.get(used.key) ?? new HashesHmac(used.key)
    this.#auditHmacs.set(used.key, hmac)
    return { number: used.number, mac: hmac.digest(hashes) }
  }

  #lasting(purpose: LastingPurpose, number: number | undefined): LastingKey | undefined {
    const { lasting } = this.#keys
    return number === undefined ? lasting.newest(purpose) : lasting.find(purpose, number)
  }

  #mac(input: Uint8Array): Buffer {
    return createHmac('sha256', this.#keys.state).update(input).digest()
  }

  /** Every MAC of what the store says comes here: whether it is the previous root key's and not the current one's. */
  #verify(input: Uint8Array, mac: Uint8Array, subject: () => string): boolean {
    if (isSame(mac, this.#mac(input))) return false
    const { previous } = this.#keys
    if (previous && isSame(mac, createHmac('sha256', previous).update(input).digest())) return true
    throw new SottoError(
      'store_damaged',
      `Cannot trust the record of ${subject()}: it was altered outside Sotto or moved from another place`,
      { hint: 'Restore the store from a backup.' },
    )
  }
}

function stateInput(storeId: string, state: State): Buffer {
  const { name, incarnation, active, highest, versions, removed, settings } = state
  const numbers = [incarnation, active, highest, ...runs(versions), ...runs(removed)]
  const input = encode(['state', FORMAT, storeId, name, ...numbers])
  if (settings === undefined || settings.length === 0) return input
  return Buffer.concat([input, encode([settings.length]), settings])
}

function backendInput(storeId: string, backend: BackendState): Buffer {
  const { id, name, type, description, isDefault, config, createdAt } = backend
  const fields: Field[] = [id, name, type, description, isDefault ? 1 : 0, config, createdAt]
  return encode(['backend', FORMAT, storeId, ...fields])
}

function rotationInput(storeId: string, rotation: RotationState): Buffer {
  const { id, name, config, state, createdAt } = rotation
  return encode(['rotation', FORMAT, storeId, id, name, config, state, createdAt])
}

function placeInput(purpose: LastingPurpose, storeId: string, place: Place): Buffer {
  const { name, incarnation, version } = place
  return encode([purpose, FORMAT, storeId, name, incarnation, version])
}

function isSame(mac: Uint8Array, due: Uint8Array): boolean {
  return mac.length === due.length && timingSafeEqual(mac, due)
}

function missingKey(subject: string, number: number | undefined): SottoError {
  return new SottoError(
    'store_damaged',
    `Cannot verify ${subject}: it needs lasting key ${number}, which the store does not have`,
    { hint: 'The keys and the secrets are of different times: restore both from one backup.' },
  )
}
