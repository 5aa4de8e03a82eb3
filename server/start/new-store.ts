/** Makes a new store, sealed under the keys that are given. */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { quote, SottoError } from '../../client/api/errors.ts'
import type { InitConfig } from '../config/config.ts'
import { bounded } from '../crypto/bounded.ts'
import { Keyring } from '../crypto/keyring.ts'
import { createKeyFile, localKeyProvider } from '../crypto/local-key.ts'
import type { KeyProvider } from '../crypto/provider.ts'
import type { Wrap } from '../crypto/root-key.ts'
import { servicesOf } from './providers.ts'
import { madeStateDirectory, type StateDirectory } from '../store/directory.ts'
import { lockDirectory } from '../store/lock.ts'
import { createStore } from '../store/sqlite/store.ts'

/** A store that was just made, and what opens it. */
export interface NewStore {
  readonly store: string
  /** The keys of key services, each named by its provider and fingerprint. */
  readonly services: readonly Pick<Wrap, 'provider' | 'fingerprint'>[]
  /** Absent where no local key opens it. */
  readonly keyFile?: string
}

/**
 * Makes a new store, sealed under the key of AWS KMS that is given, and under a new local key where one
 * is named or no other is given. Rejects with `store_exists` when the directory has anything in it, and as
 * the key provider does, and then made no store.
 */
export async function initialise(config: InitConfig): Promise<NewStore> {
  const state = madeStateDirectory(config.stateDir)
  refuseOccupied(state)
  const lock = lockDirectory(state.path)
  try {
    return await makeStore(state, config, false)
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
): Promise<NewStore> {
  const id = randomBytes(16).toString('hex')
  const createdAt = new Date().toISOString()
  const { rootKey, keys } = Keyring.create(id)
  try {
    // First: if a key service cannot be used, no store is made.
    const services: Wrap[] = []
    for (const service of servicesOf(given)) {
      services.push(await provenWrap(bounded(service), rootKey, id))
    }
    const path = given.keyFile ?? (services.length > 0 ? undefined : state.keyFile)
    const local = path === undefined ? undefined : await localWrap(path, rootKey, id)
    const wraps = [
      ...services.map((wrap) => ({ ...wrap, createdAt, provenAt: createdAt })),
      ...(local ? [{ ...local, createdAt }] : []),
    ]
    createStore(state.store, { identity: { id, development, createdAt }, keys, wraps })
    return { store: state.store, services, ...(path !== undefined && { keyFile: path }) }
  } finally {
    rootKey.fill(0)
  }
}

async function localWrap(path: string, rootKey: Uint8Array, storeId: string): Promise<Wrap> {
  await createKeyFile(path)
  return wrapWith(localKeyProvider(path), rootKey, storeId)
}

/** A wrap that was opened again: permission to wrap does not imply permission to unwrap. */
async function provenWrap(key: KeyProvider, rootKey: Uint8Array, storeId: string): Promise<Wrap> {
  const wrap = await wrapWith(key, rootKey, storeId)
  const opened = await key.unwrap(wrap.wrapped, storeId)
  const same = opened.length === rootKey.length && timingSafeEqual(opened, rootKey)
  opened.fill(0)
  if (same) return wrap
  throw new SottoError(
    'key_wrong',
    `Cannot seal a store under ${key.name} key ${wrap.fingerprint}: it does not give back what it wrapped`,
  )
}

async function wrapWith(key: KeyProvider, rootKey: Uint8Array, storeId: string): Promise<Wrap> {
  const fingerprint = await key.fingerprint()
  return { provider: key.name, fingerprint, wrapped: await key.wrap(rootKey, storeId) }
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
