/**
 * A server that makes backups when it is told to, a line on stdin each, in the process that serves: what
 * that costs is what is measured. Arguments: the state directory, the tailnet file, the directory for backups.
 */
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { beginning } from '../../audit/line.ts'
import { createBackup } from '../../server/backup/create.ts'
import { directoryTarget } from '../../server/backup/targets/directory.ts'
import { Keyring } from '../../server/crypto/keyring.ts'
import { localKeyProvider } from '../../server/crypto/local-key.ts'
import { openRootKey } from '../../server/crypto/root-key.ts'
import { startServer } from '../../server/start/server.ts'
import { openStore } from '../../server/store/sqlite/store.ts'

const [stateDir = '', tailnet = '', backups = ''] = process.argv.slice(2)
const listen = { host: '127.0.0.1', port: 0 }
const server = await startServer({ dev: true, tailnet, stateDir, keyFile: undefined, listen })
// A second pair of eyes on the same file, since the server does not hand out its own.
const store = await openStore(join(stateDir, 'sotto.db'))
const { keys, wraps } = await store.keys()
const { id } = store.identity
const { rootKey } = await openRootKey([localKeyProvider(join(stateDir, 'local.key'))], wraps, id)
const keyring = Keyring.open(id, rootKey, keys)
console.log(`listening on ${server.url}`)

for await (const _ of createInterface({ input: process.stdin })) {
  const start = performance.now()
  const target = directoryTarget(backups)
  const { name } = await createBackup({
    store,
    keyring,
    target,
    auditDirectory: join(stateDir, 'audit'),
    logHead: () => beginning,
    records: { announce: async () => {}, abandon: async () => {} },
  })
  await target.delete(name)
  console.log(`backed up in ${performance.now() - start}`)
}
