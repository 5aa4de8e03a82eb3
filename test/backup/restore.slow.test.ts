/** A store comes back from a backup as it was, gives no number twice, and says what happened. */
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { encodeEntry, encodeLine, macEnding } from '../../audit/line.ts'
import type { Entry } from '../../audit/record.ts'
import { findRecord } from '../../audit/recovery.ts'
import { verifyLog } from '../../audit/verify.ts'
import { directoryTarget } from '../../server/backup/targets/directory.ts'
import { previewRestore } from '../../server/backup/restore/preview.ts'
import { NUMBERS_SKIPPED } from '../../server/backup/restore/continue.ts'
import { finishRestore } from '../../server/backup/restore/publish.ts'
import {
  type RestoredStore,
  type RestoreParts,
  restoreBackup,
} from '../../server/backup/restore/restore.ts'
import { type BackupSource, fileSource } from '../../server/backup/source.ts'
import { backUp } from '../../server/start/offline.ts'
import { openStore } from '../../server/store/sqlite/store.ts'
import { everything } from '../contract/store-hand.ts'
import { bytes, recordsIn, startService } from '../support/service.ts'
import { fill, madeState, type MadeState } from './made.ts'

// Servers start and stop in these, which takes its time on a machine that is busy.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

/** What each test begins with a copy of. */
let template: MadeState
let made: MadeState
let to: string

beforeAll(async () => {
  template = madeState()
  await fill(template.state)
})

afterAll(() => template[Symbol.dispose]())

beforeEach(() => {
  made = madeState(template.state)
  to = join(made.path, 'restored')
})

afterEach(() => made[Symbol.dispose]())

async function restore(
  file: string | BackupSource,
  options: Partial<RestoreParts> = {},
): Promise<RestoredStore> {
  using keys = made.keys()
  const source = typeof file === 'string' ? await fileSource(file) : file
  const clock = (): Date => new Date('2026-06-07T08:09:10.011Z')
  const restored = await restoreBackup({ source, keys, to, operator: 'op', clock, ...options })
  // As an operator does: the local key is never in a backup.
  cpSync(made.keyFile, join(options.to ?? to, 'local.key'))
  return restored
}

const names = ['prod/a', 'team/b', 'gone', 'again', 'holes', 'big']

async function told(path: string): Promise<Awaited<ReturnType<typeof everything>>> {
  const store = await openStore(path)
  try {
    return await everything(store, names)
  } finally {
    await store.close()
  }
}

test('every secret, version, pointer, tombstone and author comes back, and the keys', async () => {
  const backup = await made.backUp()
  const before = await told(join(made.state, 'sotto.db'))
  const restored = await restore(made.pathOf(backup))
  const after = await told(join(to, 'sotto.db'))
  const known = (all: typeof before): unknown =>
    all.secrets.map(({ row, values, history }) => ({
      row: row && { ...row, highest: 0, mac: '' },
      values: values.map((value) => value && { ...value }),
      history,
    }))
  expect(known(after)).toEqual(known(before))
  expect(after.secrets.flatMap(({ history }) => history.map(({ by }) => by.user))).toContain(
    'alice@example.com',
  )
  expect(restored).toMatchObject({ skipped: NUMBERS_SKIPPED, lost: [], logAfter: { id: 0 } })
  const store = await openStore(join(to, 'sotto.db'))
  expect(store.identity.restored).toEqual({
    branch: restored.branch,
    revision: backup.manifest.store.revision + 1001,
    backup: backup.name,
    takenAt: '2026-05-06T07:08:09.010Z',
    takenRevision: backup.manifest.store.revision,
    by: 'op',
    at: '2026-06-07T08:09:10.011Z',
    former: backup.manifest.store.branch,
    floor: 1000,
  })
  await store.close()
  await using service = await startService({}, { state: to })
  expect(Buffer.from((await service.client().get('prod/a')).Value).toString()).toBe('two')
  expect(Buffer.from((await service.client().getVersion('prod/a', 3)).Value).toString()).toBe(
    'three',
  )
})

test('a restored store starts, its log goes on, and nothing else passes for it', async () => {
  const backup = await made.backUp()
  await restore(made.pathOf(backup))
  {
    await using service = await startService({}, { state: to })
    expect(await service.client().list()).toHaveLength(5)
  }
  const records = recordsIn(join(to, 'audit'))
  expect(records.find(({ kind }) => kind === 'restore')).toMatchObject({
    backup: backup.name,
    taken: backup.manifest.store.revision,
    skipped: 1000,
    operator: 'op',
  })
  expect(await verifyLog(join(to, 'audit'))).toMatchObject({ ok: true })
  // Its own log taken away, cut, or another copy's put in its place.
  const own = join(made.path, 'own')
  renameSync(join(to, 'audit'), own)
  await expect(startService({}, { state: to })).rejects.toMatchObject({
    code: 'audit_cut',
    hint: expect.stringContaining('sotto restore'),
  })
  rmSync(join(to, 'audit'), { recursive: true, force: true })
  cpSync(join(made.state, 'audit'), join(to, 'audit'), { recursive: true })
  await expect(startService({}, { state: to })).rejects.toMatchObject({ code: 'audit_cut' })
  rmSync(join(to, 'audit'), { recursive: true })
  renameSync(own, join(to, 'audit'))
  await (await startService({}, { state: to })).server.stop()
})

