/**
 * The wraps of a store's root key: which keys open the store. Each change of them is recorded in the audit
 * log first, and none is made that would leave a store without a key.
 */
import { SottoError } from '../../client/api/errors.ts'
import { bounded } from '../crypto/bounded.ts'
import { Keyring } from '../crypto/keyring.ts'
import type { KeyProvider } from '../crypto/provider.ts'
import { fingerprintsOf, openRootKey, type OpenedRootKey, type Wrap } from '../crypto/root-key.ts'
import type { KeyChange, Store, StoredKeys, StoredWrap } from '../store/contract.ts'
import type { KeyActs } from '../gate/key-acts.ts'

/** What the wraps are changed with. */
export interface WrapsParts {
  readonly store: Store
  /** The keys that are here, in the order in which they are asked. */
  readonly providers: readonly KeyProvider[]
  /** Called once the keys are open, before the first change. */
  readonly acts: (keyring: Keyring) => Promise<KeyActs>
  readonly clock: () => Date
}

/** A wrap as an operator may see it. */
export type WrapInfo = Omit<StoredWrap, 'wrapped'>

/** A key to add. */
export interface NewKey {
  readonly target: KeyProvider
  /** The same key, as it can be proven. */
  readonly prover?: KeyProvider
  /** Makes it, where it is not there yet. */
  readonly make?: () => Promise<void>
}

/** A wrap that was added, and the root key that it is of. */
export interface AddedWrap extends WrapInfo {
  readonly rootFingerprint: string
}

/** What `check` found of a wrap. */
export interface WrapProof {
  readonly wrap: WrapInfo
  /** `untried`: its key is not here. `failed`: it is here or should be, and the wrap did not open. */
  readonly state: 'proven' | 'untried' | 'failed'
  /** Why it was not proven. */
  readonly reason?: string
  readonly hint?: string
  /** Whether another key of its provider is here. */
  readonly otherGiven?: true
}

/** A keyring, and where its root key came from. */
export interface OpenedKeyring extends OpenedRootKey<StoredWrap> {
  readonly keyring: Keyring
}

/**
 * Opens the keyring of a store with the first provider that can, which proves that provider's wrap.
 * The caller overwrites the root key. Rejects as `openRootKey`, and with `store_damaged`.
 */
export async function openKeyring(
  storeId: string,
  { wraps, keys, ...rest }: StoredKeys,
  providers: readonly KeyProvider[],
): Promise<OpenedKeyring> {
  const opened = await openRootKey(providers, wraps, storeId)
  try {
    return { ...opened, keyring: Keyring.open(storeId, opened.rootKey, keys, rest) }
  } catch (error) {
    opened.rootKey.fill(0)
    throw error
  }
}

/** The wraps of one store. */
export class Wraps {
  readonly #parts: WrapsParts

  constructor(parts: WrapsParts) {
    this.#parts = parts
  }

  /** Every wrap, in the order in which they were added. */
  async status(): Promise<WrapInfo[]> {
    const { wraps } = await this.#parts.store.keys()
    return wraps.map(infoOf)
  }

  /** Rejects as `openKeyring` where no key that is here opens the store. */
  async demandOpen(): Promise<void> {
    const { store, providers } = this.#parts
    const { rootKey } = await openKeyring(store.identity.id, await store.keys(), providers)
    rootKey.fill(0)
  }

