/** A SQLite store in a directory of its own, for one test. */
import { join } from 'node:path'
import type { Store } from '../../server/store/contract.ts'
import { createStore, type OpenOptions, openStore } from '../../server/store/sqlite/store.ts'
import { Hand } from '../contract/store-hand.ts'
import { seed } from '../contract/store-states.ts'
import { temporaryDirectory } from '../support/sotto.ts'

export interface Made {
  readonly directory: string
  readonly path: string
  readonly store: Store
  readonly hand: Hand
  [Symbol.asyncDispose](): Promise<void>
}

/** Makes an empty store and opens it; both go away at the end of the scope (`await using`). */
export async function makeStore(options: OpenOptions = {}): Promise<Made> {
  const directory = temporaryDirectory()
  const path = join(directory.path, 'store.db')
  createStore(path, seed)
  const store = await openStore(path, options)
  return {
    directory: directory.path,
    path,
    store,
    hand: new Hand(store),
    [Symbol.asyncDispose]: async () => {
      await store.close()
      directory[Symbol.dispose]()
    },
  }
}
