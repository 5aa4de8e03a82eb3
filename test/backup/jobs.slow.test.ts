/** What a server with backups does in a target that others can write to, under a clock that is wrong, without its volume. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { backupName, parseName } from '../../server/backup/name.ts'
import { peekBackup } from '../../server/backup/open.ts'
import { fileSource } from '../../server/backup/source.ts'
import { directoryTarget } from '../../server/backup/targets/directory.ts'
import type { BackupTarget } from '../../server/backup/targets/target.ts'
import type { Gate } from '../../server/gate/gate.ts'
import { backupMetrics } from '../../server/jobs/metrics.ts'
import { Registry } from '../../server/metrics/registry.ts'
import { Backups, type BackupsParts } from '../../server/operations/backups.ts'
import { ManualTimers } from '../audit/fixtures.ts'
import { Page } from '../support/scrape.ts'
import { bytes, startService } from '../support/service.ts'
import { type BackupServer, backupServer, type JobOptions, START } from './job.ts'
import { type MadeState, madeState } from './made.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const MIB = 1024 * 1024
const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const YEAR = 365 * DAY
const last1 = { last: 1, daily: 0, weekly: 0, monthly: 0 }

let template: MadeState
let made: MadeState
let servers: BackupServer[]

beforeAll(async () => {
  template = madeState()
  await using service = await startService({}, { state: template.state })
  for (const name of ['a', 'b', 'c']) await service.client().put(name, bytes(name))
})

afterAll(() => template[Symbol.dispose]())

beforeEach(() => {
  made = madeState(template.state)
  servers = []
})

afterEach(async () => {
  for (const server of servers) await server[Symbol.asyncDispose]()
  made[Symbol.dispose]()
})

async function serve(options: JobOptions = {}): Promise<BackupServer> {
  const server = await backupServer(made, options)
  servers.push(server)
  return server
}

/** Another server, after the end of the one before. */
async function again(before: BackupServer, options: JobOptions = {}): Promise<BackupServer> {
  await before[Symbol.asyncDispose]()
  servers = servers.filter((each) => each !== before)
  return serve({ timers: before.timers, ...options })
}

const names = (directory = made.backups): string[] =>
  readdirSync(directory).filter((name) => name.endsWith('.backup'))
const revisions = (): number[] =>
  names()
    .map((name) => parseName(name)?.revision ?? -1)
    .toSorted((a, b) => a - b)
const marks = (): string[] =>
  readdirSync(made.backups).filter((name) => name.startsWith('sotto-target-'))
const kinds = ({ job }: BackupServer): string[] => job.findings.all().map(({ kind }) => kind)

async function backUp(server: BackupServer): Promise<string> {
  await server.change()
  server.timers.advance(MINUTE)
  return server.run()
}

function forge(server: BackupServer, at: number, revision: number): string {
  const storeId = server.store.identity.id
  const name = backupName({ created: new Date(at).toISOString(), storeId, revision })
  writeFileSync(join(made.backups, name), 'x')
  return name
}

test('U4: a link that leads nowhere in the target keeps no backup from being made, and is told', async () => {
  const server = await serve()
  symlinkSync('gone', join(made.backups, 'latest'))
  await backUp(server)
  expect(names()).toHaveLength(1)
  expect(server.job.findings.all()).toEqual([
    { kind: 'skipped', words: '"latest" is a link that cannot be followed' },
  ])
  expect(server.job.findings.worst()).toBeUndefined()
})

