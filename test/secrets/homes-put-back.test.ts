/** Where values are kept, put back as it was by somebody who writes to the disk and has an older copy of the store. */
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { type Elsewhere, spec, startElsewhere } from '../operations/elsewhere.ts'
import { temporaryDirectory } from '../support/sotto.ts'

type Row = Readonly<Record<string, unknown>>

const base64 = (text: string): string => Buffer.from(text).toString('base64')

/** The rows of `table` in the store in `state`. */
function rowsOf(state: string, table: string): Row[] {
  const db = new Database(join(state, 'sotto.db'), { readonly: true })
  const rows = db.prepare<[], Row>(`SELECT * FROM ${table}`).all()
  db.close()
  return rows
}

/** Makes the rows of `table` with those ids what they were; in the order given. */
function putBack(state: string, table: string, rows: readonly Row[]): void {
  const db = new Database(join(state, 'sotto.db'))
  for (const row of rows) {
    const set = Object.keys(row).map((column) => `"${column}" = :${column}`)
    const { changes } = db.prepare(`UPDATE ${table} SET ${set.join()} WHERE rowid = :key`).run({
      ...row,
      key: row['id'] ?? rowidOf(db, row),
    })
    expect(changes).toBe(1)
  }
  db.close()
}

function rowidOf(db: Database.Database, { secret, number }: Row): unknown {
  return db
    .prepare('SELECT rowid FROM version WHERE secret = ? AND number = ?')
    .pluck()
    .get(secret, number)
}

/** Runs `act` on a server of the store in `state`. */
async function served<T>(state: string, act: (elsewhere: Elsewhere) => Promise<T>): Promise<T> {
  await using elsewhere = await startElsewhere({ state })
  return await act(elsewhere)
}

const done = { status: 200 }

test('D1: a backend that is the default no longer cannot be made it again', async () => {
  using scratch = temporaryDirectory()
  const state = join(scratch.path, 'state')
  const home = { Name: 'default', Type: 'sotto', Default: true }
  const create = (name: string, isDefault: boolean) => (elsewhere: Elsewhere) =>
    elsewhere.send(1, 'backend-create', spec(name, { Default: isDefault }))
  expect(await served(state, create('one', true))).toMatchObject(done)
  const first = rowsOf(state, 'backend')
  const steps: ((elsewhere: Elsewhere) => Promise<unknown>)[] = [
    ({ send }) => send(1, 'backend-apply', home),
    create('two', true),
    ({ send }) => send(1, 'backend-apply', spec('two')),
    create('three', false),
    ({ send }) => send(1, 'backend-delete', { Name: 'three' }),
  ]
  for (const step of steps) {
    expect(await served(state, step)).toMatchObject(done)
    const now = rowsOf(state, 'backend')
    const others = now.filter((row) => row['id'] !== 1)
    const demoted = others.map((row) => ({ ...row, is_default: null }))
    putBack(state, 'backend', [...demoted, ...first])
    await expect(served(state, create('four', false))).rejects.toMatchObject({
      code: 'store_damaged',
    })
    putBack(state, 'backend', now)
  }
  expect(await served(state, create('four', false))).toMatchObject(done)
})

test('D2: a secret that was moved away from a backend cannot be put back there', async () => {
  using scratch = temporaryDirectory()
  const state = join(scratch.path, 'state')
  const Name = 'app/key'
  const before = await served(state, async ({ send }) => {
    await send(1, 'put', { Name, Value: base64('one') })
    await send(1, 'backend-create', spec('old'))
    const there = { Name, From: 'default', To: 'old' }
    expect(await send(1, 'migrate-secret', there)).toMatchObject(done)
    const rows = rowsOf(state, 'version').filter(({ backend }) => backend !== null)
    expect(rows).toHaveLength(1)
    const back = { Name, From: 'old', To: 'default' }
    expect(await send(1, 'migrate-secret', back)).toMatchObject(done)
    return rows
  })
  const now = rowsOf(state, 'version')
  putBack(state, 'version', before)
  await served(state, async ({ send, of, opened }) => {
    for (const [method, more] of [
      ['get', {}],
      ['put', { Value: base64('two') }],
      ['create-version', { Version: 7, Value: base64('two') }],
      ['migrate-secret', { From: 'old', To: 'default' }],
    ] as const) {
      const answer = await send(1, method, { Name, ...more })
      expect(answer, method).toMatchObject({ status: 500, error: 'store_damaged' })
    }
    expect(of('root').filter(({ kind }) => kind === 'change')).toHaveLength(4)
    // Nothing was asked of what would get the next value.
    expect(opened).toEqual([])
  })
  putBack(state, 'version', now)
  const put = { Name, Value: base64('two') }
  expect(await served(state, ({ send }) => send(1, 'put', put))).toMatchObject(done)
})
