/**
 * The keys of one open store: seals and opens the versions of its secrets. Keys are held as key objects;
 * values pass through and are not kept.
 */
import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { SottoError } from '../../client/api/errors.ts'
import { type AuthenticatorKeys, Authenticators } from './authenticators.ts'
import {
  backupBinding,
  type Binding,
  dataKeyBinding,
  type EntryHead,
  type Place,
  referenceBinding,
  valueBinding,
} from './binding.ts'
import { deriveKey, rootFingerprintOf, takeKey } from './derive.ts'
import { activeOf, type Entry, type EntryInfo, EntrySealer, type SealedEntry } from './entries.ts'
import { KEY_BYTES, open, openKey, type RandomSource, seal } from './envelope.ts'
import { LastingKeys, LastingSealer, type SealedLasting } from './lasting.ts'
import { openPreviousState } from './previous-state.ts'
import { decodeReference, encodeReference, type Reference } from './reference.ts'

export { rootFingerprintOf } from './derive.ts'
export type { EntryInfo, SealedEntry } from './entries.ts'
export type { SealedLasting } from './lasting.ts'

/** The data key of a version, wrapped. */
export interface WrappedKey {
  /** The entry that wraps it. */
  readonly keyId: number
  readonly wrappedKey: Uint8Array
}

/** The data key of a version, unwrapped, with what binds the value: worked out once, however often it is opened. */
export interface DataKey {
  readonly key: KeyObject
  readonly place: Place
  readonly binding: Binding
}

/** A version of a secret, sealed. */
export interface Sealed extends WrappedKey {
  readonly sealed: Uint8Array
}

/** What a store keeps of its root key, in addition to the wraps. */
export interface StoredRoot {
  /** 1, then one more for each root key that replaced another. */
  readonly number: number
  /** The key of MACs that the root key before gave, sealed; absent once all are replaced. */
  readonly previous?: Uint8Array
}

/** What a store keeps besides the entries of the keyring; absent where an earlier release made the store. */
export interface KeyringRest {
  readonly lasting?: readonly SealedLasting[]
  readonly root?: StoredRoot
}

/** Where keys, nonces and times come from. */
export interface KeyringOptions extends KeyringRest {
  readonly random?: RandomSource
  readonly clock?: () => Date
}

/** What making a keyring gives. */
export interface Created {
  readonly keyring: Keyring
  /** 32 bytes, for key providers to wrap; the caller overwrites them then. */
  readonly rootKey: Buffer
  /** For the store to keep. */
  readonly keys: readonly SealedEntry[]
  readonly lasting: readonly SealedLasting[]
}

/** What rotating a keyring gives. */
export interface Rotated {
  /** With the new entry, which is active. */
  readonly keyring: Keyring
  /** The new entry, for the store to add. */
  readonly added: SealedEntry
  /** The entry that was active, sealed as retiring, for the store to replace it with. */
  readonly retired: SealedEntry
}

/**
 * The keys of one store, opened. The entries of a keyring that is in use may change: a data key that
 * was unwrapped before stays good, since it is the same under every entry.
 */
export class Keyring extends Authenticators {
  readonly #storeId: string
  #entries: ReadonlyMap<number, Entry>
  #active: Entry
  #backupKey: KeyObject
  readonly #random: RandomSource

  private constructor(
    storeId: string,
    root: KeyObject,
    keys: AuthenticatorKeys,
    entries: Entry[],
    random: RandomSource,
  ) {
    super(storeId, keys)
    this.#storeId = storeId
    this.#entries = new Map(entries.map((entry) => [entry.info.id, entry]))
    this.#active = activeOf(entries)
    this.#backupKey = deriveKey(root, storeId, 'backup')
    this.#random = random
  }

  /** Makes the keys of a new store: a root key, one active entry and the lasting keys, sealed under it. */
  static create(storeId: string, options: KeyringOptions = {}): Created {
    const { random = randomBytes, clock = () => new Date() } = options
    const rootKey = random(KEY_BYTES)
    const raw = random(KEY_BYTES)
    const root = createSecretKey(rootKey)
    const createdAt = clock().toISOString()
    const head: EntryHead = { id: 1, createdAt, state: 'active' }
    const keys = [new EntrySealer(storeId, root, random).seal(head, raw)]
    raw.fill(0)
    const lasting = new LastingSealer(storeId, root, random).make(1, createdAt)
    const keyring = Keyring.open(storeId, rootKey, keys, { random, lasting })
    return { keyring, rootKey, keys, lasting }
  }