describe('retention in a target that others can write to', () => {
  test('A3: thirty forged names from the future displace nothing, are kept, and are told', async () => {
    const server = await serve({ keep: { last: 2, daily: 1, weekly: 1, monthly: 1 } })
    await backUp(server)
    await backUp(server)
    const forged = Array.from({ length: 30 }, (_, at) =>
      forge(server, START + YEAR + at, 1000 + at),
    )
    const before = revisions().slice(0, 2)
    expect(await backUp(server)).not.toContain('deleted')
    for (let at = 0; at < 3; at++) await backUp(server)
    expect(names()).toEqual(expect.arrayContaining(forged))
    const real = names().filter((name) => !forged.includes(name))
    // The first of the day, which the others follow, and the two newest.
    expect(real.map((name) => parseName(name)?.revision)).toEqual([
      before[0],
      before[0]! + 4,
      before[0]! + 5,
    ])
    expect(kinds(server).filter((kind) => kind === 'stranger')).toHaveLength(21)
    expect(server.job.findings.worst()).toBe('stranger')
  })

  test('A3: a run deletes at most three that are newer than what was proven', async () => {
    const server = await serve({ keep: { last: 10, daily: 0, weekly: 0, monthly: 0 } })
    for (let at = 0; at < 8; at++) await backUp(server)
    const stricter = await again(server, { keep: last1 })
    expect(await backUp(stricter)).toContain('; 3 deleted')
    expect(await stricter.rehearse()).toContain('values opened')
    expect(await backUp(stricter)).toContain('; 4 deleted')
    expect(names()).toContain(stricter.memory.proven?.name)
  })

  test('A3, U1: one backup dated a year ahead neither goes nor takes a place; what comes after stays', async () => {
    const server = await serve({ keep: last1 })
    server.clock.off = YEAR
    await backUp(server)
    server.clock.off = 0
    const message = await backUp(server)
    expect(message).not.toContain('deleted')
    expect(
      names()
        .toSorted()
        .map((name) => name.slice(6, 10)),
    ).toEqual(['2026', '2027'])
    expect(kinds(server)).toEqual(['dated'])
    expect(server.job.findings.worst()).toBeUndefined()
  })

  test('A3: a hundred names above every revision do not hide the newest backup', async () => {
    const server = await serve({ keep: last1 })
    await backUp(server)
    for (let at = 0; at < 100; at++) forge(server, START + at, 5000 + at)
    server.timers.advance(HOUR)
    expect(await server.run()).toMatch(/^nothing changed since/)
  })

  test('A3: an unreadable file and a dangling link stop no backup', async () => {
    const server = await serve({ keep: last1 })
    const name = forge(server, START, 999)
    rmSync(join(made.backups, name))
    mkdirSync(join(made.backups, name))
    symlinkSync('gone', join(made.backups, name.replace('r999', 'r998')))
    // Through a file, around in a circle, and to what is too long to be a path.
    const leads = ['/etc/passwd/below', name.replace('r999', 'r996'), `/${'a'.repeat(300)}`]
    for (const [at, lead] of leads.entries()) {
      symlinkSync(lead, join(made.backups, name.replace('r999', `r${997 - at}`)))
    }
    expect(await backUp(server)).toContain('.backup: ')
    expect(names()).toHaveLength(6)
  })
})

test('A3: what is being rehearsed stays until that is over, however many are made meanwhile', async () => {
  const inner = directoryTarget(made.backups)
  const begun = Promise.withResolvers<void>()
  const goes = Promise.withResolvers<void>()
  let holds = false
  const get = async (name: string): Promise<AsyncIterable<Uint8Array>> => {
    const found = await inner.get(name)
    if (!holds) return found
    holds = false
    begun.resolve()
    await goes.promise
    return found
  }
  const server = await serve({ keep: last1, target: { ...inner, get } })
  await backUp(server)
  // The first of a day stays anyway.
  await backUp(server)
  const read = server.memory.newest?.name
  // Which one is the newest, is known.
  await server.job.newest(await inner.list())
  holds = true
  const rehearsal = server.rehearse()
  await begun.promise
  for (let at = 0; at < 3; at++) await backUp(server)
  expect(names()).toContain(read)
  goes.resolve()
  expect(await rehearsal).toContain(read)
  await server.rehearse()
  await backUp(server)
  expect(names()).not.toContain(read)
})

