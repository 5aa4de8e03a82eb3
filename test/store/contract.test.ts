import { join } from 'node:path'
import { createStore, openStore } from '../../server/store/sqlite/store.ts'
import { storeContract } from '../contract/store.ts'
import { temporaryDirectory } from '../support/sotto.ts'

storeContract('SQLite', async (seed) => {
  const directory = temporaryDirectory()
  const path = join(directory.path, 'store.db')
  createStore(path, seed)
  const store = await openStore(path)
  const open = [store]
  return {
    store,
    reopen: async () => {
      const again = await openStore(path)
      open.push(again)
      return again
    },
    dispose: async () => {
      for (const each of open) await each.close()
      directory[Symbol.dispose]()
    },
  }
})