  /**
   * Opens the keyring of the store `storeId`. The caller overwrites `rootKey` afterwards. Throws
   * `store_damaged` when an entry or a lasting key does not open, when two entries have one id, and when not
   * exactly one is active.
   */
  static open(
    storeId: string,
    rootKey: Uint8Array,
    storedKeys: readonly SealedEntry[],
    options: KeyringOptions = {},
  ): Keyring {
    if (rootKey.length !== KEY_BYTES) {
      throw new SottoError(
        'store_damaged',
        `Cannot open the keyring of store ${storeId}: its root key has ${rootKey.length} bytes where ${KEY_BYTES} are due`,
      )
    }
    const root = createSecretKey(rootKey)
    const {
      random = randomBytes,
      lasting = [],
      root: { number, previous } = { number: 1 },
    } = options
    const sealer = new EntrySealer(storeId, root, random, number)
    const entries = storedKeys.map((stored) => sealer.open(stored))
    const keys: AuthenticatorKeys = {
      rootNumber: number,
      rootFingerprint: rootFingerprintOf(root, storeId),
      state: deriveKey(root, storeId, 'state'),
      ...(previous && { previous: openPreviousState(storeId, root, number, previous) }),
      lasting: new LastingKeys(storeId, root, number, lasting),
    }
    return new Keyring(storeId, root, keys, entries, random)
  }

  /**
   * Makes a new active entry for the store `storeId`, and of the one that is active in `storedKeys` one
   * that is retiring. The caller overwrites `rootKey` afterwards. Throws as `open`.
   */
  static rotate(
    storeId: string,
    rootKey: Uint8Array,
    storedKeys: readonly SealedEntry[],
    options: KeyringOptions = {},
  ): Rotated {
    const { random = randomBytes, clock = () => new Date(), root } = options
    Keyring.open(storeId, rootKey, storedKeys, options)
    const active = storedKeys.find(({ state }) => state === 'active') as SealedEntry
    const sealer = new EntrySealer(storeId, createSecretKey(rootKey), random, root?.number)
    const old = sealer.unseal(active)
    const raw = random(KEY_BYTES)
    // An id is never given again: the newest entry is the active one, and that is never erased.
    const id = Math.max(...storedKeys.map((each) => each.id)) + 1
    const added = sealer.seal({ id, createdAt: clock().toISOString(), state: 'active' }, raw)
    const { createdAt } = active
    const retired = sealer.seal({ id: active.id, createdAt, state: 'retiring' }, old)
    raw.fill(0)
    old.fill(0)
    const keys = [...storedKeys.map((each) => (each === active ? retired : each)), added]
    return { keyring: Keyring.open(storeId, rootKey, keys, options), added, retired }
  }

  /**
   * Continues with the keys of `other`, a keyring of the same store that was opened later, under the same
   * root key or the next one. Throws `internal` for one of another store, and then changes nothing.
   */
  adopt(other: Keyring): void {
    if (!this.continueAs(other)) {
      throw new SottoError('internal', 'Cannot continue with the keyring of another store')
    }
    this.#entries = other.#entries
    this.#active = other.#active
    this.#backupKey = other.#backupKey
  }

  /** Lets go of the entry `id`. Throws `internal` for the active one, and then changes nothing. */
  forget(id: number): void {
    if (id === this.#active.info.id) {
      throw new SottoError('internal', `Cannot let go of keyring entry ${id}: it is active`)
    }
    this.#entries = new Map([...this.#entries].filter(([each]) => each !== id))
  }

  /** Whether the entry `id` is here. */
  has(id: number): boolean {
    return this.#entries.has(id)
  }

  /** What is known of the entry that seals. */
  active(): EntryInfo {
    return this.#active.info
  }

  /** Seals `value` for `place` under a data key of its own, which the active entry wraps. */
  seal(place: Place, value: Uint8Array): Sealed {
    return this.#sealAs(valueBinding(this.#storeId, place), place, value)
  }

  /** The same for a reference, where the value is in a backend. */
  sealReference(place: Place, reference: Reference): Sealed {
    const bytes = encodeReference(reference)
    try {
      return this.#sealAs(referenceBinding(this.#storeId, place), place, bytes)
    } finally {
      bytes.fill(0)
    }
  }