describe('a backup is due', () => {
  test.each([YEAR, -YEAR, DAY, -DAY, -START])(
    'U1: within its day, whatever the clock did: off by %i ms',
    async (off) => {
      const server = await serve()
      await server.run()
      server.clock.off = off
      server.timers.advance(DAY + 1)
      expect(await server.run()).toContain('.backup: ')
      server.clock.off = 0
      server.timers.advance(HOUR)
      expect(await server.run()).toMatch(/^nothing changed since/)
      server.timers.advance(DAY)
      expect(await server.run()).toContain('.backup: ')
    },
  )

  test('U1: a backup dated a year ahead by an earlier run of the server is no fresh one', async () => {
    const server = await serve()
    server.clock.off = YEAR
    await server.run()
    const second = await again(server)
    second.timers.advance(2 * DAY)
    expect(await second.run()).toContain('.backup: ')
    expect(names()).toHaveLength(2)
  })

  test('U1: and one that an earlier run made an hour ago is', async () => {
    const server = await serve()
    await server.run()
    const second = await again(server)
    second.timers.advance(HOUR)
    expect(await second.run()).toMatch(/^nothing changed since/)
  })
})

test('U1, A3: whatever the clock does, backups are made when they are due, stay, and are proven', async () => {
  const off = fc.constantFrom(0, 0, YEAR, -YEAR, DAY, -DAY, -START, 1000)
  const step = fc.record({
    off,
    hours: fc.integer({ min: 1, max: 30 }),
    changes: fc.boolean(),
    proves: fc.boolean(),
    restarts: fc.boolean(),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 5 }), async (steps) => {
      using own = madeState(template.state)
      let server = await backupServer(own, { keep: last1 })
      await server.run()
      // When the next one is due where nothing changes: at the earliest, and at the latest.
      let due = [server.timers.now() + 23 * HOUR, server.timers.now() + 23 * HOUR] as const
      for (const { off: clock, hours, changes, proves, restarts } of steps) {
        server.clock.off = clock
        // No two names are the same.
        server.timers.advance(hours * HOUR + 1)
        if (changes) await server.change()
        const { timers, memory } = server
        const before = memory.newest?.name
        const wasMade = !(await server.run()).startsWith('nothing changed')
        const now = timers.now()
        const late = changes || now >= due[1]
        const early = !late && now < due[0]
        expect({ late: late && !wasMade, early: early && wasMade }).toEqual({
          late: false,
          early: false,
        })
        if (wasMade) due = [now + 23 * HOUR, now + 23 * HOUR]
        expect(memory.newest?.name !== before).toBe(wasMade)
        if (proves) await server.rehearse()
        const rehearsed = proves ? memory.proven?.name : memory.newest?.name
        expect(rehearsed).toBe(memory.newest?.name)
        const { newest, proven } = server.memory
        expect(names(own.backups)).toEqual(expect.arrayContaining([newest?.name]))
        expect(names(own.backups)).toEqual(
          expect.arrayContaining(proven === undefined ? [] : [proven.name]),
        )
        expect(kinds(server).filter((kind) => kind !== 'dated')).toEqual([])
        if (!restarts) continue
        await server[Symbol.asyncDispose]()
        server = await backupServer(own, { keep: last1, timers })
        server.clock.off = clock
        timers.advance(1)
        const isNew = !(await server.run()).startsWith('nothing changed')
        // A server that starts has the clock alone for how old the newest is: that may be wrong, but not for long.
        due = [timers.now() + (isNew ? 23 * HOUR : 0), timers.now() + 23 * HOUR]
      }
      await server[Symbol.asyncDispose]()
    }),
    { numRuns: 3, endOnFailure: true },
  )
}, 300_000)

describe('what a backup is', () => {
  test('B1: old bytes under the newest name are not proven, and no other is in their place', async () => {
    const server = await serve()
    await server.run()
    const [oldest = ''] = names()
    await backUp(server)
    const newest = names().find((name) => name !== oldest) ?? ''
    cpSync(join(made.backups, oldest), join(made.backups, newest))
    await expect(server.rehearse()).rejects.toMatchObject({
      code: 'backup_damaged',
      message: expect.stringMatching(
        /its name says 2026-11-28T00:01.*, and it was made at 2026-11-28T00:00/,
      ),
    })
    expect(server.memory.proven).toBeUndefined()
    await expect(peekBackup(await fileSource(join(made.backups, newest)))).rejects.toMatchObject({
      code: 'backup_damaged',
    })
  })

  test('B1: the rehearsal wants what the server wrote, and not what is newest by name', async () => {
    const server = await serve()
    await server.run()
    const [written = ''] = names()
    forge(server, START + YEAR, 5000)
    expect(await server.rehearse()).toContain(written)
    rmSync(join(made.backups, written))
    await expect(server.rehearse()).rejects.toMatchObject({
      code: 'no_backup',
      message: expect.stringContaining(written),
    })
  })

  test('A4: each backup is recorded with its root key', async () => {
    const server = await serve()
    await server.run()
    expect(server.announced).toEqual([[names()[0], server.keyring.rootFingerprint]])
  })
})

