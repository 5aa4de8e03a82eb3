/** Backups that earlier releases made come back: `golden/` has one of each format and schema. */
import { chmodSync, copyFileSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { restoreBackup } from '../../server/backup/restore/restore.ts'
import { fileSource, providerKeys } from '../../server/backup/source.ts'
import { verifyBackup } from '../../server/backup/restore/verify.ts'
import { localKeyProvider } from '../../server/crypto/local-key.ts'
import { openStore } from '../../server/store/sqlite/store.ts'
import { startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { type Golden, tellSecrets } from './golden/golden.ts'

const golden = join(import.meta.dirname, 'golden')
const names = readdirSync(golden).filter((name) => !name.endsWith('.ts'))

test.each(names)('the golden backup %s verifies, is restored, and is served', async (name) => {
  using scratch = temporaryDirectory()
  const folder = join(golden, name)
  const due = JSON.parse(readFileSync(join(folder, 'expect.json'), 'utf8')) as Golden
  const keyFile = join(scratch.path, 'local.key')
  copyFileSync(join(folder, 'local.key'), keyFile)
  chmodSync(keyFile, 0o600)
  const file = join(scratch.path, due.name)
  copyFileSync(join(folder, 'backup'), file)
  const source = await fileSource(file)
  using keys = providerKeys([localKeyProvider(keyFile)])
  expect(await verifyBackup(source, keys)).toMatchObject({
    name: due.name,
    manifest: due.manifest,
    values: due.manifest.store.counts.versions,
  })
  const to = join(scratch.path, 'state')
  expect(await restoreBackup({ source, keys, to, operator: 'op' })).toMatchObject({ to })
  const store = await openStore(join(to, 'sotto.db'))
  expect(await tellSecrets(store)).toEqual(due.secrets)
  expect((await store.keys()).keys).toHaveLength(due.keys)
  await store.close()
  copyFileSync(keyFile, join(to, 'local.key'))
  await using service = await startService({}, { state: to })
  const { Value, Version } = await service.client().get('prod/a')
  expect([Buffer.from(Value).toString(), Version]).toEqual(['two', 2])
  expect(Buffer.from((await service.client().get('team/b')).Value).toString()).toBe('of alice')
})

test('there is a golden backup', () => {
  expect(names).not.toEqual([])
})
