/** A store out of a copy of its file alone; test/interop/litestream.test.ts has copies by Litestream. */
import { cpSync, existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { run } from '../../cli/run.ts'
import type { Io } from '../../cli/terminal/io.ts'
import { isCopy, restoreCopy } from '../../server/backup/restore/restore-copy.ts'
import type { RestoredStore } from '../../server/backup/restore/restore.ts'
import { localKeyProvider } from '../../server/crypto/local-key.ts'
import { bytes, startService } from '../support/service.ts'
import { fill, type MadeState, madeState } from './made.ts'

let made: MadeState
let copy: string
let runs = 0

/** The copy lacks what was done after it: prod/a gets number 4, and there is a new name. */
beforeAll(async () => {
  made = madeState()
  copy = join(made.path, 'copy.db')
  await fill(made.state)
  cpSync(join(made.state, 'sotto.db'), copy)
  await using service = await startService({}, { state: made.state })
  await service.client().put('prod/a', bytes('four'))
  await service.client().put('later', bytes('one'))
})

afterAll(() => made[Symbol.dispose]())

const parts = (more: object = {}) => ({
  copy,
  to: join(made.path, `to-${++runs}`),
  providers: [localKeyProvider(made.keyFile)],
  operator: 'op on host',
  ...more,
})

async function restored(more?: object): Promise<RestoredStore> {
  const result = await restoreCopy(parts(more))
  cpSync(made.keyFile, join(result.to, 'local.key'))
  return result
}

test('with the log that survived, numbers go on after the highest that was given', async () => {
  const result = await restored({ audit: join(made.state, 'audit') })
  expect(result).toMatchObject({ backup: 'copy.db', skipped: 0 })
  expect(result.lost.map(({ entry }) => entry?.kind === 'change' && entry.secret)).toEqual([
    'prod/a',
    'later',
  ])
  await using service = await startService({}, { state: result.to })
  const client = service.client()
  expect(await client.info('prod/a')).toMatchObject({ Versions: [2, 3], ActiveVersion: 2 })
  expect(await client.put('prod/a', bytes('five'))).toBe(5)
  expect(await client.put('later', bytes('two'))).toBe(2)
  expect(await client.put('other', bytes('one'))).toBe(1)
})

test('without it they pass over a thousand', async () => {
  const result = await restored()
  expect(result).toMatchObject({ skipped: 1000, lost: [] })
  await using service = await startService({}, { state: result.to })
  const client = service.client()
  expect(await client.put('prod/a', bytes('next'))).toBe(1004)
  expect(await client.put('later', bytes('one'))).toBe(1001)
  expect(service.records()[0]?.['id']).toBeGreaterThan(1_000_000_000)
})

test('what cannot be restored is named, and nothing is made', async () => {
  const refused = async (more: object): Promise<unknown> => {
    const asked = parts(more)
    const reason = await restoreCopy(asked).then(
      () => 'restored',
      (error: { code: string }) => error.code,
    )
    expect(readdirSync(asked.to).filter((name) => name.startsWith('sotto.db'))).toEqual([])
    return reason
  }
  const other = madeState()
  await fill(other.state)
  expect(await refused({ providers: [localKeyProvider(other.keyFile)] })).toBe('key_wrong')
  expect(await refused({ audit: join(other.state, 'audit') })).toBe('store_foreign')
  other[Symbol.dispose]()

  const live = join(made.path, 'live.db')
  cpSync(copy, live)
  writeFileSync(`${live}-wal`, 'x')
  expect(await refused({ copy: live })).toBe('local')

  const foreign = join(made.path, 'foreign.db')
  new Database(foreign).exec('CREATE TABLE t (a)').close()
  expect(await refused({ copy: foreign })).toBe('store_foreign')

  const moved = join(made.path, 'moved.db')
  cpSync(copy, moved)
  new Database(moved).exec("UPDATE secret SET active = 3 WHERE name = 'prod/a'").close()
  expect(await refused({ copy: moved })).toBe('store_damaged')
})

test('what is broken off leaves no store, at the terminal too', async () => {
  const stop = new AbortController()
  const asked = parts({ signal: stop.signal, progress: () => stop.abort(new Error('enough')) })
  await expect(restoreCopy(asked)).rejects.toThrow('enough')
  expect(readdirSync(asked.to).filter((name) => !name.startsWith('lock'))).toEqual([])

  const to = join(made.path, 'interrupted')
  const output = { isTTY: false, write: async () => {} }
  const io: Io = {
    stdin: { isTTY: false, chunks: async function* none() {} },
    stdout: output,
    stderr: output,
    now: Date.now,
    onInterrupt(act) {
      act('SIGINT')
      return { [Symbol.dispose]() {} }
    },
  }
  const argv = ['restore', copy, '--to', to, '--key-file', made.keyFile]
  expect(await run(argv, io, {})).toBe(130)
  expect(existsSync(to)).toBe(false)
})

test('a copy is told apart from a backup', async () => {
  const backup = await made.backUp()
  expect(await Promise.all([copy, made.pathOf(backup), `${copy}-none`].map(isCopy))).toEqual([
    true,
    false,
    false,
  ])
})
