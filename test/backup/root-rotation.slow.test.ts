/** A5: the root key of a server is replaced, and its backups from before are still its own. */
import { cpSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { previewRestore } from '../../server/backup/restore/preview.ts'
import { restoreBackup } from '../../server/backup/restore/restore.ts'
import { verifyBackup } from '../../server/backup/restore/verify.ts'
import { fileSource, providerKeys } from '../../server/backup/source.ts'
import { localKeyProvider } from '../../server/crypto/local-key.ts'
import { ManualTimers } from '../audit/fixtures.ts'
import { bytes, type Service, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'

vi.setConfig({ testTimeout: 120_000 })

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE

test('A5: backups from before are listed, kept, pruned, verified and restored as those of the store', async () => {
  using scratch = temporaryDirectory()
  const [state, path] = [join(scratch.path, 'state'), join(scratch.path, 'backups')]
  mkdirSync(path)
  const timers = new ManualTimers()
  const clock = () => new Date(Date.UTC(2026, 0, 1) + timers.now())
  const serve = () =>
    startService(
      { timers, clock },
      {
        state,
        backups: {
          place: { kind: 'directory', path },
          keep: { last: 3, daily: 0, weekly: 0, monthly: 0 },
          rehearsal: { everyMs: 300 * DAY, directory: undefined },
        },
      },
    )
  const names = () => readdirSync(path).filter((name) => name.endsWith('.backup'))
  const ended = (of: Service, Name: string) =>
    of.client().operate('job-run', { Name, Started: 'the one under way' })
  const status = (of: Service) => of.client().operate('backup-status', {})
  /** Puts a value, and has it backed up. */
  async function backUp(of: Service, value: string): Promise<void> {
    await of.client().put('prod/a', bytes(value))
    timers.advance(2 * MINUTE)
    expect(await ended(of, 'backup')).toMatchObject({ LastResult: 'ok' })
  }
  const rootOf = async (of: Service): Promise<string> =>
    (await of.client().operate('key-status', {})).Root.Fingerprint ?? ''

  let before = ''
  let old: string[]
  {
    await using service = await serve()
    await backUp(service, '1')
    await backUp(service, '2')
    old = names()
    expect(old).toHaveLength(2)
    before = await rootOf(service)
    await service.client().operate('key-rotate', { Root: true })
    await vi.waitFor(
      async () => {
        timers.advance(500)
        const { Root, Entries } = await service.client().operate('key-status', {})
        expect([Root.Number, Root.Remade, Entries.length]).toEqual([2, undefined, 1])
      },
      { timeout: 30_000, interval: 50 },
    )
    // The newest backup is one that the root key of now does not open: what is proven is that of the store.
    expect(await service.client().operate('job-run', { Name: 'rehearsal' })).toMatchObject({
      LastResult: 'failed',
      LastMessage: expect.stringContaining(`it is under root key ${before}`),
    })
    timers.advance(2 * MINUTE)
    expect(await ended(service, 'backup')).toMatchObject({ LastResult: 'ok' })
    expect(names()).toHaveLength(3)
    expect((await status(service)).Findings).toEqual([])
    expect(await service.client().operate('job-run', { Name: 'rehearsal' })).toMatchObject({
      LastResult: 'ok',
    })
  }
  expect(names()).toEqual(expect.arrayContaining(old))

  // As does a server that never had the root key of before.
  await using service = await serve()
  timers.advance(2 * MINUTE)
  await ended(service, 'backup')
  const after = await rootOf(service)
  expect(after).not.toBe(before)
  await backUp(service, '3')
  expect((await status(service)).Findings).toEqual([])
  expect(names()).toHaveLength(4)

  using keys = providerKeys([localKeyProvider(join(state, 'local.key'))])
  const [, last = ''] = old
  const source = await fileSource(join(path, last))
  expect((await verifyBackup(source, keys, { expectRoot: before })).root).toBe(before)
  await expect(verifyBackup(source, keys, { expectRoot: after })).rejects.toMatchObject({
    code: 'store_foreign',
    hint: expect.stringContaining('A backup from before `sotto key rotate --root`'),
  })
  // What the log has since is under keys that the backup has not.
  const audit = join(state, 'audit')
  const wish = { source, keys, expectRoot: before }
  await expect(previewRestore({ ...wish, audit })).rejects.toMatchObject({
    code: 'store_foreign',
    hint: expect.stringContaining('without --audit'),
  })
  const to = join(scratch.path, 'restored')
  expect(await restoreBackup({ ...wish, to, operator: 'op' })).toMatchObject({ root: before })
  cpSync(join(state, 'local.key'), join(to, 'local.key'))
  await using restored = await startService({}, { state: to })
  const { Value } = await restored.client().getVersion('prod/a', 2)
  expect(Buffer.from(Value).toString()).toBe('2')

  // Retention counts them: the newest three, the one that was proven, and the first of the day, which they follow.
  for (const value of ['4', '5', '6']) await backUp(service, value)
  expect(names()).toHaveLength(5)
  expect(names()).toContain(old[0])
  expect(names()).not.toContain(last)
  expect((await status(service)).Findings).toEqual([])
})
