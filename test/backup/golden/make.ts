/**
 * Makes a golden backup: `node test/backup/golden/make.ts NAME`, once for each release whose format or
 * schema is new. One that was released is never made again: that it still comes back is the test.
 */
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openStore } from '../../../server/store/sqlite/store.ts'
import { fill, madeState } from '../made.ts'
import { type Golden, tellSecrets } from './golden.ts'

const name = process.argv[2] ?? ''
const folder = join(import.meta.dirname, name)
if (!/^[\w.-]+$/.test(name) || existsSync(folder)) throw new Error('NAME is missing, or is there')

using made = madeState()
await fill(made.state)
const backup = await made.backUp()
const store = await openStore(join(made.state, 'sotto.db'))
const { keys } = await store.keys()
const secrets = await tellSecrets(store)
await store.close()

const golden: Golden = { name: backup.name, manifest: backup.manifest, keys: keys.length, secrets }
mkdirSync(folder)
copyFileSync(made.pathOf(backup), join(folder, 'backup'))
copyFileSync(made.keyFile, join(folder, 'local.key'))
writeFileSync(join(folder, 'expect.json'), `${JSON.stringify(golden, undefined, 2)}\n`)
