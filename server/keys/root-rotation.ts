/**
 * Replaces the root key of a store that is in use. One commit stores everything that is sealed under it sealed
 * under a new one, with a new entry of the keyring, since who opened an entry once has it. The MACs of records are
 * made again after that, in batches, while those of the root key before are still taken.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { asSottoError, SottoError } from '../../client/api/errors.ts'
import type { Keyring } from '../crypto/keyring.ts'
import type { KeyProvider } from '../crypto/provider.ts'
import { provenWrap, wrapRootKey } from '../crypto/root-key.ts'
import { rotateRoot } from '../crypto/root-rotation.ts'
import type { KeyActs, KeyIntent } from '../gate/key-acts.ts'
import type { RemadeMac, SecretRow, Store, StoredKeys, StoredWrap } from '../store/contract.ts'
import { allGiven, type Given, keysOf, openKeyring, whyUntried } from './wraps.ts'

/** What a root key is replaced with. */
export interface RootRotationParts {
  readonly store: Store
  /** The keyring in use. */
  readonly keyring: Keyring
  /** The keys that are here, in the order in which they are asked. */
  readonly providers: () => Promise<readonly KeyProvider[]>
  readonly clock: () => Date
  /**
   * Runs `task`, which replaces the MAC of a record, while nothing else changes that record: of the secret of
   * that name, or of the backends.
   */
  readonly alone: (
    of: { readonly secret: string } | 'backends',
    task: () => Promise<void>,
  ) => Promise<void>
}

/** Does work, and leaves the store to others after it. Rejects where the rotation is to stop. */
type Paced = (work: () => Promise<void>) => Promise<void>

/** Records whose MACs are replaced at once. */
const BATCH_RECORDS = 50

/** The replacement of one root key. */
export class RootRotation {
  readonly #parts: RootRotationParts
  #remade = 0

  constructor(parts: RootRotationParts) {
    this.#parts = parts
  }

  /** Of how many secrets the MACs were replaced since this run began; undefined where none is under way. */
  get remade(): number | undefined {
    return this.#parts.keyring.takesPrevious ? this.#remade : undefined
  }

  /**
   * Replaces the root key; its MACs are then to be replaced, by `run`. `recipients` are those of recovery
   * keys, whose identities are not here. Rejects with `key_missing`, naming each wrap that cannot be remade,
   * and with `conflict` when the keys were changed meanwhile; then nothing was changed.
   */
  async begin(acts: KeyActs, recipients: readonly KeyProvider[]): Promise<void> {
    const { store, keyring, providers, clock } = this.#parts
    const { id } = store.identity
    const stored = await store.keys()
    const here = await providers()
    const opened = await openKeyring(id, stored, here)
    const rotated = rotate(id, opened.rootKey, stored, clock)
    try {
      const wraps = await this.#wrapsFor(rotated.rootKey, stored, here, recipients)
      const { keys, lasting, root } = rotated
      const next = { keys: [...keys], wraps, lasting: [...lasting], root }
      await acts.changeKeys(intentOf('rotate', rotated.keyring), (change) =>
        store.rotateRoot(change, next, stored),
      )
    } finally {
      rotated.rootKey.fill(0)
    }
    keyring.adopt(rotated.keyring)
  }