describe('a target', () => {
  test('U5: that is empty and has no mark is not the one that was used, until it is accepted', async () => {
    const server = await serve()
    for (let at = 0; at < 3; at++) await backUp(server)
    await server.rehearse()
    renameSync(made.backups, `${made.backups}.away`)
    mkdirSync(made.backups)
    const second = await again(server, { number: 2 })
    await expect(backUp(second)).rejects.toMatchObject({
      code: 'target_unavailable',
      message: expect.stringContaining('it is not the target that was used'),
      hint: expect.stringContaining('sotto backup adopt'),
    })
    expect(readdirSync(made.backups)).toEqual([])
    rmSync(made.backups, { recursive: true })
    renameSync(`${made.backups}.away`, made.backups)
    expect(await backUp(second)).toContain('.backup: ')
    expect(kinds(second)).toEqual([])

    rmSync(made.backups, { recursive: true })
    mkdirSync(made.backups)
    await expect(backUp(second)).rejects.toMatchObject({ code: 'target_unavailable' })
    await second.job.takeTarget()
    expect(await backUp(second)).toContain('.backup: ')
    expect(marks()).toHaveLength(1)
    expect(kinds(second)).toEqual(['lost', 'lost'])
    await second.rehearse()
    await backUp(second)
    expect(kinds(second)).toEqual([])
  })

  test('U5: whose newest or proven backup is gone is told, until another one is proven', async () => {
    const server = await serve()
    await backUp(server)
    await server.rehearse()
    const [proven = ''] = names()
    await backUp(server)
    const [newest = ''] = names().filter((name) => name !== proven)
    for (const name of [proven, newest]) rmSync(join(made.backups, name))
    expect(await server.run()).toContain('.backup: ')
    expect(server.job.findings.worst()).toBe('lost')
    expect(server.said.join()).toContain(`error: the backup ${newest} is not in`)
    const second = await again(server)
    await second.run()
    expect(kinds(second)).toEqual(['lost', 'lost'])
    await second.rehearse()
    await second.run()
    expect(kinds(second)).toEqual([])
  })

  test('U5: of an earlier release, without a mark, is known by its backups', async () => {
    const server = await serve()
    await server.run()
    for (const name of marks()) rmSync(join(made.backups, name))
    const { newest } = server.memory
    const file = join(made.path, 'old.json')
    const { name, created, size } = newest ?? { name: '', created: '', size: 0 }
    writeFileSync(file, JSON.stringify({ newest: { name, created, size } }))
    const second = await again(server, { memory: file })
    expect(await second.run()).toMatch(/^nothing changed/)
    expect(marks()).toHaveLength(1)
    rmSync(made.backups, { recursive: true })
    mkdirSync(made.backups)
    writeFileSync(file, JSON.stringify({ newest: { name, created, size } }))
    const third = await again(second, { memory: file })
    await expect(third.run()).rejects.toMatchObject({ code: 'target_unavailable' })
  })

  test('A6, U5: that a server with a copy of the store used is left to it, on both sides', async () => {
    const server = await serve({ number: 17 })
    await server.run()
    const copied = join(made.path, 'copied.json')
    cpSync(join(made.state, 'backups.json'), copied)
    // The copy was started once more than the original.
    const copy = await serve({ number: 18, memory: copied, timers: server.timers })
    await backUp(copy)
    for (const number of [17, 18, 19]) {
      const original = await serve({ number, timers: server.timers })
      await expect(backUp(number === 17 ? server : original)).rejects.toMatchObject({
        code: 'target_unavailable',
        message: expect.stringContaining('a server that was started on a copy of this store'),
      })
    }
    await server.job.takeTarget()
    await backUp(server)
    await expect(backUp(copy)).rejects.toMatchObject({ code: 'target_unavailable' })
  })

  test('U5: a mark that somebody made up stops nothing, and is told', async () => {
    const server = await serve({ keep: last1 })
    await server.run()
    const { id, branch } = server.store.identity
    for (const of of [branch, 'f'.repeat(16)]) {
      writeFileSync(
        join(made.backups, `sotto-target-${id}-${of}-s99-${'a'.repeat(16)}`),
        JSON.stringify({ seal: 'eA==' }),
      )
    }
    expect(await backUp(server)).toContain('.backup: ')
    expect(kinds(server)).toEqual(['stranger', 'stranger'])
  })

  test('D12: a mark that became endless since it was listed is not read to its end', async () => {
    let read = 0
    const real = directoryTarget(made.backups)
    const target: BackupTarget = {
      ...real,
      async get(name) {
        if (!name.startsWith('sotto-target-')) return real.get(name)
        return (async function* endless() {
          for (; read < 64 * MIB; read += MIB) yield Buffer.alloc(MIB, ' ')
        })()
      },
    }
    const server = await serve({ keep: last1, target })
    const { id } = server.store.identity
    const name = `sotto-target-${id}-${'f'.repeat(16)}-s99-${'a'.repeat(16)}`
    writeFileSync(join(made.backups, name), '{}')
    expect(await backUp(server)).toContain('.backup: ')
    expect(kinds(server)).toEqual(['stranger'])
    expect(read).toBeLessThan(2 * MIB)
  })

  test('U5: an earlier mark of this server that somebody put back stops nothing', async () => {
    const server = await serve()
    await server.run()
    const [first = ''] = marks()
    const bytesOfFirst = readFileSync(join(made.backups, first))
    const second = await again(server, { number: 2 })
    await backUp(second)
    expect(marks()).toHaveLength(1)
    writeFileSync(join(made.backups, first), bytesOfFirst)
    expect(await backUp(second)).toContain('.backup: ')
    expect(kinds(second)).toEqual([])
  })

  test('A6: gets nothing from a store that is not adopted, and loses nothing', async () => {
    let adopted = false
    const server = await serve({ keep: last1, adopted: () => adopted })
    expect(await backUp(server)).toContain('the store is not adopted here')
    await expect(server.run(true)).rejects.toThrow(
      'Cannot make a backup: the store is not adopted here',
    )
    expect(readdirSync(made.backups)).toEqual([])
    expect(server.job.findings.worst()).toBe('held')
    adopted = true
    expect(await backUp(server)).toContain('.backup: ')
    expect(kinds(server)).toEqual([])
  })
})

