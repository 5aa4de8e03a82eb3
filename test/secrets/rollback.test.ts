/** A store that was rolled back or altered while no server ran: nothing of it is served. */
import {
  chmodSync,
  copyFileSync,
  cpSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { verifyLog } from '../../audit/verify.ts'
import { withKeys } from '../../server/start/offline.ts'
import { startServer } from '../../server/start/server.ts'
import { initialise } from '../../server/start/new-store.ts'
import { recordsIn, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'

const bytes = (value: string): Uint8Array => new TextEncoder().encode(value)
const text = (value: Uint8Array): string => new TextDecoder().decode(value)

const development = (stateDir: string) => ({
  dev: true as const,
  tailnet: undefined,
  stateDir,
  keyFile: undefined,
  listen: { host: '127.0.0.1', port: 0 },
})

/** Runs SQL on the store in `state`, with the store at `other` attached. */
function alter(state: string, sql: string, other?: string): void {
  const db = new Database(join(state, 'sotto.db'))
  if (other !== undefined) db.prepare('ATTACH ? AS other').run(other)
  db.exec(sql)
  db.close()
}

describe('B2: a store that was rolled back alone is refused', () => {
  const scratch = temporaryDirectory()
  const made = join(scratch.path, 'made')
  const [old, newest] = [join(scratch.path, 'old.db'), join(scratch.path, 'newest.db')]

  beforeAll(async () => {
    {
      await using service = await startService({}, { state: made })
      const client = service.client()
      await client.put('pay/key', bytes('leaked'))
      await client.put('hr/old', bytes('salaries'))
      await client.put('other', bytes('one'))
    }
    copyFileSync(join(made, 'sotto.db'), old)
    {
      await using service = await startService({}, { state: made })
      const client = service.client()
      await client.put('pay/key', bytes('new'))
      await client.activate('pay/key', 2)
      await client.deleteVersion('pay/key', 1)
      await client.delete('hr/old')
      await client.put('other', bytes('two'))
    }
    copyFileSync(join(made, 'sotto.db'), newest)
  })
  afterAll(() => scratch[Symbol.dispose]())

  const copyHead = `UPDATE meta SET (revision, audit_id, audit_hash) =
    (SELECT revision, audit_id, audit_hash FROM other.meta)`
  const copyMeta = `DELETE FROM meta; INSERT INTO meta SELECT * FROM other.meta`
  const copyChanges = `
    INSERT OR IGNORE INTO change SELECT * FROM other.change;
    INSERT OR IGNORE INTO change_mac SELECT * FROM other.change_mac`
  const putBack = (name: string): string => `
    PRAGMA foreign_keys = OFF;
    UPDATE secret SET (incarnation, active, highest, versions, removed, mac) =
      (SELECT incarnation, active, highest, versions, removed, mac FROM other.secret s
        WHERE s.name = '${name}') WHERE name = '${name}';
    DELETE FROM version WHERE secret = (SELECT id FROM secret WHERE name = '${name}');
    INSERT INTO version SELECT v.* FROM other.version v JOIN other.secret s ON s.id = v.secret
      WHERE s.name = '${name}'`

  const cases: [string, { from: string; sql?: string; other?: string; code: string }][] = [
    ['the old file as it is', { from: old, code: 'store_behind' }],
    [
      'the old file with the head of the newer one',
      { from: old, sql: copyHead, other: newest, code: 'store_damaged' },
    ],
    [
      'the old rows with all that the newer one says of itself',
      { from: old, sql: copyMeta, other: newest, code: 'store_damaged' },
    ],
    [
      'the old rows with the newer changes, too',
      { from: old, sql: `${copyMeta}; ${copyChanges}`, other: newest, code: 'store_damaged' },
    ],
    [
      'one secret put back',
      { from: newest, sql: putBack('pay/key'), other: old, code: 'store_damaged' },
    ],
    [
      'a deleted secret put back',
      { from: newest, sql: putBack('hr/old'), other: old, code: 'store_damaged' },
    ],
    [
      'one secret put back, its changes in another order',
      {
        from: newest,
        sql: `${putBack('other')};
          UPDATE change SET revision = -revision WHERE revision IN (3, 8);
          UPDATE change SET revision = 11 + revision WHERE revision < 0;
          UPDATE change_mac SET revision = -revision WHERE revision IN (3, 8);
          UPDATE change_mac SET revision = 11 + revision WHERE revision < 0`,
        other: old,
        code: 'store_damaged',
      },
    ],
    [
      'one secret put back, its change gone and the revision lowered',
      {
        from: newest,
        sql: `${putBack('other')};
          DELETE FROM change WHERE revision = 8; DELETE FROM change_mac WHERE revision = 8;
          UPDATE meta SET revision = 7`,
        other: old,
        code: 'store_behind',
      },
    ],
    [
      'a change of another time put in the place of one that is gone',
      {
        from: newest,
        sql: `UPDATE change SET audit_id = 999 WHERE revision = 2`,
        code: 'store_behind',
      },
    ],
    [
      'no MACs at all, as an early release left it',
      {
        from: old,
        sql: `${copyHead}; UPDATE meta SET mac = NULL, macs_from = NULL; DELETE FROM change_mac`,
        other: newest,
        code: 'store_damaged',
      },
    ],
    [
      'no MACs, and every newer change',
      {
        from: old,
        sql: `${copyMeta}; ${copyChanges}; UPDATE meta SET mac = NULL, macs_from = NULL; DELETE FROM change_mac`,
        other: newest,
        code: 'store_damaged',
      },
    ],
  ]

  test.each(cases)('B2: %s', async (_, { from, sql, other, code }) => {
    using place = temporaryDirectory()
    const state = join(place.path, 'state')
    cpSync(made, state, { recursive: true })
    copyFileSync(from, join(state, 'sotto.db'))
    if (sql !== undefined) alter(state, sql, other)
    const before = recordsIn(join(state, 'audit')).length
    await expect(startServer(development(state))).rejects.toMatchObject({ code })
    expect(recordsIn(join(state, 'audit'))).toHaveLength(before)
    copyFileSync(newest, join(state, 'sotto.db'))
    await using service = await startService({}, { state })
    expect(text((await service.client().get('pay/key')).Value)).toBe('new')
  })
})

test('B2, C12: what a store says of itself cannot be altered', async () => {
  using scratch = temporaryDirectory()
  const state = join(scratch.path, 'state')
  {
    await using service = await startService({}, { state })
    await service.client().put('a', bytes('one'))
  }
  const good = readFileSync(join(state, 'sotto.db'))
  for (const set of [
    `branch = 'ffffffffffffffff'`,
    'adopted = 0',
    'starts = starts + 1',
    `host = 'elsewhere'`,
    `created_at = '2020-01-01T00:00:00.000Z'`,
    'macs_from = 100',
    `mac = x'00'`,
  ]) {
    alter(state, `UPDATE meta SET ${set}`)
    await expect(startServer(development(state)), set).rejects.toMatchObject({
      code: 'store_damaged',
    })
    writeFileSync(join(state, 'sotto.db'), good)
  }
  alter(
    state,
    `INSERT INTO restore (revision, audit_id, audit_hash, backup, taken_at, taken_revision, floor, by, at)
     VALUES (2, 90, '', '', '', 1, 0, '', ''); UPDATE meta SET revision = 2`,
  )
  await expect(startServer(development(state))).rejects.toMatchObject({ code: 'store_damaged' })
  writeFileSync(join(state, 'sotto.db'), good)
  await (await startServer(development(state))).stop()
})

test('C12: a production store that says it is one of --dev is not opened as one', async () => {
  using scratch = temporaryDirectory()
  const state = join(scratch.path, 'state')
  await initialise({ stateDir: state, keyFile: undefined })
  alter(state, 'UPDATE meta SET development = 1')
  await expect(startServer(development(state))).rejects.toMatchObject({
    code: 'store_damaged',
    message: expect.stringContaining('what it is was altered'),
  })
})

describe('B2: a store and a log of before there were MACs', () => {
  const golden = new URL('../store/golden-7', import.meta.url).pathname

  function copyGolden(state: string): void {
    cpSync(golden, state, { recursive: true })
    chmodSync(state, 0o700)
    chmodSync(join(state, 'local.key'), 0o600)
  }

  test('open, have them from then on, and cannot be without them again', async () => {
    using scratch = temporaryDirectory()
    const state = join(scratch.path, 'state')
    copyGolden(state)
    for (const life of [1, 2]) {
      await using service = await startService({}, { state })
      const client = service.client()
      expect(text((await client.get('prod/a')).Value), `life ${life}`).toBe('a two')
      expect(text((await client.get('prod/b')).Value)).toBe('b one')
      await client.put('prod/a', bytes(`life ${life}`))
    }
    const formats = recordsIn(join(state, 'audit')).filter(({ kind }) => kind === 'format')
    expect(formats).toMatchObject([{ macsFrom: 15 }])
    // The file of before the upgrade, as it was and with every change since.
    const upgraded = join(scratch.path, 'upgraded.db')
    copyFileSync(join(state, 'sotto.db'), upgraded)
    copyFileSync(join(golden, 'sotto.db'), join(state, 'sotto.db'))
    await expect(startServer(development(state))).rejects.toMatchObject({ code: 'store_behind' })
    copyFileSync(upgraded, join(state, 'sotto.db'))
    alter(state, `DELETE FROM change_mac; UPDATE meta SET mac = NULL, macs_from = NULL`)
    await expect(startServer(development(state))).rejects.toMatchObject({
      code: 'store_damaged',
      message: expect.stringContaining('its audit log has them from record 15 on'),
    })
  })

  test('a log without the MACs that the store tells of is refused', async () => {
    using scratch = temporaryDirectory()
    const state = join(scratch.path, 'state')
    copyGolden(state)
    await (await startServer(development(state))).stop()
    const segment = join(state, 'audit', '00000000000000000015.jsonl')
    const lines = recordsIn(join(golden, 'audit'))
    const { last } = await verifyLog(join(golden, 'audit'))
    const { id = 0, hash = '' } = last ?? {}
    rmSync(segment)
    const header = { id: 15, time: '2026-01-01T00:00:00.000Z', kind: 'segment', format: 1 }
    const rest = { log: lines[0]?.['log'], after: id, before: 10, torn: 0, open: [], lost: 0 }
    writeFileSync(segment, `${JSON.stringify({ ...header, ...rest, revision: 7, prev: hash })}\n`)
    alter(state, `UPDATE meta SET audit_id = ${id}, audit_hash = '${hash}'`)
    await expect(startServer(development(state))).rejects.toMatchObject({ code: 'audit_damaged' })
  })
})

describe('A5, B2: what was captured while the root key was replaced cannot be put back', () => {
  const scratch = temporaryDirectory()
  const [state, captured] = [join(scratch.path, 'state'), join(scratch.path, 'captured.db')]

  beforeAll(async () => {
    {
      await using service = await startService({}, { state })
      await service.client().put('a', bytes('one'))
    }
    const clock = (): Date => {
      const db = new Database(join(state, 'sotto.db'), { readonly: true })
      const isUnderWay = db.prepare('SELECT 1 FROM root_key WHERE previous IS NOT NULL').get()
      if (isUnderWay) db.prepare('VACUUM INTO ?').run(join(scratch.path, `${performance.now()}.db`))
      db.close()
      return new Date()
    }
    await withKeys({ stateDir: state, keyFile: undefined }, { operator: 'op', clock }, (keys) =>
      keys.rotate([]),
    )
    const [first = ''] = readdirSync(scratch.path).filter((name) => name.endsWith('.db'))
    copyFileSync(join(scratch.path, first), captured)
  })
  afterAll(() => scratch[Symbol.dispose]())

  test.each([
    'UPDATE root_key SET previous = (SELECT previous FROM other.root_key)',
    `INSERT INTO keyring_entry SELECT * FROM other.keyring_entry WHERE state = 'retiring'`,
  ])('A5, B2: %s', async (sql) => {
    const good = readFileSync(join(state, 'sotto.db'))
    alter(state, sql, captured)
    expect(readFileSync(join(state, 'sotto.db')).equals(good)).toBe(false)
    await expect(startServer(development(state))).rejects.toMatchObject({
      code: 'store_damaged',
      message: expect.stringContaining('its keyring is not what its newest change made of it'),
    })
    writeFileSync(join(state, 'sotto.db'), good)
    await using service = await startService({}, { state })
    expect(text((await service.client().get('a')).Value)).toBe('one')
  })
})

test('B2: a change that a start has verified cannot be altered after it', async () => {
  using scratch = temporaryDirectory()
  const state = join(scratch.path, 'state')
  for (const value of ['one', 'two']) {
    await using service = await startService({}, { state })
    await service.client().put('a', bytes(value))
  }
  await (await startServer(development(state))).stop()
  const good = readFileSync(join(state, 'sotto.db'))
  for (const sql of [
    `UPDATE change SET by = '{}' WHERE revision = 1`,
    `UPDATE change_mac SET state = x'00' WHERE revision = 1`,
    'UPDATE meta SET checked = 1',
    `UPDATE meta SET checked_digest = NULL`,
    `INSERT INTO change SELECT -1, 900, audit_hash, verb, secret, incarnation, version, by, at
      FROM change WHERE revision = 1`,
  ]) {
    alter(state, sql)
    await expect(startServer(development(state)), sql).rejects.toMatchObject({
      code: 'store_damaged',
    })
    writeFileSync(join(state, 'sotto.db'), good)
  }
  await (await startServer(development(state))).stop()
})