  /**
   * Makes the MACs again that are left, and erases the key of the ones before. Rejects with `store_damaged` when
   * a record has neither, after all others were replaced; and as `paced`.
   */
  async run(acts: KeyActs, paced: Paced): Promise<void> {
    const { store, keyring } = this.#parts
    if (!keyring.takesPrevious) return
    this.#remade = 0
    const damage = [
      ...(await this.#remakeSecrets(paced)),
      ...(await this.#remakeBackends()),
      ...(await this.#remakeRotations()),
    ]
    const [first] = damage
    if (first !== undefined) {
      const found = `${damage.length} records do not verify, the first one: ${first.message}`
      throw new SottoError('store_damaged', `Cannot end the rotation of the root key: ${found}`, {
        hint: 'Restore the store from a backup; until then what the root key before gave is still taken.',
        cause: first,
      })
    }
    await acts.changeKeys(intentOf('settle', keyring), (change) =>
      store.settleRoot(change, keyring.rootNumber),
    )
    keyring.forgetPrevious()
  }

  /** The wraps of a new root key by the keys that have wraps now, proven where the key is here. */
  async #wrapsFor(
    rootKey: Uint8Array,
    { wraps }: StoredKeys,
    here: readonly KeyProvider[],
    recipients: readonly KeyProvider[],
  ): Promise<StoredWrap[]> {
    const { store, clock } = this.#parts
    const given = await allGiven(here, wraps)
    const ofRecipients = await allGiven(recipients, wraps)
    const made: StoredWrap[] = []
    const failures: string[] = []
    for (const old of wraps) {
      try {
        const { wrap, isProven } = await remade(
          old,
          rootKey,
          store.identity.id,
          given,
          ofRecipients,
        )
        const at = clock().toISOString()
        made.push({ ...wrap, createdAt: at, ...(isProven && { provenAt: at }) })
      } catch (error) {
        failures.push(`${old.provider} key ${old.fingerprint} (${asSottoError(error).message})`)
      }
    }
    if (failures.length === 0) return made
    throw new SottoError(
      'key_missing',
      `Cannot rotate the root key: it cannot be wrapped again by ${failures.join('; by ')}`,
      {
        hint: 'Give these keys: of a recovery key the recipient, with --recipient. Or remove them with `sotto key remove`, and add them again afterwards.',
      },
    )
  }

  async #remakeSecrets(paced: Paced): Promise<SottoError[]> {
    const { store } = this.#parts
    const damage: SottoError[] = []
    // After all changes that were called while the root key was replaced, whose MACs are of the one before.
    await store.committed([])
    for (let page = await store.states(undefined); page.length > 0; ) {
      for (let at = 0; at < page.length; at += BATCH_RECORDS) {
        await nextTurn()
        const batch = page.slice(at, at + BATCH_RECORDS)
        await paced(() => this.#remake(batch, damage))
        this.#remade += batch.length
      }
      page = await store.states(page.at(-1)?.name)
    }
    return damage
  }

  async #remake(rows: readonly SecretRow[], damage: SottoError[]): Promise<void> {
    const { store, keyring, alone } = this.#parts
    const due = rows.filter((row) => noting(damage, () => keyring.isOfPrevious(row, row.mac)))
    // Each by itself, since each waits for changes of its secret; the store commits them together.
    const remaking = due.map((row) =>
      alone({ secret: row.name }, () =>
        store.remakeMacs('secret', [{ name: row.name, mac: keyring.mac(row), expected: row.mac }]),
      ),
    )
    const failed = (await Promise.allSettled(remaking)).find(({ status }) => status === 'rejected')
    if (failed?.status === 'rejected') throw failed.reason
  }

  async #remakeBackends(): Promise<SottoError[]> {
    const { store, keyring, alone } = this.#parts
    const damage: SottoError[] = []
    await alone('backends', async () => {
      const { backends } = await store.backends()
      const again = backends.flatMap((each): RemadeMac[] => {
        const isFine = noting(damage, () => {
          keyring.verifyBackend(each, each.mac)
          return true
        })
        if (!isFine) return []
        return [{ name: each.name, mac: keyring.backendMac(each), expected: each.mac }]
      })
      await store.remakeMacs('backend', again)
    })
    return damage
  }

  /** Nothing keeps them in memory: one that is changed meanwhile gets its MAC by the current key, and is skipped. */
  async #remakeRotations(): Promise<SottoError[]> {
    const { store, keyring } = this.#parts
    const damage: SottoError[] = []
    const { rotations } = await store.rotations()
    const again = rotations.flatMap((each): RemadeMac[] => {
      const isFine = noting(damage, () => {
        keyring.verifyRotation(each, each.mac)
        return true
      })
      if (!isFine) return []
      return [{ name: each.name, mac: keyring.rotationMac(each), expected: each.mac }]
    })
    await store.remakeMacs('rotation', again)
    return damage
  }
}

function intentOf(verb: 'rotate' | 'settle', keyring: Keyring): KeyIntent {
  const { rootNumber: number, rootFingerprint: fingerprint } = keyring
  return { kind: 'root-key', verb, number, fingerprint }
}

/** Overwrites the root key that was. */
function rotate(
  storeId: string,
  rootKey: Uint8Array,
  stored: StoredKeys,
  clock: () => Date,
): ReturnType<typeof rotateRoot> {
  try {
    return rotateRoot(storeId, rootKey, stored, { clock })
  } finally {
    rootKey.fill(0)
  }
}

/** A wrap of another root key by the key that made `old`: proven by an unwrap, but for a recipient's. */
async function remade(
  old: StoredWrap,
  rootKey: Uint8Array,
  storeId: string,
  given: readonly Given[],
  recipients: readonly Given[],
): Promise<{ readonly wrap: Omit<StoredWrap, 'createdAt'>; readonly isProven: boolean }> {
  const { own, right } = keysOf(old, given)
  if (right) {
    const wrap = await provenWrap(right.provider, rootKey, storeId)
    // A replica of the key has a name of its own.
    return { wrap: { ...wrap, fingerprint: old.fingerprint }, isProven: true }
  }
  const recipient = keysOf(old, recipients).right
  if (recipient) {
    return { wrap: await wrapRootKey(recipient.provider, rootKey, storeId), isProven: false }
  }
  const { reason = '' } = whyUntried(old, own)
  throw new SottoError(
    'key_missing',
    old.provider === 'recovery' ? 'its recipient was not given' : reason,
  )
}

/** What `look` finds; false where it throws, and that is noted. */
function noting(damage: SottoError[], look: () => boolean): boolean {
  try {
    return look()
  } catch (error) {
    damage.push(asSottoError(error))
    return false
  }
}