  /** Opens each wrap whose key is here, and notes that it was proven. */
  async check(): Promise<WrapProof[]> {
    const stored = await this.#parts.store.keys()
    const given = await allGiven(this.#parts.providers, stored.wraps)
    const proofs: WrapProof[] = []
    for (const wrap of stored.wraps) proofs.push(await this.#prove(wrap, stored, given))
    return proofs
  }

  /**
   * Wraps the root key with `key` and adds the wrap. `prover`, which has the same key, unwraps it
   * first where it is given. Rejects with `local` when that key has a wrap already; with what
   * `openKeyring` rejects with when no key that is here opens the store.
   */
  async add(key: KeyProvider, prover?: KeyProvider): Promise<AddedWrap> {
    const target = bounded(key)
    const { store, providers, clock } = this.#parts
    const { id } = store.identity
    const stored = await store.keys()
    const { name: provider } = target
    const fingerprint = await target.fingerprint(fingerprintsOf(stored.wraps, provider))
    const named = { provider, fingerprint }
    if (
      stored.wraps.some((each) => each.provider === provider && each.fingerprint === fingerprint)
    ) {
      throw new SottoError('local', `Cannot add ${nameOf(named)}: it opens the store already`)
    }
    const opened = await openKeyring(id, stored, providers)
    try {
      const wrapped = await target.wrap(opened.rootKey, id)
      const at = clock().toISOString()
      if (prover) await demandProof({ ...named, createdAt: at, wrapped }, stored, prover, id)
      const wrap = { ...named, createdAt: at, ...(prover && { provenAt: at }), wrapped }
      await this.#change(opened, 'add', named, (change) =>
        store.addWrap(change, wrap, stored.root.number),
      )
      return { ...infoOf(wrap), rootFingerprint: opened.keyring.rootFingerprint }
    } finally {
      opened.rootKey.fill(0)
    }
  }

  /**
   * Removes the one wrap that `selector`, a provider's name or a fingerprint, names. A wrap that
   * stays must open with a key that is here. Rejects with `usage` when not exactly one is named, with
   * `unsafe` when it is the last one, or when recovery keys alone would stay and `recoveryAlone` is
   * not set.
   */
  async remove(selector: string, { recoveryAlone = false } = {}): Promise<WrapInfo> {
    const { store, providers } = this.#parts
    const stored = await store.keys()
    const wrap = select(stored.wraps, selector)
    const rest = stored.wraps.filter((each) => each !== wrap)
    refuseTooFew(wrap, rest, recoveryAlone)
    const opening = openKeyring(store.identity.id, { ...stored, wraps: rest }, providers)
    const opened = await opening.catch((error: unknown) => {
      if (!(error instanceof SottoError)) throw error
      const { code, message, hint, cause } = error
      throw new SottoError(
        code,
        `Cannot remove ${nameOf(wrap)}: no other key that is here opens the store. ${message}`,
        { hint, cause },
      )
    })
    opened.rootKey.fill(0)
    await this.#change(opened, 'remove', wrap, (change) =>
      store.removeWrap(change, wrap.provider, wrap.fingerprint),
    )
    return infoOf(wrap)
  }

  /**
   * Re-wraps the root key with the same key, after that was rotated where it is kept: the wrap that
   * `selector`, a provider's name or a fingerprint, names, or without it each wrap whose key is here. The
   * old wrap is removed once the new one was proven by an unwrap. Rejects with `usage` when not exactly one is
   * named, with `key_missing` when no key that is here made any, and with what a provider rejects with;
   * wraps before that one in the answer's order were then re-wrapped.
   */
  async rewrap(selector?: string): Promise<WrapInfo[]> {
    const { store, providers } = this.#parts
    const { wraps } = await store.keys()
    const asked = selector === undefined ? wraps : [select(wraps, selector)]
    const given = await allGiven(providers, wraps)
    const done: WrapInfo[] = []
    for (const wrap of asked) {
      const { own, right } = keysOf(wrap, given)
      if (right !== undefined) done.push(await this.#rewrap(wrap, right.provider))
      else if (selector !== undefined) throw notHere(wrap, own)
    }
    if (done.length > 0) return done
    const message = 'Cannot re-wrap the root key: no key of this store is here'
    const hint = `The store has ${wraps.map(nameOf).join(', ')}.`
    throw new SottoError('key_missing', message, { hint })
  }

  async #rewrap(old: StoredWrap, key: KeyProvider): Promise<WrapInfo> {
    const { store, clock } = this.#parts
    const { id } = store.identity
    const stored = await store.keys()
    const { provider, fingerprint } = old
    // From the wrap itself: the new one must open to the same key.
    const opened = await openKeyring(id, { ...stored, wraps: [old] }, [key])
    try {
      const wrapped = await bounded(key).wrap(opened.rootKey, id)
      const at = clock().toISOString()
      const wrap = { provider, fingerprint, createdAt: at, provenAt: at, wrapped }
      await demandProof(wrap, stored, key, id)
      await this.#change(opened, 'rewrap', wrap, (change) =>
        store.replaceWrap(change, wrap, old.wrapped),
      )
      return infoOf(wrap)
    } finally {
      opened.rootKey.fill(0)
    }
  }

  async #prove(wrap: StoredWrap, stored: StoredKeys, given: readonly Given[]): Promise<WrapProof> {
    const { store, clock } = this.#parts
    const info = infoOf(wrap)
    const { own, right } = keysOf(wrap, given)
    if (right === undefined) return { wrap: info, ...whyUntried(wrap, own) }
    try {
      await demandProof(wrap, stored, right.provider, store.identity.id)
    } catch (error) {
      if (!(error instanceof SottoError)) throw error
      return { wrap: info, ...failed(error) }
    }
    const provenAt = clock().toISOString()
    await store.noteProven(wrap.provider, wrap.fingerprint, provenAt)
    return { wrap: { ...info, provenAt }, state: 'proven' }
  }

  /** Records a change in the audit log, then makes it. */
  async #change(
    { keyring, wrap: used }: OpenedKeyring,
    verb: 'add' | 'remove' | 'rewrap',
    { provider, fingerprint }: Named,
    commit: (change: KeyChange) => Promise<number>,
  ): Promise<void> {
    const { store, clock, acts } = this.#parts
    const by = await acts(keyring)
    await by.changeKeys({ kind: 'key', verb, provider, fingerprint }, commit)
    // The change is made: a date that was not noted does not undo it.
    const noted = store.noteProven(used.provider, used.fingerprint, clock().toISOString())
    await noted.catch(() => {})
  }
}

