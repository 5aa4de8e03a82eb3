/**
 * Authenticates what a store says in the clear of itself and of its changes: MACs by the key of the audit log,
 * which the store keeps as bytes. Each change counts, so that none can be taken out, put back or brought from a
 * copy, and the newest of each secret and backend says what that must look like.
 */
import { createHash } from 'node:crypto'
import type { BatchKeys } from '../../audit/batches.ts'
import type { Opening } from '../../audit/recovery.ts'
import { SottoError } from '../../client/api/errors.ts'
import type {
  BackendChange,
  Change,
  NewRoot,
  Restored,
  SavedBackend,
  SavedRotation,
  SealedVersion,
  Sign,
  Signed,
  Store,
  StoredKey,
  StoredKeys,
  StoredStanding,
} from '../store/contract.ts'
import { keysShape } from '../store/shapes.ts'
import {
  altered,
  type Covered,
  covered,
  demandMac,
  digestOfBackend,
  digestOfKeys,
  digestOfRotation,
  digestOfSecret,
  fieldsOf,
  type Fixed,
  macBytes,
  macOf,
  type MacKeys,
  NO_BACKEND,
  numberOf,
  withDefault,
} from './mac-fields.ts'
import { type Checked, defaultOf, signStates, verifyStore } from './verify-store.ts'

/** The standing of a new store, of which every batch of the log will have a MAC. */
export function newStanding(keys: BatchKeys, identity: Fixed): StoredStanding {
  const none: Checked = { checked: 0, digest: createHash('sha256').digest() }
  const start = { adopted: true, starts: 0, host: '', macsFrom: 1, ...none }
  return signedStanding(keys, identity, [], start)
}

/** The MACs of an open store, from then on. */
export class StoreMacs {
  readonly #store: Store
  readonly #keys: MacKeys
  readonly #identity: Fixed
  readonly #restores: readonly Restored[]
  #standing: StoredStanding

  private constructor(
    store: Store,
    keys: MacKeys,
    identity: Fixed,
    restores: readonly Restored[],
    standing: StoredStanding,
  ) {
    this.#store = store
    this.#keys = keys
    this.#identity = identity
    this.#restores = restores
    this.#standing = standing
  }

  /**
   * Verifies the store, and has every further change get a MAC. A store of an early release has none: what it is
   * gets one, once. Rejects with `store_damaged` for a store that was altered. That is also one without MACs whose
   * log, of which `found` was found, has some; a store that is `fromBackup` may be older than its log. Rejects
   * with `audit_damaged` where the log lacks MACs that it should have.
   */
  static async open(
    store: Store,
    keys: MacKeys,
    found: Opening,
    { fromBackup = false } = {},
  ): Promise<StoreMacs> {
    const { identity } = store
    const restores = await store.restores()
    const stored = await store.standing()
    if (stored.mac === undefined) {
      if (found.macsFrom !== undefined && !fromBackup) {
        throw altered(`it has no MACs, and its audit log has them from record ${found.macsFrom} on`)
      }
      const checked = await signStates(store, keys)
      const standing = { ...stored, ...checked, macsFrom: found.macsFrom ?? found.nextId }
      const signed = signedStanding(keys, identity, restores, standing)
      await store.signStore(signed)
      return StoreMacs.#of(store, keys, restores, signed)
    }
    demandMac(keys, stored.mac, fieldsOf(identity, restores, stored), 'what it is', {
      newest: true,
    })
    const from = stored.macsFrom ?? 0
    if (found.macsFrom === undefined && (found.last?.id ?? 0) >= from) {
      const message = `The newest segment of the audit log has no MACs, and from record ${from} on each batch has one`
      throw new SottoError('audit_damaged', message, {
        hint: 'Put back the log that the server wrote.',
      })
    }
    const checked = await verifyStore(store, keys, restores, stored)
    return StoreMacs.#of(store, keys, restores, { ...stored, ...checked })
  }

