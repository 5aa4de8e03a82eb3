/** Backups of a whole server: when they are made, what is deleted, what is proven, and who is told. */
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { restoreBackup } from '../../server/backup/restore/restore.ts'
import { fileSource, providerKeys } from '../../server/backup/source.ts'
import type { BackupsConfig } from '../../server/config/backups.ts'
import { localKeyProvider } from '../../server/crypto/local-key.ts'
import { ManualTimers } from '../audit/fixtures.ts'
import { bytes, type Service, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const START = Date.UTC(2026, 0, 1)

let scratch: ReturnType<typeof temporaryDirectory>
let directory: string
let state: string
let timers: ManualTimers
let started: Service[]

beforeEach(() => {
  scratch = temporaryDirectory()
  directory = join(scratch.path, 'backups')
  state = join(scratch.path, 'state')
  mkdirSync(directory)
  timers = new ManualTimers()
  started = []
})

afterEach(async () => {
  for (const service of started) await service[Symbol.asyncDispose]()
  scratch[Symbol.dispose]()
})

async function serve(given: Partial<BackupsConfig> = {}): Promise<Service> {
  const backups: BackupsConfig = {
    place: { kind: 'directory', path: directory },
    keep: undefined,
    rehearsal: { everyMs: DAY, directory: undefined },
    ...given,
  }
  const clock = () => new Date(START + timers.now())
  // Steady intervals would need chance to be fixed: tests advance by more than the jitter.
  const service = await startService({ timers, clock }, { state, backups })
  started.push(service)
  return service
}

/** What is there, but for the marks of the target. */
const names = (): string[] =>
  readdirSync(directory)
    .filter((name) => !name.startsWith('sotto-target-'))
    .toSorted()

/** How the run of a job that is under way ends, or how the last one did. */
const ended = (service: Service, Name = 'backup') =>
  service.client().operate('job-run', { Name, Started: 'the one under way' })

async function advance(service: Service, ms: number): Promise<void> {
  timers.advance(ms)
  await ended(service)
}

async function ready(service: Service): Promise<Record<string, string>> {
  const answer = await fetch(`${service.url}/readyz`)
  expect(answer.status).toBe(200)
  return (await answer.json()) as Record<string, string>
}

const told = (service: Service, kind: string) =>
  service.records().filter((record) => record['kind'] === kind)

describe('a backup', () => {
  test('is made soon after the start, by a principal of its own, and told', async () => {
    const service = await serve()
    await service.client().put('prod/a', bytes('value'))
    expect(await ready(service)).toMatchObject({ backup: 'none', rehearsal: 'none' })
    await advance(service, 20 * SECOND)
    const [name = ''] = names()
    expect(name).toMatch(/^sotto-20260101T000020\.000Z-[0-9a-f]{32}-r\d+\.backup$/)
    expect(statSync(join(directory, name)).mode & 0o777).toBe(0o600)
    expect(told(service, 'backup')).toEqual([
      expect.objectContaining({
        backup: name,
        target: directory,
        principal: { hostname: '', ip: '', user: 'system:backup' },
      }),
    ])
    expect(await service.client().operate('backup-status', {})).toMatchObject({
      Target: directory,
      Keep: 'all',
      Newest: { Name: name, Created: '2026-01-01T00:00:20.000Z' },
      Backup: { LastResult: 'ok', LastMessage: expect.stringContaining('secrets: 1; values: 1') },
      Rehearsal: { Running: false },
    })
    expect(await ready(service)).toMatchObject({ backup: 'ok' })
  })

  test('follows a change, at most once a minute', async () => {
    const service = await serve()
    await advance(service, 20 * SECOND)
    await service.client().put('prod/a', bytes('1'))
    await service.client().put('prod/a', bytes('2'))
    await advance(service, 59 * SECOND)
    expect(names()).toHaveLength(1)
    await advance(service, 2 * SECOND)
    expect(names()).toHaveLength(2)
    await advance(service, 10 * MINUTE)
    expect(names()).toHaveLength(2)
    await service.client().put('prod/a', bytes('3'))
    await advance(service, 0)
    expect(names()).toHaveLength(3)
    expect(names().map((name) => /-r(\d+)\./.exec(name)?.[1])).toEqual(['0', '2', '3'])
  })

  test('is made every day where nothing changes, and not more often', async () => {
    const service = await serve({ rehearsal: undefined })
    await advance(service, 20 * SECOND)
    for (let hours = 0; hours < 20; hours++) await advance(service, 1.1 * HOUR)
    expect((await ended(service)).LastMessage).toMatch(
      /^nothing changed since sotto-20260101T000020/,
    )
    expect(names()).toHaveLength(1)
    for (let hours = 0; hours < 2; hours++) await advance(service, 1.1 * HOUR)
    expect(names()).toHaveLength(2)
    expect(told(service, 'backup')).toHaveLength(2)
  })

  test('is not made anew by a server that starts again', async () => {
    const first = await serve()
    await advance(first, 20 * SECOND)
    await first.server.stop()
    const second = await serve()
    expect(await ready(second)).toMatchObject({ backup: 'ok' })
    await advance(second, 20 * SECOND)
    expect(names()).toHaveLength(1)
  })

  test('is made at once for who may ask, and for nobody else', async () => {
    const service = await serve()
    await advance(service, 20 * SECOND)
    timers.advance(SECOND)
    const made = await service.client().operate('backup-create', {})
    expect(made).toMatchObject({ Name: 'backup', Running: false, LastResult: 'ok' })
    expect(names()).toHaveLength(2)
    for (const operation of ['backup-create', 'backup-status'] as const) {
      await expect(service.client('127.0.0.2').operate(operation, {})).rejects.toMatchObject({
        code: 'denied',
      })
    }
    const asked = told(service, 'access').map((record) => [record['operation'], record['result']])
    expect(asked).toEqual([
      // What this test itself waits by.
      ['job-run', 'ok'],
      ['backup-create', 'ok'],
      ['backup-create', 'denied'],
      ['backup-status', 'denied'],
    ])
  })

  test('that cannot be put is told loudly; the server serves, and makes it up later', async () => {
    const service = await serve()
    renameSync(directory, `${directory}.away`)
    await advance(service, 20 * SECOND)
    expect(await ended(service)).toMatchObject({
      LastResult: 'failed',
      LastMessage: expect.stringContaining('there is no such directory'),
    })
    expect(service.said.join('\n')).toMatch(/error: job backup failed: target_unavailable: /)
    expect(await ready(service)).toMatchObject({ backup: 'failed' })
    renameSync(`${directory}.away`, directory)
    await advance(service, 2 * MINUTE)
    expect(names()).toHaveLength(1)
    expect(await ready(service)).toMatchObject({ backup: 'ok' })
  })

  test('is unknown to a server that makes none', async () => {
    await using service = await startService()
    for (const operation of ['backup-create', 'backup-status'] as const) {
      await expect(service.client().operate(operation, {})).rejects.toMatchObject({
        code: 'not_found',
        message: expect.stringContaining('This server makes no backups'),
      })
    }
    expect(await ready(service)).not.toHaveProperty('backup')
  })
})

describe('retention', () => {
  test('deletes what is not kept, on the record, and nothing else', async () => {
    // Without rehearsals: one that was proven meanwhile would be kept too.
    const keep = { last: 2, daily: 0, weekly: 0, monthly: 0 }
    const service = await serve({ keep, rehearsal: undefined })
    writeFileSync(join(directory, 'notes.txt'), '')
    await advance(service, 20 * SECOND)
    for (const value of ['1', '2', '3', '4']) {
      await service.client().put('prod/a', bytes(value))
      await advance(service, 2 * MINUTE)
    }
    const left = names()
    // The first of a day is what the others of it follow.
    expect(left.map((name) => /-r(\d+)\./.exec(name)?.[1])).toEqual([undefined, '0', '3', '4'])
    const gone = told(service, 'prune')
    expect(gone).toHaveLength(2)
    for (const record of gone) {
      expect(record).toMatchObject({ target: directory, principal: { user: 'system:backup' } })
      expect(left).not.toContain(record['backup'])
    }
  })

  test('keeps the one that was proven last', async () => {
    const service = await serve({
      keep: { last: 1, daily: 0, weekly: 0, monthly: 0 },
      rehearsal: { everyMs: 6 * MINUTE, directory: undefined },
    })
    await advance(service, 20 * SECOND)
    await service.client().put('prod/a', bytes('1'))
    await advance(service, 2 * MINUTE)
    const proven = names().at(-1)
    await advance(service, 5 * MINUTE)
    expect(await ended(service, 'rehearsal')).toMatchObject({ LastResult: 'ok' })
    await service.client().put('prod/a', bytes('2'))
    await advance(service, 2 * MINUTE)
    expect(names()).toContain(proven)
    expect(names()).toHaveLength(3)
  })
})

describe('a rehearsal', () => {
  const rehearse = (service: Service) => service.client().operate('job-run', { Name: 'rehearsal' })

  test('restores the newest backup, opens every value, destroys it, and is remembered', async () => {
    const service = await serve()
    for (const name of ['a', 'b', 'c']) await service.client().put(`prod/${name}`, bytes(name))
    await service.client().put('prod/a', bytes('second'))
    await advance(service, 20 * SECOND)
    timers.advance(6 * MINUTE)
    const [name = ''] = names()
    expect(await ended(service, 'rehearsal')).toMatchObject({
      LastResult: 'ok',
      LastMessage: `${name} was restored and all of its 4 values opened`,
    })
    expect(readdirSync(state).filter((each) => each.includes('rehearsal'))).toEqual([])
    expect(told(service, 'rehearsal')).toEqual([
      expect.objectContaining({
        backup: name,
        target: directory,
        principal: { hostname: '', ip: '', user: 'system:rehearsal' },
        values: 4,
        result: 'ok',
      }),
    ])
    const proven = { rehearsal: 'ok' }
    expect(await ready(service)).toMatchObject(proven)
    expect((await service.client().operate('backup-status', {})).Proven).toMatchObject({
      Name: name,
      Values: 4,
    })
    expect(statSync(join(state, 'backups.json')).mode & 0o777).toBe(0o600)
    await service.server.stop()
    expect(await ready(await serve())).toMatchObject(proven)
  })

  test('that fails says so everywhere, and the server serves on', async () => {
    const service = await serve()
    await service.client().put('prod/a', bytes('1'))
    await advance(service, 20 * SECOND)
    expect(await rehearse(service)).toMatchObject({ LastResult: 'ok' })
    const [name = ''] = names()
    const path = join(directory, name)
    const content = readFileSync(path)
    content[content.length >> 1]! ^= 1
    writeFileSync(path, content)
    expect(await rehearse(service)).toMatchObject({
      LastResult: 'failed',
      LastMessage: expect.stringContaining(`The backup "${name}" does not verify`),
    })
    expect(service.said.join('\n')).toMatch(/error: job rehearsal failed: backup_damaged: /)
    expect(told(service, 'rehearsal').at(-1)).toMatchObject({
      backup: name,
      result: 'failed',
      values: 0,
      reason: expect.stringContaining('does not verify'),
    })
    expect(await ready(service)).toMatchObject({ rehearsal: 'failed', backup: 'ok' })
    expect(readdirSync(state).filter((each) => each.includes('rehearsal'))).toEqual([])
  })

  test('needs a key at hand, as after a disaster', async () => {
    const service = await serve()
    await advance(service, 20 * SECOND)
    renameSync(join(state, 'local.key'), join(scratch.path, 'local.key'))
    expect(await rehearse(service)).toMatchObject({
      LastResult: 'failed',
      LastMessage: expect.stringContaining('there is no such file'),
    })
    renameSync(join(scratch.path, 'local.key'), join(state, 'local.key'))
    expect(await rehearse(service)).toMatchObject({ LastResult: 'ok' })
  })

  test('looks at the space of its disk first', async () => {
    // A file system without a free byte.
    const service = await serve({ rehearsal: { everyMs: DAY, directory: '/proc' } })
    await advance(service, 20 * SECOND)
    expect(await rehearse(service)).toMatchObject({
      LastResult: 'failed',
      LastMessage: expect.stringMatching(/in \/proc: that needs \d+ bytes, and 0 are free$/),
    })
  })

  test('of nothing fails', async () => {
    const service = await serve()
    expect(await rehearse(service)).toMatchObject({
      LastResult: 'failed',
      LastMessage: `There is no backup in ${directory} to rehearse`,
    })
  })

  test('a memory that cannot be read is no memory', async () => {
    const first = await serve()
    await advance(first, 20 * SECOND)
    await first.server.stop()
    for (const text of ['{', '{"newest":7}']) {
      writeFileSync(join(state, 'backups.json'), text)
      const service = await serve()
      expect(await ready(service)).toMatchObject({ backup: 'none' })
      await service.server.stop()
    }
    rmSync(join(state, 'backups.json'))
  })
})

describe('A6: where backups go', () => {
  const COPY = 'a server that was started on a copy of this store'
  const run = (service: Service) => service.client().operate('job-run', { Name: 'backup' })

  async function adopted(service: Service): Promise<void> {
    const client = service.client()
    const found = await client.operate('branch-status', {})
    expect(found).toMatchObject({ Adopted: false, BackupTarget: directory })
    expect(await run(service)).toMatchObject({
      LastResult: 'ok',
      LastMessage: expect.stringContaining('the store is not adopted here'),
    })
    expect(await ready(service)).toMatchObject({ backup: 'held' })
    const before = names()
    await expect(client.operate('backup-create', {})).resolves.toMatchObject({
      LastResult: 'failed',
    })
    expect(names()).toEqual(before)
    const { Branch } = found
    expect(await client.operate('branch-adopt', { Branch })).toMatchObject({ Adopted: true })
    // Woken by that: no operator needs to ask for it.
    await advance(service, MINUTE)
    expect(await ready(service)).toMatchObject({ backup: 'ok' })
    await client.put('prod/a', bytes('since'))
    await advance(service, 2 * MINUTE)
    expect(names().length).toBeGreaterThan(before.length)
    expect(await ready(service)).toMatchObject({ backup: 'ok' })
  }

  test('an adopted copy takes it over from the server that used it, which stops', async () => {
    const original = await serve()
    await advance(original, 20 * SECOND)
    await original.client().put('prod/a', bytes('1'))
    // The two share the timers: so that the run of this change is not at the same time.
    await advance(original, 2 * MINUTE)
    const own = state
    state = join(scratch.path, 'copy')
    cpSync(own, state, { recursive: true })
    await adopted(await serve())
    await original.client().put('prod/a', bytes('2'))
    expect(await run(original)).toMatchObject({
      LastResult: 'failed',
      LastMessage: expect.stringContaining(COPY),
    })
    // Its operator may say otherwise.
    const client = original.client()
    const { Branch } = await client.operate('branch-status', {})
    await client.operate('branch-adopt', { Branch })
    await advance(original, 2 * MINUTE)
    expect(await ended(original)).toMatchObject({ LastResult: 'ok' })
  })

  test('an adopted restore takes it over, and not before', async () => {
    const original = await serve()
    await original.client().put('prod/a', bytes('1'))
    await advance(original, 20 * SECOND)
    await original.server.stop()
    const [name = ''] = names()
    const own = state
    state = join(scratch.path, 'restored')
    {
      using keys = providerKeys([localKeyProvider(join(own, 'local.key'))])
      const source = await fileSource(join(directory, name))
      await restoreBackup({ source, keys, to: state, operator: 'op' })
    }
    cpSync(join(own, 'local.key'), join(state, 'local.key'))
    await adopted(await serve())
  })
})
