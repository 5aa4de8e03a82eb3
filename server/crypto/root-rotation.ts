/** Replaces the root key of a store: everything that is sealed under it is sealed under a new one. */
import { createSecretKey, randomBytes } from 'node:crypto'
import { EntrySealer, type SealedEntry } from './entries.ts'
import { KEY_BYTES } from './envelope.ts'
import { Keyring, type KeyringOptions, type StoredRoot } from './keyring.ts'
import { LastingKeys, lastingPurposes, LastingSealer, type SealedLasting } from './lasting.ts'
import { sealPreviousState } from './previous-state.ts'

/** What a store keeps that is sealed under its root key. */
export interface UnderRoot {
  readonly keys: readonly SealedEntry[]
  readonly lasting: readonly SealedLasting[]
  readonly root: StoredRoot
}

/** What replacing a root key gives. */
export interface RootRotated extends UnderRoot {
  readonly root: Required<StoredRoot>
  /** Its active entry is new: who opened the entries before has those that were sealed again, too. */
  readonly keyring: Keyring
  /** 32 bytes, for key providers to wrap; the caller overwrites them then. */
  readonly rootKey: Buffer
}

/**
 * Makes a new root key for the store `storeId`, a new active entry, and a new lasting key for every purpose;
 * seals those that there are under it, and with them the key of the MACs until now. The caller overwrites
 * `rootKey` afterwards. Throws as `Keyring.open`.
 */
export function rotateRoot(
  storeId: string,
  rootKey: Uint8Array,
  stored: UnderRoot,
  { random = randomBytes, clock = () => new Date() }: Omit<KeyringOptions, 'lasting' | 'root'> = {},
): RootRotated {
  Keyring.open(storeId, rootKey, stored.keys, stored)
  const createdAt = clock().toISOString()
  const number = stored.root.number + 1
  const before = createSecretKey(rootKey)
  const next = random(KEY_BYTES)
  const after = createSecretKey(next)

  const opener = new EntrySealer(storeId, before, random, stored.root.number)
  const sealer = new EntrySealer(storeId, after, random, number)
  const retired = stored.keys.map((each) => {
    const raw = opener.unseal(each)
    const sealed = sealer.seal({ ...each, state: 'retiring' }, raw)
    raw.fill(0)
    return sealed
  })
  const raw = random(KEY_BYTES)
  const id = Math.max(...stored.keys.map((each) => each.id)) + 1
  const keys = [...retired, sealer.seal({ id, createdAt, state: 'active' }, raw)]
  raw.fill(0)

  const held = new LastingKeys(storeId, before, stored.root.number, stored.lasting)
  const lastingSealer = new LastingSealer(storeId, after, random)
  const kept = lastingPurposes.flatMap((purpose) =>
    held.all(purpose).map(({ key, number: of }) => {
      const known = stored.lasting.find((each) => each.purpose === purpose && each.number === of)
      const head = { purpose, number: of, createdAt: known?.createdAt ?? createdAt }
      return lastingSealer.seal(head, key)
    }),
  )
  const lasting = [...kept, ...lastingSealer.make(number, createdAt)]

  const previous = sealPreviousState(storeId, after, number, before, random)
  const root = { number, previous }
  const keyring = Keyring.open(storeId, next, keys, { random, lasting, root })
  return { keyring, rootKey: next, keys, lasting, root }
}
