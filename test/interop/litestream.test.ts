/** A continuous copy by Litestream: what docs/guides/litestream.md says it is good for, and what not. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { asSottoError } from '../../client/api/errors.ts'
import { Client } from '../../client/client.ts'
import { describeWith } from '../support/peers.ts'
import {
  type Finished,
  runSotto,
  type Running,
  startSotto,
  temporaryDirectory,
} from '../support/sotto.ts'
import { type Copying, startLitestream } from './litestream.ts'

const CANARY = 'canary-93ab'

/** Every secret with its values and which is active. */
type Contents = Readonly<Record<string, Readonly<Record<string, string>>>>

describeWith(['litestream'], 'a copy by Litestream', () => {
  let scratch: ReturnType<typeof temporaryDirectory>
  let state: string
  let replica: string
  let sotto: Running
  let copying: Copying

  beforeEach(async () => {
    scratch = temporaryDirectory()
    state = join(scratch.path, 'state')
    replica = join(scratch.path, 'replica')
    sotto = await startSotto({ args: ['--state-dir', state] })
    copying = startLitestream(state, replica)
  })

  afterEach(async () => {
    await Promise.all([copying.kill(), sotto.kill()])
    scratch[Symbol.dispose]()
  })

  /** Puts from several connections at once until the server is gone; tells what was acknowledged. */
  function load(): { acknowledged: string[]; ended: Promise<unknown> } {
    const acknowledged: string[] = []
    const writer = async (_: unknown, of: number): Promise<void> => {
      const client = new Client({ server: sotto.url })
      let isThere = true
      for (let at = 0; isThere; at++) {
        const name = `load/${of}/${at % 30}`
        try {
          acknowledged.push(
            `${name} ${await client.put(name, Buffer.from(`${CANARY} ${of} ${at}`))}`,
          )
        } catch (error) {
          // A store that Litestream has locked may refuse one.
          isThere = asSottoError(error).code !== 'unreachable'
        }
      }
      client.close()
    }
    return { acknowledged, ended: Promise.all(Array.from({ length: 4 }, writer)) }
  }

  /** A new state directory with what the copy has, the key, and the audit log where it is wanted. */
  function broughtBack({ log }: { log: boolean }): string {
    const path = join(scratch.path, 'new')
    mkdirSync(path, { mode: 0o700 })
    copying.restore(join(path, 'sotto.db'))
    cpSync(join(state, 'local.key'), join(path, 'local.key'))
    if (log) cpSync(join(state, 'audit'), join(path, 'audit'), { recursive: true })
    return path
  }

  async function contents(url: string): Promise<Contents> {
    const client = new Client({ server: url })
    const entries = (await client.list()).map(async ({ Name, Versions, ActiveVersion }) => {
      const values = Versions.map(async (version) => [
        version,
        Buffer.from((await client.getVersion(Name, version)).Value).toString(),
      ])
      return [
        Name,
        { active: String(ActiveVersion), ...Object.fromEntries(await Promise.all(values)) },
      ]
    })
    const found = Object.fromEntries(await Promise.all(entries)) as Contents
    client.close()
    return found
  }

  test('of a store at rest has everything, and the server goes on from it', async () => {
    const client = new Client({ server: sotto.url })
    for (let at = 0; at < 100; at++)
      await client.put(`a/${at % 20}`, Buffer.from(`${CANARY} ${at}`))
    await client.activate('a/0', 3)
    await client.deleteVersion('a/1', 2)
    await client.delete('a/2')
    client.close()
    // Litestream goes on over a restart of the server, and keeps it from nothing.
    await sotto.stop()
    sotto = await startSotto({ args: ['--state-dir', state] })
    const more = new Client({ server: sotto.url })
    await more.put('a/0', Buffer.from('the last'))
    more.close()
    const before = await contents(sotto.url)
    await follows()
    await Promise.all([copying.kill(), sotto.kill()])

    const path = broughtBack({ log: true })
    expect(tables(join(path, 'sotto.db'))).toEqual(
      expect.arrayContaining(['_litestream_lock', '_litestream_seq', 'secret']),
    )
    expect(statSync(join(path, 'sotto.db')).mode & 0o077).toBe(0)
    sotto = await startSotto({ args: ['--state-dir', path] })
    expect(await contents(sotto.url)).toEqual(before)
    const again = new Client({ server: sotto.url })
    expect(await again.put('a/2', Buffer.from('made again'))).toBe(6)
    again.close()
    expect(await sotto.stop()).toBe(0)
    expect(await runSotto(['audit', 'verify', join(path, 'audit')])).toMatchObject({ code: 0 })
  })

  test('under load lacks the last moments alone, and is not served beside a log that tells of more', async () => {
    const { acknowledged, ended } = load()
    const reached = async (count: number): Promise<void> => {
      await expect
        .poll(() => acknowledged.length, { timeout: 100_000 })
        .toBeGreaterThanOrEqual(count)
    }
    await reached(500)
    const sure = acknowledged.slice()
    await follows()
    await reached(acknowledged.length + 300)
    await Promise.all([copying.kill(), sotto.kill()])
    await ended
    const path = broughtBack({ log: true })
    const has = versionsIn(join(path, 'sotto.db'))
    expect(sure.filter((version) => !has.has(version))).toEqual([])

    const copied = readFileSync(join(path, 'sotto.db'))
    expect(revisionIn(path)).toBeLessThan(revisionIn(state))
    expect(await refusal(path)).toMatch(
      /The audit log has revision \d+, and the store is at \d+: it was rolled back/,
    )
    expect(readFileSync(join(path, 'sotto.db')).equals(copied)).toBe(true)

    // `sotto restore` makes it a store that goes on: what is lost is told, and its numbers stay given.
    const to = join(scratch.path, 'restored')
    const restored = await restore(path, to, ['--audit', join(state, 'audit')])
    expect(restored.stderr).toMatch(
      /Changes in the audit log that did not come back: [1-9]\d*, of these secrets/,
    )
    expect(restored.stderr).toContain('Version numbers continue after those in the audit log.')
    const given = highest(join(state, 'sotto.db'))
    const latest = highest(join(path, 'sotto.db'))
    sotto = await startSotto({ args: ['--state-dir', to] })
    const client = new Client({ server: sotto.url })
    for (const [name, version] of given) {
      const next = await client.put(name, Buffer.from(`after ${version}`))
      expect(next, `${name}: the copy has ${latest.get(name)}`).toBeGreaterThan(version)
    }
    client.close()
    expect(await sotto.stop()).toBe(0)
    expect(await runSotto(['audit', 'verify', join(to, 'audit')])).toMatchObject({ code: 0 })
  })

  test('without the audit log is not served', async () => {
    const client = new Client({ server: sotto.url })
    await client.put('a', Buffer.from(CANARY))
    client.close()
    await follows()
    await Promise.all([copying.kill(), sotto.kill()])
    const path = broughtBack({ log: false })
    expect(await refusal(path)).toMatch(/The store has audit record \d+, and the log ends at 0/)

    // Restored, it skips numbers that may have been given.
    const to = join(scratch.path, 'restored')
    expect((await restore(path, to)).stderr).toContain('New versions skip 1000 numbers')
    sotto = await startSotto({ args: ['--state-dir', to] })
    const again = new Client({ server: sotto.url })
    expect(Buffer.from((await again.get('a')).Value).toString()).toBe(CANARY)
    expect(await again.put('a', Buffer.from('next'))).toBe(1002)
    expect(await again.put('new', Buffer.from('first'))).toBe(1001)
    again.close()
  })

  test('holds no value in the clear', async () => {
    const client = new Client({ server: sotto.url })
    await client.put('a', Buffer.from(CANARY))
    client.close()
    await follows()
    copying.restore(join(scratch.path, 'copy.db'))
    const files = readdirSync(replica, { recursive: true, encoding: 'utf8' })
      .map((name) => join(replica, name))
      .filter((path) => statSync(path).isFile())
      .concat(join(scratch.path, 'copy.db'))
    expect(files.length).toBeGreaterThan(1)
    for (const file of files) expect(readFileSync(file).includes(CANARY)).toBe(false)
  })

  /** Resolves when the copy has what the store has now. */
  async function follows(): Promise<void> {
    const revision = revisionIn(state)
    const probe = join(scratch.path, 'probe')
    for (let attempt = 0; ; attempt++) {
      mkdirSync(probe, { recursive: true })
      const path = join(probe, `${attempt}`)
      mkdirSync(path)
      try {
        copying.restore(join(path, 'sotto.db'))
        if (revisionIn(path) >= revision) return
      } catch (error) {
        if (attempt > 200) throw error
      }
    }
  }

  /** Restores the copy in the directory `from`. */
  async function restore(
    from: string,
    to: string,
    more: readonly string[] = [],
  ): Promise<Finished> {
    const key = join(from, 'local.key')
    const args = ['restore', join(from, 'sotto.db'), '--to', to, '--key-file', key, ...more]
    const finished = await runSotto(args)
    expect(finished).toMatchObject({ code: 0, stderr: expect.any(String) })
    cpSync(key, join(to, 'local.key'))
    return finished
  }

  /** What the server says that does not start with this directory. */
  async function refusal(path: string): Promise<string> {
    const args = ['server', '--dev', '--listen', '127.0.0.1:0', '--state-dir', path]
    const { code, stderr } = await runSotto(args)
    expect(code).toBe(1)
    return stderr
  }
})

function query<Row>(path: string, sql: string): Row[] {
  if (!existsSync(path)) throw new Error(`There is no ${path}`)
  const db = new Database(path, { readonly: true })
  try {
    return db.prepare<[], Row>(sql).all()
  } finally {
    db.close()
  }
}

function revisionIn(directory: string): number {
  const [row] = query<{ revision: number }>(
    join(directory, 'sotto.db'),
    'SELECT revision FROM meta',
  )
  return row?.revision ?? 0
}

function tables(path: string): string[] {
  return query<{ name: string }>(path, "SELECT name FROM sqlite_schema WHERE type = 'table'").map(
    ({ name }) => name,
  )
}

function versionsIn(path: string): Set<string> {
  const rows = query<{ name: string; number: number }>(
    path,
    'SELECT s.name, v.number FROM version v JOIN secret s ON s.id = v.secret',
  )
  return new Set(rows.map(({ name, number }) => `${name} ${number}`))
}

/** The highest number that each name had. */
function highest(path: string): Map<string, number> {
  const rows = query<{ name: string; highest: number }>(path, 'SELECT name, highest FROM secret')
  return new Map(rows.map(({ name, highest: number }) => [name, number]))
}