test('without the later log, next numbers pass over a thousand, of new names too', async () => {
  const backup = await made.backUp()
  {
    await using lost = await startService({}, { state: made.state })
    expect(await lost.client().put('prod/a', bytes('four'))).toBe(4)
    expect(await lost.client().put('new', bytes('lost'))).toBe(1)
    await lost.client().activate('prod/a', 4)
  }
  const restored = await restore(made.pathOf(backup))
  expect(restored.revision).toBe(backup.manifest.store.revision + 1001)
  await using service = await startService({}, { state: to })
  const root = service.client()
  // Whoever holds a version that is gone is told to fetch, and so is who polls after new ones came.
  expect(await root.getIfChanged('prod/a', 4)).toMatchObject({ Version: 2 })
  expect(await root.put('prod/a', bytes('another four'))).toBe(1004)
  await root.activate('prod/a', 1004)
  expect(await root.getIfChanged('prod/a', 4)).toMatchObject({ Version: 1004 })
  expect(await root.put('new', bytes('another'))).toBe(1001)
  expect(await root.getIfChanged('new', 1)).toMatchObject({ Version: 1001 })
  expect(await root.put('gone', bytes('back'))).toBe(1002)
  // Numbers that may have been given cannot be had by asking for them.
  for (const [name, number] of [
    ['prod/a', 4],
    ['prod/a', 900],
    ['holes', 3],
    ['unknown', 1000],
  ] as const) {
    await expect(root.createVersion(name, number, bytes('x')), name).rejects.toMatchObject({
      code: 'version_taken',
    })
  }
  await root.createVersion('unknown', 1001, bytes('x'))
  await root.createVersion('holes', 5000, bytes('x'))
})

test('with the later log, numbers go on after the highest that was given', async () => {
  const backup = await made.backUp()
  {
    await using lost = await startService({}, { state: made.state })
    const root = lost.client()
    expect(await root.put('prod/a', bytes('four'))).toBe(4)
    expect(await root.put('new', bytes('lost'))).toBe(1)
    await root.createVersion('new', 30, bytes('thirty'))
    await root.delete('team/b')
  }
  const audit = join(made.state, 'audit')
  const survived = recordsIn(audit)
  const restored = await restore(made.pathOf(backup), { audit })
  expect(restored).toMatchObject({ skipped: 0, logAfter: { id: 0 } })
  expect(restored.lost.map(({ entry }) => entry && 'secret' in entry && entry.secret)).toEqual([
    'prod/a',
    'new',
    'new',
    'team/b',
  ])
  {
    await using service = await startService({}, { state: to })
    const root = service.client()
    expect(Buffer.from((await root.get('team/b')).Value).toString()).toBe('of alice')
    expect(await root.getIfChanged('prod/a', 4)).toMatchObject({ Version: 2 })
    expect(await root.put('prod/a', bytes('another four'))).toBe(5)
    expect(await root.put('new', bytes('another'))).toBe(31)
    expect(await root.put('brand-new', bytes('x'))).toBe(1)
    await expect(root.createVersion('new', 7, bytes('x'))).rejects.toMatchObject({
      code: 'version_taken',
    })
  }
  const records = recordsIn(join(to, 'audit'))
  expect(records.slice(0, survived.length)).toEqual(survived)
  const at = records.findIndex(({ kind }) => kind === 'restore')
  const undone = records.slice(at).filter(({ kind }) => kind === 'abandoned')
  expect(undone.map(({ of }) => of)).toEqual(restored.lost.map(({ id }) => id))
  expect(await verifyLog(join(to, 'audit'))).toMatchObject({ ok: true })
})