  static #of(
    store: Store,
    keys: MacKeys,
    restores: readonly Restored[],
    standing: StoredStanding,
  ): StoreMacs {
    const macs = new StoreMacs(store, keys, store.identity, restores, standing)
    store.authenticate(macs.sign)
    return macs
  }

  /** The audit record from which on every batch has a MAC. */
  get from(): number {
    return this.#standing.macsFrom ?? 0
  }

  /** As the contract has it. A change after the root key was replaced also has the store signed by the new key. */
  readonly sign: Sign = (verb, args) => {
    if (verb === 'started' || verb === 'adopt') {
      const { starts } = this.#standing
      const host = String(args[1])
      const now = verb === 'adopt' ? { adopted: true } : { starts: starts + 1 }
      return { standing: this.#renewed({ ...this.#standing, host, ...now }) }
    }
    if (verb === 'saveBackend' || verb === 'removeBackend') return this.#signBackend(verb, args)
    if (verb === 'saveRotation') {
      return this.#signed(verb, args, digestOfRotation((args[1] as SavedRotation).rotation))
    }
    return verb in nextKeys ? this.#signKeys(verb, args) : this.#signed(verb, args)
  }

  /** Of a change of a backend, with which one keeps new secrets after it: changes of backends are made one at a time. */
  async #signBackend(verb: string, args: readonly unknown[]): Promise<Signed> {
    const before = defaultOf((await this.#store.backends()).backends)
    if (verb === 'removeBackend') return this.#signed(verb, args, withDefault(NO_BACKEND, before))
    const { backend } = args[1] as SavedBackend
    const kept = before === backend.id ? 0 : before
    const home = backend.isDefault ? backend.id : kept
    return this.#signed(verb, args, withDefault(digestOfBackend(backend), home))
  }

  /** Of a change of the keyring or the root key, for which what the keys are then is read first. */
  async #signKeys(verb: string, args: readonly unknown[]): Promise<Signed> {
    const stored = await this.#store.keys()
    const next = nextKeys[verb]?.(stored, args) ?? stored
    return { ...this.#signed(verb, args, digestOfKeys(next)), shape: keysShape(next) }
  }

  #signed(verb: string, args: readonly unknown[], state?: string): Signed {
    const signed = macOf(this.#keys, changeOf(verb, args, this.#identity.id, state))
    const isOld = numberOf(this.#standing.mac ?? new Uint8Array()) !== this.#keys.auditKeys[0]
    return { signed, ...(isOld && { standing: this.#renewed(this.#standing) }) }
  }

  /** What the store is once it came back as `restored` tells. */
  restored(restored: Restored): StoredStanding {
    const identity = { ...this.#identity, branch: restored.branch }
    const standing = { ...this.#standing, adopted: false }
    return signedStanding(this.#keys, identity, [...this.#restores, restored], standing)
  }

  #renewed(standing: StoredStanding): StoredStanding {
    this.#standing = signedStanding(this.#keys, this.#identity, this.#restores, standing)
    return this.#standing
  }
}

function signedStanding(
  keys: BatchKeys,
  identity: Fixed,
  restores: readonly Restored[],
  standing: StoredStanding,
): StoredStanding {
  return { ...standing, mac: macBytes(keys, fieldsOf(identity, restores, standing)) }
}

/** The change that a verb of the store makes. */
function changeOf(
  verb: string,
  args: readonly unknown[],
  storeId: string,
  /** Where it is of backends or keys, and more than their bytes changes. */
  state?: string,
): Covered {
  const [{ intent, by, at }, second] = args as [BackendChange, unknown]
  const common = {
    ...intent,
    by: typeof by === 'string' ? by : JSON.stringify(by),
    at,
    verb: verbs[verb] ?? verb,
  }
  const next = (args[0] as Partial<Change>).next
  if (next !== undefined) {
    const version =
      typeof second === 'number'
        ? second
        : verb === 'activate'
          ? next.active
          : (second as Partial<SealedVersion> | undefined)?.version
    const { name, incarnation } = next
    const made = digestOfSecret(next)
    const of = { ...common, about: 'secret', name, incarnation, state: made } as const
    return covered(storeId, version === undefined ? of : { ...of, version })
  }
  const told = state !== undefined && { state }
  if (verb === 'saveBackend') {
    const { backend, expected } = second as SavedBackend
    const saved = expected === null ? 'create' : 'edit'
    const of = { ...common, about: 'backend', verb: saved, name: String(backend.id) } as const
    return covered(storeId, { ...of, ...told })
  }
  if (verb === 'removeBackend') {
    const of = { ...common, about: 'backend', verb: 'delete', name: String(second) } as const
    return covered(storeId, { ...of, ...told })
  }
  if (verb === 'saveRotation') {
    const { rotation, expected } = second as SavedRotation
    const saved = expected === null ? 'create' : 'edit'
    const of = { ...common, about: 'rotation', verb: saved, name: String(rotation.id) } as const
    return covered(storeId, { ...of, ...told })
  }
  if (verb === 'removeRotation') {
    return covered(storeId, { ...common, about: 'rotation', verb: 'delete', name: String(second) })
  }
  return covered(storeId, { ...common, about: 'keys', name: '', ...told })
}

/** What the keys are after a verb that changes more of them than their bytes. */
const nextKeys: Readonly<
  Record<string, (keys: StoredKeys, args: readonly unknown[]) => Pick<StoredKeys, 'keys' | 'root'>>
> = {
  addKey({ keys, root }, [, added, retired]) {
    const { id } = retired as StoredKey
    const others = keys.map((each) => (each.id === id ? (retired as StoredKey) : each))
    return { keys: [...others, added as StoredKey], root }
  },
  eraseKey: ({ keys, root }, [, erased]) => ({
    keys: keys.filter(({ id }) => id !== erased),
    root,
  }),
  rotateRoot: (_, [, next]) => next as NewRoot,
  settleRoot: ({ keys, root: { number } }) => ({ keys, root: { number } }),
}

/** The verbs of the contract that history names otherwise. */
const verbs: Readonly<Record<string, string>> = { removeVersion: 'remove-version' }