  #sealAs(binding: Binding, place: Place, plain: Uint8Array): Sealed {
    const raw = this.#random(KEY_BYTES)
    try {
      const wrapped = this.#wrap(dataKeyBinding(this.#storeId, place), raw)
      return { ...wrapped, sealed: seal(createSecretKey(raw), binding, plain, this.#random) }
    } finally {
      raw.fill(0)
    }
  }

  /**
   * The data key of the version at `place`, which a caller may keep to spare itself this step.
   * Throws `store_damaged` when it does not open there, or names an entry that the keyring lacks.
   */
  unwrap(place: Place, wrapped: WrappedKey): DataKey {
    const key = takeKey(this.#openDataKey(dataKeyBinding(this.#storeId, place), wrapped))
    // In memory of its own: a slice of the pool would keep 8 KiB as long as it is kept.
    const { bytes, ...rest } = valueBinding(this.#storeId, place)
    return { key, place, binding: { bytes: new Uint8Array(bytes), ...rest } }
  }

  /**
   * The data key of the version at `place`, re-wrapped by the active entry. The value stays as it is.
   * Throws as `unwrap`.
   */
  rewrap(place: Place, wrapped: WrappedKey): WrappedKey {
    const binding = dataKeyBinding(this.#storeId, place)
    const raw = this.#openDataKey(binding, wrapped)
    try {
      return this.#wrap(binding, raw)
    } finally {
      raw.fill(0)
    }
  }

  #wrap(binding: Binding, raw: Buffer): WrappedKey {
    const { key, info } = this.#active
    return { keyId: info.id, wrappedKey: seal(key, binding, raw, this.#random) }
  }

  /** What `seal` gave, wrapped by the entry that is active now. */
  upToDate(place: Place, sealed: Sealed): Sealed {
    if (sealed.keyId === this.#active.info.id) return sealed
    return { ...sealed, ...this.rewrap(place, sealed) }
  }

  /**
   * The value at `place`, opened with the data key that `unwrap` gave for the same place. Throws
   * `store_damaged` when it does not open there.
   */
  openSealed(place: Place, { key, ...of }: DataKey, sealed: Uint8Array): Buffer {
    const { name, incarnation, version } = of.place
    const isSame =
      place.name === name && place.incarnation === incarnation && place.version === version
    return open(key, isSame ? of.binding : valueBinding(this.#storeId, place), sealed)
  }

  /** The same for a reference. */
  openReference(place: Place, { key }: DataKey, sealed: Uint8Array): Reference {
    const binding = referenceBinding(this.#storeId, place)
    return decodeReference(open(key, binding, sealed), binding)
  }

  /** The value at `place`: `unwrap` and `openSealed` in one. */
  open(place: Place, version: Sealed): Buffer {
    return this.openSealed(place, this.unwrap(place, version), version.sealed)
  }

  /**
   * Opens what a store keeps of the version at `place`: its value, or the reference to the backend that has
   * it, with the value that is kept besides. Throws `store_damaged` when it does not open there.
   */
  prove(
    place: Place,
    {
      backend,
      kept,
      ...version
    }: Sealed & { readonly backend?: number; readonly kept?: Uint8Array },
  ): void {
    if (backend === undefined) return void this.open(place, version).fill(0)
    const dataKey = this.unwrap(place, version)
    const { kept: key } = this.openReference(place, dataKey, version.sealed)
    if (key || kept) {
      const keptKey = { ...dataKey, key: key ?? dataKey.key }
      this.openSealed(place, keptKey, kept ?? new Uint8Array()).fill(0)
    }
  }

  /** A new file key for a backup whose head has this hash, and the same sealed for that place. */
  newFileKey(headHash: string): { readonly fileKey: KeyObject; readonly sealed: Buffer } {
    const raw = this.#random(KEY_BYTES)
    const binding = backupBinding(this.#storeId, headHash)
    const sealed = seal(this.#backupKey, binding, raw, this.#random)
    return { fileKey: takeKey(raw), sealed }
  }

  /** The file key that `newFileKey` sealed for the same head. Throws `store_damaged` for any other. */
  openFileKey(headHash: string, sealed: Uint8Array): KeyObject {
    return openFileKey(this.#backupKey, this.#storeId, headHash, sealed)
  }

  /** What is known of each entry, in the order of the store. */
  fingerprints(): EntryInfo[] {
    return [...this.#entries.values()].map(({ info }) => info)
  }

  #openDataKey(binding: Binding, { keyId, wrappedKey }: WrappedKey): Buffer {
    const entry = this.#entries.get(keyId)
    if (entry !== undefined) return openKey(entry.key, binding, wrappedKey)
    throw new SottoError(
      'store_damaged',
      `Cannot open ${binding.subject()}: it is wrapped by keyring entry ${keyId}, which the store does not have`,
      { hint: 'The keyring and the secrets are of different times: restore both from one backup.' },
    )
  }
}

/** The key that seals the file keys of backups of the store `storeId`. */
export function backupKeyOf(rootKey: Uint8Array, storeId: string): KeyObject {
  return deriveKey(createSecretKey(rootKey), storeId, 'backup')
}

/** As the keyring's method, for a caller that has no keyring yet, since the backup holds it. */
export function openFileKey(
  backupKey: KeyObject,
  storeId: string,
  headHash: string,
  sealed: Uint8Array,
): KeyObject {
  return takeKey(openKey(backupKey, backupBinding(storeId, headHash), sealed))
}
