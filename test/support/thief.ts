/** Who has copies of a store and one of its keys, and what that opens. */
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { Keyring } from '../../server/crypto/keyring.ts'
import { localKeyProvider } from '../../server/crypto/local-key.ts'
import { openRootKey } from '../../server/crypto/root-key.ts'
import type { PlacedVersion, StoredKeys } from '../../server/store/contract.ts'
import { openStore } from '../../server/store/sqlite/store.ts'
import { temporaryDirectory } from './sotto.ts'

/** What a copy of a store has: its keys, and every version. */
export async function contentOf(
  file: string,
): Promise<{ keys: StoredKeys; versions: PlacedVersion[] }> {
  using scratch = temporaryDirectory()
  const copy = join(scratch.path, 'sotto.db')
  cpSync(file, copy)
  const store = await openStore(copy)
  const keys = await store.keys()
  const versions = await store.versions(undefined)
  await store.close()
  return { keys, versions }
}

/** Somebody who has a copy of a store and one of its keys, and never forgets what those gave. */
export class Thief {
  readonly #id: string
  readonly #rootKey: Uint8Array
  readonly #keyrings: Keyring[] = []

  private constructor(id: string, rootKey: Uint8Array) {
    this.#id = id
    this.#rootKey = rootKey
  }

  static async with(id: string, file: string, keyFile: string): Promise<Thief> {
    const { keys } = await contentOf(file)
    const { rootKey } = await openRootKey([localKeyProvider(keyFile)], keys.wraps, id)
    return new Thief(id, rootKey)
  }

  /** The versions in a copy of the store that open with all that was stolen until now, as `name version`. */
  async reads(file: string): Promise<string[]> {
    const { keys, versions } = await contentOf(file)
    try {
      this.#keyrings.push(Keyring.open(this.#id, this.#rootKey, keys.keys, keys))
    } catch {
      // This root key opens the entries of earlier copies only.
    }
    return versions
      .filter((version) => this.#keyrings.some((keyring) => this.#opens(keyring, version)))
      .map(({ name, version }) => `${name} ${version}`)
  }

  #opens(keyring: Keyring, version: PlacedVersion): boolean {
    // Whichever entry the store names: it may have been sealed again under another id.
    return keyring.fingerprints().some(({ id: keyId }) => {
      try {
        keyring.prove(version, { ...version, keyId })
        return true
      } catch {
        return false
      }
    })
  }
}

/** What a copy of a store says that it is. */
export async function identityOf(file: string): Promise<{ id: string }> {
  using scratch = temporaryDirectory()
  const copy = join(scratch.path, 'sotto.db')
  cpSync(file, copy)
  const store = await openStore(copy)
  const { identity } = store
  await store.close()
  return identity
}

/** A copy, in the directory `to`, of the store that a server has open in `state`, with what is not in its file yet. */
export async function copyOf(state: string, to: string): Promise<string> {
  const copy = join(to, `${crypto.randomUUID()}.db`)
  const live = new Database(join(state, 'sotto.db'), { readonly: true })
  await live.backup(copy)
  live.close()
  return copy
}
