import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type FileSystem, nodeFiles } from '../../audit/files.ts'
import { type Filter, queryLog } from '../../audit/query.ts'
import { toRow } from '../../audit/row.ts'
import type { AuditRecord } from '../../audit/record.ts'
import { MemoryDisk } from './disk.ts'
import { access, openLog } from './fixtures.ts'

const log = new URL('../vectors/audit/whole/orderly/log', import.meta.url).pathname

async function ask(filter: Filter, path = log): Promise<AuditRecord[]> {
  const records: AuditRecord[] = []
  for await (const record of queryLog(path, filter)) records.push(record)
  return records
}

test('what an operator did to the keys is found by the user, alone or with the host', async () => {
  const disk = new MemoryDisk()
  const keys = await openLog(disk)
  const key = {
    verb: 'add',
    provider: 'recovery',
    fingerprint: 'f',
    operator: 'root on host',
  } as const
  await keys.append({ kind: 'key', ...key })
  for (const [principal, count] of [
    ['root', 1],
    ['root on host', 1],
    ['host', 0],
  ] as const) {
    const found: unknown[] = []
    for await (const each of queryLog('/log', { principal }, { files: disk })) found.push(each)
    expect(found).toHaveLength(count)
  }
})

test.each<[string, Filter, number[]]>([
  ['everything', {}, Array.from({ length: 16 }, (_, index) => index + 1)],
  ['who read or changed it', { secretMatches: (name) => name === 'prod/app/key' }, [3, 4, 15]],
  ['names by a pattern', { secretMatches: (name) => name.startsWith('prod/') }, [3, 4, 8, 15]],
  ['what a person did', { principal: 'alice@example.com' }, [4, 5]],
  ['what nodes with a tag did', { principal: 'tag:prod' }, [3, 8, 10, 15]],
  ['what a node did', { principal: 'app-1' }, [3, 8, 10, 15]],
  ['what came from an address', { principal: '100.64.0.9' }, [9]],
  ['U21: a login in another case', { principal: 'Alice@Example.COM' }, [4, 5]],
  ['U21: a node in another case', { principal: 'APP-1' }, [3, 8, 10, 15]],
  ['nobody', { principal: 'bob@example.com' }, []],
  ['an action', { action: 'put' }, [4, 8]],
  ['how it came out', { outcome: 'denied' }, [8]],
  ['kinds', { kinds: ['start', 'stop'] }, [2, 7, 11, 13, 16]],
  ['since', { since: new Date('2026-02-03T04:05:20.789Z') }, [14, 15, 16]],
  ['until', { until: new Date('2026-02-03T04:05:09.789Z') }, [1, 2]],
  [
    'all of it at once',
    { principal: 'tag:app', action: 'get', since: new Date('2026-02-03T04:05:18.000Z') },
    [15],
  ],
])('asking for %s', async (_, filter, expected) => {
  expect((await ask(filter)).map(({ id }) => id)).toEqual(expected)
})

test('segments that end before the time that is asked for are not opened', async () => {
  const disk = new MemoryDisk()
  let hour = 0
  for (; hour < 5; hour++) {
    const clock = () => new Date(Date.UTC(2026, 0, 1, hour))
    const writer = await openLog(disk, { clock })
    await writer.append(access(hour))
    await writer.close()
  }
  const opened: string[] = []
  const files: FileSystem = {
    ...nodeFiles,
    list: (path) => disk.list(path),
    open: (path) => {
      opened.push(path)
      return disk.open(path)
    },
  }
  const found: unknown[] = []
  const since = new Date(Date.UTC(2026, 0, 1, 3))
  for await (const record of queryLog('/log', { since, kinds: ['access'] }, { files })) {
    found.push(record.kind === 'access' && record.secret)
  }
  expect(found).toEqual(['prod/3', 'prod/4'])
  expect(opened).not.toContain('/log/00000000000000000001.jsonl')
  expect(opened).not.toContain('/log/00000000000000000003.jsonl')
})

test('a row tells a record in words', async () => {
  const rows = (await ask({})).map(toRow)
  expect(rows[2]).toEqual({
    id: '3',
    time: '2026-02-03T04:05:09.789Z',
    who: 'tag:app tag:prod app-1',
    what: 'get',
    secret: 'prod/app/key',
    version: '3',
    result: 'ok',
    note: '',
  })
  expect(rows.map(({ who, what, note }) => [who, what, note].filter(Boolean).join(': '))).toEqual([
    'segment: after record 0, 0 lost',
    'start: 0.1.0',
    'tag:app tag:prod app-1: get',
    'alice@example.com laptop: put',
    'alice@example.com laptop: info',
    'segment: after record 5, 0 lost',
    'start: 0.1.0',
    'tag:app tag:prod app-1: put: no rule allows it',
    '100.64.0.9: unidentified: no such node',
    'tag:app tag:prod app-1: refusals: 12 from 2026-02-03T04:05:00.000Z to 2026-02-03T04:05:59.000Z',
    'stop: 0.1.0',
    'segment: after record 11, 0 lost',
    'start: 0.1.0',
    'abandoned: record 4: the server stopped first',
    'tag:app tag:prod app-1: get',
    'stop: 0.1.0',
  ])
})

test('a row tells who changed the keys, and which key opened the store', () => {
  const stamp = { id: 1, time: '', revision: 1, prev: '' }
  const key = { provider: 'recovery', fingerprint: 'f00d' }
  const added = { ...stamp, ...key, kind: 'key', verb: 'add', operator: 'root on host' } as const
  expect(toRow(added)).toMatchObject({
    who: 'root on host',
    what: 'key add',
    note: 'recovery key f00d',
  })
  const principal = { hostname: '', ip: '', user: 'system:rotation' }
  const actor = { request: 'r', principal }
  const moved = { ...stamp, kind: 'keyring', verb: 'move', entry: 2, fingerprint: 'cafe' } as const
  expect(toRow({ ...moved, ...actor, versions: 200 })).toMatchObject({
    who: 'system:rotation',
    what: 'keyring move',
    note: 'entry 2, cafe, 200 versions',
  })
  expect(toRow({ ...stamp, ...key, ...actor, kind: 'key', verb: 'rewrap' })).toMatchObject({
    who: 'system:rotation',
    what: 'key rewrap',
  })
  expect(toRow({ ...stamp, ...key, kind: 'start', version: '1.0' })).toMatchObject({
    what: 'start',
    note: '1.0, opened with recovery key f00d',
  })
})

test('a row has nothing in it that acts on a terminal', () => {
  const hostile = '\u001b[2J\u202egnp.\n\u2028\u0085"\\'
  const record = {
    ...access(1),
    secret: hostile,
    reason: hostile,
    principal: { hostname: hostile, ip: '', user: hostile },
    id: 1,
    time: hostile,
    revision: 1,
    prev: '',
  }
  const text = Object.values(toRow(record)).join('')
  expect(text).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u)
  expect(toRow(record).secret).toBe('"\\u001b[2J\\u{202e}gnp.\\n\\u{2028}\\u{85}\\"\\\\"')
})

test('one segment can be asked as well', async () => {
  const since = new Date('2026-02-03T04:05:16.000Z')
  const path = join(log, '00000000000000000006.jsonl')
  expect((await ask({ since }, path)).map(({ id }) => id)).toEqual([10, 11])
})