test('a log that is not the one behind the backup is refused, and nothing is made', async () => {
  const early = await made.backUp()
  {
    await using service = await startService({}, { state: made.state })
    await service.client().put('prod/a', bytes('four'))
    await service.server.stop()
  }
  const audit = join(made.path, 'log')
  cpSync(join(made.state, 'audit'), audit, { recursive: true })
  {
    await using service = await startService({}, { state: made.state })
    await service.client().put('prod/a', bytes('five'))
  }
  const late = await made.backUp('2026-05-06T08:00:00.000Z')
  const refusal = (options: Partial<RestoreParts>, backup = late): Promise<unknown> =>
    restore(made.pathOf(backup), options).catch((error: unknown) => error)
  expect(await refusal({ audit })).toMatchObject({ code: 'audit_cut' })
  expect(await refusal({ audit: join(made.path, 'none') })).toMatchObject({ code: 'local' })
  // A restored copy's log goes on from the early backup in another way.
  await restore(made.pathOf(early))
  {
    await using copy = await startService({}, { state: to })
    for (let count = 0; count < 3; count++) await copy.client().put('prod/a', bytes(`${count}`))
  }
  const other = join(made.path, 'other')
  renameSync(to, other)
  expect(await refusal({ audit: join(other, 'audit') })).toMatchObject({
    code: 'audit_damaged',
    message: expect.stringContaining('does not continue the backup'),
  })
  {
    using foreign = madeState()
    await fill(foreign.state)
    expect(await refusal({ audit: join(foreign.state, 'audit') }, early)).toMatchObject({
      code: 'store_foreign',
    })
  }
  expect(existsSync(to) ? readdirSync(to) : []).not.toContain('sotto.db')
})

test('A6: a log of another branch is refused: it gave the same numbers to other values', async () => {
  const early = await made.backUp()
  await restore(made.pathOf(early))
  const drill = join(made.path, 'drill')
  renameSync(to, drill)
  {
    await using copy = await startService({}, { state: drill })
    await copy.client().put('prod/a', bytes('of the drill'))
  }
  const { branch } = early.manifest.store
  const refused = { code: 'store_foreign', message: expect.stringContaining(`of branch ${branch}`) }
  const audit = join(drill, 'audit')
  await expect(restore(made.pathOf(early), { audit })).rejects.toMatchObject(refused)
  using keys = made.keys()
  const source = await fileSource(made.pathOf(early))
  await expect(previewRestore({ source, keys, audit })).rejects.toMatchObject(refused)
  // With a backup of its own it continues.
  const own = await backUp(
    { stateDir: drill, keyFile: undefined },
    { operator: 'op' },
    { target: directoryTarget(made.backups) },
  )
  expect(await restore(made.pathOf(own), { audit })).toMatchObject({ skipped: 0 })
})

test('B6: a log that others wrote on is refused, with whatever MAC', async () => {
  const backup = await made.backUp()
  const { last } = backup.manifest.log ?? {}
  const audit = join(made.state, 'audit')
  const folder = join(made.path, 'log')
  const entry = { ...recordsIn(audit).find(({ kind }) => kind === 'change') }
  for (const key of ['id', 'time', 'revision', 'prev', 'mac', 'salt']) delete entry[key]
  const line = encodeEntry({ ...entry, secretVersion: 900 } as unknown as Entry, () => '')
  const head = recordsIn(audit).at(-1)?.['id'] as number
  const known = await findRecord(audit, head)
  const stamp = { id: head + 1, time: '2026-05-06T07:08:10.000Z', revision: 0 }
  const forged = encodeLine(line, { ...stamp, prev: known?.hash ?? '' })
  expect(head).toBeGreaterThan(last?.id ?? Infinity)
  const withLine = (text: string): ReturnType<typeof restore> => {
    rmSync(folder, { recursive: true, force: true })
    cpSync(audit, folder, { recursive: true })
    const newest = readdirSync(folder).toSorted().at(-1) ?? ''
    appendFileSync(join(folder, newest), `${text}\n`)
    return restore(made.pathOf(backup), { audit: folder })
  }
  await expect(withLine(forged.slice(0, -1) + macEnding('ab'.repeat(32)))).rejects.toMatchObject({
    code: 'audit_damaged',
    message: expect.stringMatching(/no valid MAC/),
    hint: expect.stringContaining('Restore without --audit'),
  })
  // Without a MAC it is in no batch, as what a crash leaves: left out.
  expect((await withLine(forged)).lost).toEqual([])
  await using service = await startService({}, { state: to })
  expect(await service.client().put('prod/a', bytes('four'))).toBe(4)
})

test('the log comes back whole out of several backups, and else begins behind what is known', async () => {
  const first = await made.backUp('2026-05-06T07:00:00.000Z')
  for (const day of ['07', '08', '09']) {
    await using service = await startService({}, { state: made.state })
    await service.client().get('prod/a')
    await service.server.stop()
    await made.backUp(`2026-05-${day}T07:00:00.000Z`)
  }
  const last = await made.backUp('2026-05-09T09:00:00.000Z')
  expect(first.manifest.follows).toBeNull()
  expect(last.manifest.follows).toContain('20260509T070000')
  const all = recordsIn(join(made.state, 'audit'))
  const earlier = async (name: string): Promise<BackupSource | undefined> =>
    existsSync(join(made.backups, name)) ? fileSource(join(made.backups, name)) : undefined
  const whole = await restore(made.pathOf(last), { earlier })
  expect(whole.logAfter.id).toBe(0)
  const { last: ends } = last.manifest.log ?? { last: { id: 0 } }
  const upTo = all.filter(({ id }) => (id as number) <= ends.id)
  expect(recordsIn(join(to, 'audit')).slice(0, upTo.length)).toEqual(upTo)
  const part = join(made.path, 'part')
  const { logAfter } = await restore(made.pathOf(last), { to: part })
  expect(logAfter.id).toBeGreaterThan(0)
  expect(await verifyLog(join(part, 'audit'), { after: logAfter })).toMatchObject({ ok: true })
  await (await startService({}, { state: part })).server.stop()
})