describe('what was not made here', () => {
  test('U2: stays in the folder for rehearsals, whatever its name', async () => {
    const rehearseIn = join(made.path, 'shared')
    mkdirSync(join(rehearseIn, 'rehearsal'), { recursive: true })
    writeFileSync(join(rehearseIn, 'rehearsal/mine.txt'), 'mine')
    const server = await serve({ rehearseIn })
    await server.run()
    const prefix = `sotto-rehearsal-${server.store.identity.id}-`
    const other = `sotto-rehearsal-${'0'.repeat(32)}-abcdef`
    for (const name of [other, `${prefix}abcdef`, `${prefix}notes`]) {
      mkdirSync(join(rehearseIn, name))
      writeFileSync(join(rehearseIn, name, 'mine.txt'), 'mine')
    }
    const before = readdirSync(rehearseIn)
    await server.rehearse()
    expect(readdirSync(rehearseIn)).toEqual(before)
    for (const name of before) {
      expect(readFileSync(join(rehearseIn, name, 'mine.txt'), 'utf8')).toBe('mine')
    }
  })

  test('U2: two servers rehearse in one folder at once, and leftovers of a crash go', async () => {
    const rehearseIn = join(made.path, 'shared')
    mkdirSync(rehearseIn)
    const memory = join(made.path, 'second.json')
    const first = await serve({ rehearseIn })
    const second = await serve({ rehearseIn, number: 2, memory })
    await first.run()
    const left = join(rehearseIn, `sotto-rehearsal-${first.store.identity.id}-Ab3dE6`)
    mkdirSync(left)
    writeFileSync(join(left, 'made-by-sotto'), '')
    await second.memory.noteNewest(first.memory.newest!)
    const both = await Promise.all([first.rehearse(), second.rehearse()])
    expect(both).toEqual(both.map(() => expect.stringContaining('values opened')))
    expect(existsSync(left)).toBe(false)
    expect(readdirSync(rehearseIn)).toEqual([])
  })

  test('U2: a draft of another store or program stays in the target, one of ours goes after a day', async () => {
    const server = await serve()
    const { id } = server.store.identity
    const draftOf = (store: string): string =>
      `.${backupName({ created: '2026-01-01T00:00:00.000Z', storeId: store, revision: 1 })}.00112233.partial`
    const all = [
      draftOf(id),
      draftOf('f'.repeat(32)),
      '.report.0011aabb.partial',
      draftOf(id).replace('0011', '2211'),
    ]
    for (const name of all) {
      writeFileSync(join(made.backups, name), '')
      if (!name.includes('2211')) utimesSync(join(made.backups, name), 0, 0)
    }
    await server.run()
    const target = directoryTarget(made.backups)
    expect(all.filter((name) => existsSync(join(made.backups, name)))).toEqual(all.slice(1))
    expect(await target.list()).toHaveLength(2)
  })
})

