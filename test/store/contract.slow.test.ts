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
  const opened = async (file: string) => {
    const again = await openStore(file)
    open.push(again)
    return again
  }
  return {
    store,
    reopen: () => opened(path),
    openCopy: opened,
    dispose: async () => {
      for (const each of open) await each.close()
      directory[Symbol.dispose]()
    },
  }
})