test('a store that was restored twice passes over numbers twice', async () => {
  const first = await made.backUp()
  await restore(made.pathOf(first))
  const again = await backUp(
    { stateDir: to, keyFile: undefined },
    { operator: 'op', clock: () => new Date('2026-07-01T00:00:00.000Z') },
    { target: directoryTarget(made.backups) },
  )
  const twice = join(made.path, 'twice')
  await restore(made.pathOf(again), { to: twice })
  await using service = await startService({}, { state: twice })
  expect(await service.client().put('brand-new', bytes('x'))).toBe(2001)
  expect(await service.client().put('prod/a', bytes('x'))).toBe(2004)
})

test('only an empty directory is restored into', async () => {
  const file = made.pathOf(await made.backUp())
  const before = readdirSync(made.state)
  await expect(restore(file, { to: made.state })).rejects.toMatchObject({
    code: 'store_exists',
    message: expect.stringContaining('it is not empty'),
  })
  expect(readdirSync(made.state)).toEqual(before)
  mkdirSync(to, { mode: 0o700 })
  writeFileSync(join(to, 'local.key'), 'mine')
  await expect(restore(file)).rejects.toMatchObject({ code: 'store_exists' })
  rmSync(join(to, 'local.key'))
  await restore(file)
  expect(readdirSync(to).toSorted()).toEqual(['audit', 'local.key', 'lock', 'sotto.db'])
})

test('what was cut short is no store, says so, and is done again or finished', async () => {
  const file = made.pathOf(await made.backUp())
  mkdirSync(join(to, 'restore.0123abcd.partial'), { recursive: true, mode: 0o700 })
  const start = startService({}, { state: to })
  await expect(start).rejects.toMatchObject({
    code: 'no_store',
    message: expect.stringContaining('was cut short'),
  })
  await restore(file)
  expect(readdirSync(to).filter((name) => name.startsWith('restore.'))).toEqual([])
  // Complete, and killed while it was put in its place.
  for (const moved of [[], ['audit']]) {
    const other = mkdtempSync(join(made.path, 'ready-'))
    const draft = join(other, 'restore.0123abcd.ready')
    mkdirSync(draft)
    cpSync(join(to, 'sotto.db'), join(draft, 'sotto.db'))
    cpSync(join(to, 'audit'), join(moved.length > 0 ? other : draft, 'audit'), { recursive: true })
    await expect(startService({}, { state: other })).rejects.toMatchObject({ code: 'no_store' })
    expect(await finishRestore(other)).toBe(true)
    expect(await finishRestore(other)).toBe(false)
    cpSync(made.keyFile, join(other, 'local.key'))
    await (await startService({}, { state: other })).server.stop()
  }
})

test('a backup that does not verify leaves nothing of a store', async () => {
  const backup = await made.backUp()
  const source = await fileSource(made.pathOf(backup))
  async function* cut(): AsyncGenerator<Uint8Array> {
    for await (const piece of await source.read()) yield piece.subarray(0, piece.length - 100)
  }
  await expect(restore({ ...source, read: async () => cut() })).rejects.toMatchObject({
    code: 'backup_damaged',
  })
  expect(readdirSync(to).filter((name) => !name.startsWith('lock'))).toEqual([])
})

test('a dry run makes nothing, and tells what is newer in the live store', async () => {
  const backup = await made.backUp()
  await using live = await startService({}, { state: made.state })
  const root = live.client()
  await root.put('prod/a', bytes('four'))
  await root.put('new', bytes('x'))
  await root.delete('team/b')
  using keys = made.keys()
  const preview = await previewRestore({
    source: await fileSource(made.pathOf(backup)),
    keys,
    live: made.state,
    audit: join(made.state, 'audit'),
  })
  expect(preview).toMatchObject({ backup: backup.name, values: 6 })
  expect(preview.newer?.toSorted((a, b) => (a.name < b.name ? -1 : 1))).toEqual([
    { name: 'new', state: 'new' },
    { name: 'prod/a', state: 'changed' },
    { name: 'team/b', state: 'deleted' },
  ])
  expect(preview.lost).toHaveLength(3)
  expect(existsSync(to)).toBe(false)
})
