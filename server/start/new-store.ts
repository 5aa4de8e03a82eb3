/** Makes a new store, sealed under the keys that are given. */
import { randomBytes } from 'node:crypto'
import { quote, SottoError } from '../../client/api/errors.ts'
import type { InitConfig } from '../config/config.ts'
import { Keyring } from '../crypto/keyring.ts'
import { createKeyFile, localKeyProvider } from '../crypto/local-key.ts'
import { provenWrap, type Wrap, wrapRootKey } from '../crypto/root-key.ts'
import { newStanding } from '../gate/store-macs.ts'
import { servicesOf } from './providers.ts'
import { madeStateDirectory, type StateDirectory } from '../store/directory.ts'
import { lockDirectory } from '../store/lock.ts'
import { createStore } from '../store/sqlite/store.ts'

/** A store that was just made, and what opens it. */
export interface NewStore {
  readonly store: string
  /** Names the root key, in 32 hex digits, which may be public. */
  readonly rootFingerprint: string
  /** The keys of key services, each named by its provider and fingerprint. */
  readonly services: readonly Pick<Wrap, 'provider' | 'fingerprint'>[]
  /** Absent where no local key opens it. */
  readonly keyFile?: string
}

/**
 * Makes a new store, sealed under the key of AWS KMS that is given, and under a new local key where one
 * is named or no other is given. Rejects with `store_exists` when the directory has anything in it, and as
 * the key provider does, and with the reason of the signal, and then made no store.
 */
export async function initialise(config: InitConfig, signal?: AbortSignal): Promise<NewStore> {
  const state = madeStateDirectory(config.stateDir)
  refuseOccupied(state)
  const lock = lockDirectory(state.path)
  try {
    return await makeStore(state, config, false, signal)
  } finally {
    lock.release()
  }
}

/**
 * Makes a store in `state`, which is empty and locked, sealed as `given` says. Rejects as the key provider does, and
 * then made no store.
 */
export async function makeStore(
  state: StateDirectory,
  given: Omit<InitConfig, 'stateDir'>,
  development: boolean,
  signal?: AbortSignal,
): Promise<NewStore> {
  const id = randomBytes(16).toString('hex')
  const createdAt = new Date().toISOString()
  const { keyring, rootKey, keys, lasting } = Keyring.create(id)
  try {
    // First: if a key service cannot be used, no store is made.
    const services: Wrap[] = []
    for (const service of servicesOf(given)) {
      services.push(await provenWrap(service, rootKey, id))
    }
    signal?.throwIfAborted()
    const path = given.keyFile ?? (services.length > 0 ? undefined : state.keyFile)
    const local = path === undefined ? undefined : await localWrap(path, rootKey, id)
    const wraps = [
      ...services.map((wrap) => ({ ...wrap, createdAt, provenAt: createdAt })),
      ...(local ? [{ ...local, createdAt }] : []),
    ]
    const branch = randomBytes(8).toString('hex')
    const identity = { id, development, createdAt, branch }
    const standing = newStanding(keyring, identity)
    createStore(state.store, { identity, standing, keys, wraps, lasting })
    const { rootFingerprint } = keyring
    return {
      store: state.store,
      rootFingerprint,
      services,
      ...(path !== undefined && { keyFile: path }),
    }
  } finally {
    rootKey.fill(0)
  }
}

async function localWrap(path: string, rootKey: Uint8Array, storeId: string): Promise<Wrap> {
  await createKeyFile(path)
  return wrapRootKey(localKeyProvider(path), rootKey, storeId)
}

function refuseOccupied({ path, empty, orphans }: StateDirectory): void {
  if (empty) return
  const where = `The state directory ${quote(path)}`
  if (orphans.length > 0) {
    const names = orphans.map((name) => quote(name)).join(' and ')
    throw new SottoError('store_exists', `${where} has no store, but ${names}`, {
      hint: 'A `sotto init` was cut short, or a store was moved away. If it was the first, delete what it left and try again.',
    })
  }
  throw new SottoError('store_exists', `${where} is not empty`, {
    hint: 'A store is never replaced. Give an empty directory, or start the server on this one.',
  })
}