test('U1: a rehearsal that was noted by a clock ahead is due soon', async () => {
  const timers = new ManualTimers()
  const server = await serve({ timers })
  await server.run()
  server.clock.off = YEAR
  await server.rehearse()
  expect(server.memory.proven?.at).toMatch(/^2027/)
  const { rehearsalJob } = await import('../../server/backup/schedule/rehearsal.ts')
  const firstMs = (now: number) =>
    rehearsalJob({
      memory: server.memory,
      everyMs: DAY,
      clock: () => new Date(now),
    } as Parameters<typeof rehearsalJob>[0]).firstMs
  expect(firstMs(START)).toBe(5 * MINUTE)
  expect(firstMs(START + YEAR + HOUR)).toBe(DAY - HOUR)
  expect(firstMs(START + 3 * YEAR)).toBe(5 * MINUTE)
})

test('U1: ages of backups and of their proof are known as long as the server lives, whatever the clock does', async () => {
  const server = await serve()
  const agesOf = async ({ memory, job, timers, clock }: BackupServer) => {
    const registry = new Registry()
    const now = () => START + timers.now() + clock.off
    const parts = { memory, job, clock: () => new Date(now()) }
    new Backups({} as Gate, parts as unknown as BackupsParts).follow(backupMetrics(registry))
    const page = new Page(await registry.page())
    return ['newest', 'proven'].map((which) => {
      const at = page.get(`sotto_backup_${which}_timestamp_seconds`)
      return at === undefined ? undefined : Math.round(now() - at * 1000)
    })
  }
  server.clock.off = YEAR
  await server.run()
  server.timers.advance(HOUR)
  await server.rehearse()
  server.timers.advance(HOUR)
  for (const off of [YEAR, 0, -YEAR, DAY, -DAY, -START]) {
    server.clock.off = off
    expect(await agesOf(server)).toEqual([2 * HOUR, HOUR])
    await server.change()
    await server.run(true)
    expect(kinds(server)).not.toContain('dated')
    expect((await agesOf(server))[0]).toBe(0)
    server.clock.off = YEAR
    await server.change()
    await server.run(true)
    server.timers.advance(HOUR)
    await server.rehearse()
    server.timers.advance(HOUR)
  }
  // Another process has the dates alone, and one that is ahead is none.
  server.clock.off = 0
  const second = await again(server)
  expect(await agesOf(second)).toEqual([undefined, undefined])
  await second.run()
  expect(kinds(second)).toContain('dated')
  await second.rehearse()
  expect(await agesOf(second)).toEqual([0, 0])
})