type Named = Pick<WrapInfo, 'provider' | 'fingerprint'>

/** A key that was given, or why it cannot be used. */
export interface Given {
  readonly provider: KeyProvider
  readonly fingerprint?: string
  readonly error?: SottoError
}

/** What `providers` are among the keys that made `wraps`. */
export function allGiven(
  providers: readonly KeyProvider[],
  wraps: readonly Wrap[],
): Promise<Given[]> {
  return Promise.all(providers.map((each) => asGiven(each, wraps)))
}

/** `provider` as the one that made one of `wraps`, where it did. */
async function asGiven(provider: KeyProvider, wraps: readonly Wrap[]): Promise<Given> {
  const made = fingerprintsOf(wraps, provider.name)
  try {
    return { provider, fingerprint: await bounded(provider).fingerprint(made) }
  } catch (error) {
    if (!(error instanceof SottoError)) throw error
    return { provider, error }
  }
}

/** Those of the provider that made `wrap`, and the one that did. */
export function keysOf(wrap: StoredWrap, given: readonly Given[]): { own: Given[]; right?: Given } {
  const own = given.filter(({ provider }) => provider.name === wrap.provider)
  const right = own.find(({ fingerprint }) => fingerprint === wrap.fingerprint)
  return { own, ...(right && { right }) }
}

async function demandProof(
  wrap: StoredWrap,
  stored: StoredKeys,
  prover: KeyProvider,
  storeId: string,
): Promise<void> {
  const { rootKey } = await openKeyring(storeId, { ...stored, wraps: [wrap] }, [prover])
  rootKey.fill(0)
}

export function whyUntried(wrap: StoredWrap, own: readonly Given[]): Omit<WrapProof, 'wrap'> {
  const error = own.find((each) => each.error)?.error
  if (error) return failed(error)
  const reason = 'its key was not given'
  const other = own.find(({ fingerprint }) => fingerprint)
  if (other) {
    const given = `the given ${wrap.provider} key is ${other.fingerprint}`
    return { state: 'untried', reason: `${reason}: ${given}`, otherGiven: true }
  }
  if (wrap.provider !== 'recovery') return { state: 'untried', reason }
  const hint = 'With its identity it can be proven: --recovery-identity FILE'
  return { state: 'untried', reason, hint }
}

function notHere(wrap: StoredWrap, own: readonly Given[]): SottoError {
  const { reason = '', hint } = whyUntried(wrap, own)
  const message = `Cannot re-wrap the root key with ${nameOf(wrap)}: ${reason}`
  return new SottoError('key_missing', message, { hint })
}

function failed({ message, hint }: SottoError): Omit<WrapProof, 'wrap'> {
  return { state: 'failed', reason: message, ...(hint !== undefined && { hint }) }
}

function select(wraps: readonly StoredWrap[], selector: string): StoredWrap {
  const found = wraps.filter(
    ({ provider, fingerprint }) => provider === selector || fingerprint === selector,
  )
  if (found.length === 1) return found[0] as StoredWrap
  const among = (found.length === 0 ? wraps : found).map(nameOf).join(', ')
  throw new SottoError(
    'usage',
    found.length === 0
      ? `No key of this store has the provider or the fingerprint "${selector}"`
      : `${found.length} keys of this store have the provider "${selector}"`,
    { hint: `Name one by its fingerprint: ${among}` },
  )
}

function refuseTooFew(wrap: StoredWrap, rest: readonly StoredWrap[], recoveryAlone: boolean): void {
  if (rest.length === 0) {
    throw new SottoError(
      'unsafe',
      `Cannot remove ${nameOf(wrap)}: it is the last one, and the store could not be opened without it`,
      { hint: 'Add another key first: see `sotto help key add`.' },
    )
  }
  if (recoveryAlone || rest.some(({ provider }) => provider !== 'recovery')) return
  throw new SottoError(
    'unsafe',
    `Cannot remove ${nameOf(wrap)}: recovery keys alone would stay, and no server could start without an offline identity`,
    { hint: 'Add another key first, or say that this is meant: --leave-recovery-alone' },
  )
}

function nameOf({ provider, fingerprint }: Named): string {
  return `${provider} key ${fingerprint}`
}

function infoOf({ provider, fingerprint, createdAt, provenAt }: WrapInfo): WrapInfo {
  return { provider, fingerprint, createdAt, ...(provenAt !== undefined && { provenAt }) }
}
