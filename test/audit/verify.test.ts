import { readdirSync, readFileSync } from 'node:fs'
import { basename, join, relative } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { verifyLog } from '../../audit/verify.ts'
import { auditVectorFiles } from '../vectors/audit/log-files.ts'
import type { Expectation } from '../vectors/audit/log-vector.ts'
import { keysOf } from '../vectors/audit/macs.ts'
import { isWhole } from './by-the-page.ts'
import { MemoryDisk } from './disk.ts'
import { access, change, hastyTimers, openLog, readAll } from './fixtures.ts'

const vectors = new URL('../vectors/audit', import.meta.url).pathname

const cases = readdirSync(vectors, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('expect.json'))
  .map((path) => path.slice(0, -'/expect.json'.length))

describe('vectors', () => {
  test.each(cases)('%s', async (name) => {
    const text = readFileSync(join(vectors, name, 'expect.json'), 'utf8')
    const { about, path, report, keys, ...given } = JSON.parse(text) as Expectation
    const withKeys = keys && { keys: keysOf(keys) }
    const found = await verifyLog(join(vectors, name, path), { ...given, ...withKeys })
    const { message, ...damage } = found.damage ?? {}
    expect(about).not.toBe('')
    expect(found.ok ? found : { ok: false, damage }).toEqual(report)
    expect(message === undefined).toBe(found.ok)
  })

  test.each(cases)('%s by the page', (name) => {
    const text = readFileSync(join(vectors, name, 'expect.json'), 'utf8')
    const { path, report, head, after, keys } = JSON.parse(text) as Expectation
    const single = path !== 'log'
    const names = single ? [basename(path)] : readdirSync(join(vectors, name, 'log'))
    const files = new Map(
      names.map((file) => [file, readFileSync(join(vectors, name, 'log', file))]),
    )
    const given = { single, ...(head && { head }), ...(after && { after }), ...(keys && { keys }) }
    expect(isWhole(files, given)).toBe(report.ok)
  })

  test('are what the generator makes', async () => {
    const made = await auditVectorFiles()
    const there = readdirSync(vectors, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !entry.name.endsWith('.ts'))
      .map((entry) => relative(vectors, join(entry.parentPath, entry.name)))
    expect(there.toSorted()).toEqual([...made.keys()].toSorted())
    for (const [path, text] of made) expect(readFileSync(join(vectors, path), 'utf8')).toBe(text)
  })

  test('are as many as they were made', () => {
    const whole = cases.filter((name) => name.startsWith('whole/'))
    expect([whole.length, cases.length - whole.length]).toEqual([15, 36])
  })

  test('have a case for every kind of damage', () => {
    const kinds = cases
      .map((name) => JSON.parse(readFileSync(join(vectors, name, 'expect.json'), 'utf8')))
      .map(({ report }: Expectation) => ('damage' in report ? report.damage?.damage : undefined))
    const all =
      'altered cut foreign missing reordered repeated segment-missing torn unknown-format unreadable forged'
    expect(new Set(kinds)).toEqual(new Set([undefined, ...all.split(' ')]))
  })
})

/** A finished log of several segments. */
async function finishedLog(): Promise<MemoryDisk> {
  const disk = new MemoryDisk()
  for (let life = 0; life < 3; life++) {
    const log = await openLog(disk)
    await log.append(change(`é${life}`))
    await Promise.all(Array.from({ length: 4 }, (_, index) => log.append(access(index))))
    await log.close()
  }
  return disk
}

test('any single byte that is changed before the last record is found, and where', async () => {
  const disk = await finishedLog()
  const records = await readAll('/log', disk)
  const last = records.at(-1)
  const places = disk.paths.flatMap((path) => {
    const content = disk.content(path)
    const end = path.endsWith(last?.segment ?? '')
      ? content.lastIndexOf(0x0a, content.length - 2) + 1
      : content.length
    return Array.from({ length: end }, (_, offset) => ({ path, offset }))
  })

  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...places),
      fc.integer({ min: 0, max: 255 }),
      async (at, to) => {
        const content = disk.content(at.path)
        const from = content[at.offset] as number
        // A zero at the end of a sector is what a crash leaves as well.
        fc.pre(to !== from && !(to === 0 && (at.offset + 1) % 512 === 0))
        content[at.offset] = to
        try {
          const { damage } = await verifyLog('/log', { files: disk })
          return damage !== undefined && at.path.endsWith(damage.segment)
        } finally {
          content[at.offset] = from
        }
      },
    ),
    { numRuns: 1000 },
  )
  expect(await verifyLog('/log', { files: disk })).toMatchObject({ ok: true, records: 18 })
})

test('the verifier and the page agree on any log whose bytes were changed', async () => {
  const disk = await finishedLog()
  const segments = disk.paths.map((path) => ({ path, bytes: Buffer.from(disk.content(path)) }))
  const edit = fc.record({
    segment: fc.nat(segments.length - 1),
    from: fc.nat(3000),
    remove: fc.oneof(fc.constant(0), fc.nat(3), fc.nat(3000)),
    insert: fc.oneof(
      fc.constant(Buffer.alloc(0)),
      fc.uint8Array({ maxLength: 4 }).map((bytes) => Buffer.from(bytes)),
      fc.oneof(fc.nat(600), fc.constantFrom(70_000, 200_000)).map((size) => Buffer.alloc(size)),
      fc
        .constantFrom(...segments.flatMap(({ bytes }) => bytes.toString().match(/.*\n/g) ?? []))
        .map((text) => Buffer.from(text)),
    ),
  })
  let whole = 0
  await fc.assert(
    fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 2 }), async (edits) => {
      const changed = new MemoryDisk()
      for (const { path, bytes } of segments) changed.put(path, bytes)
      for (const { segment, from, remove, insert } of edits) {
        const path = segments[segment]?.path ?? ''
        const bytes = changed.content(path)
        const start = Math.min(from, bytes.length)
        const parts = [bytes.subarray(0, start), insert, bytes.subarray(start + remove)]
        changed.put(path, Buffer.concat(parts))
      }
      const files = new Map(changed.paths.map((path) => [basename(path), changed.content(path)]))
      const { ok } = await verifyLog('/log', { files: changed, timers: hastyTimers })
      if (ok) whole++
      return ok === isWhole(files)
    }),
    { numRuns: 1000 },
  )
  expect(whole).toBeGreaterThan(10)
})

test('a record that is changed and still reads is named exactly', async () => {
  const disk = await finishedLog()
  const records = await readAll('/log', disk)
  for (const { record, segment, line } of records.slice(0, -1)) {
    const path = `/log/${segment}`
    const whole = disk.content(path)
    const lines = whole.toString().split('\n')
    lines[line - 1] = (lines[line - 1] ?? '').replace(/"time":"..../, '"time":"1999')
    disk.put(path, Buffer.from(lines.join('\n')))
    const { damage } = await verifyLog('/log', { files: disk })
    expect(damage).toMatchObject({ damage: 'altered', segment, line, id: record.id })
    disk.put(path, whole)
  }
})

test('any records that are taken out of the middle are found', async () => {
  const disk = await finishedLog()
  const lines = disk.paths.flatMap(
    (path) =>
      disk
        .content(path)
        .toString()
        .match(/.*\n/g)
        ?.map((text) => ({ path, text })) ?? [],
  )
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: lines.length - 2 }),
      fc.integer({ min: 1, max: lines.length }),
      async (from, count) => {
        const kept = lines.toSpliced(from, Math.min(count, lines.length - 1 - from))
        const changed = new MemoryDisk()
        for (const { path, text } of kept) {
          const before = changed.paths.includes(path) ? changed.content(path).toString() : ''
          changed.put(path, Buffer.from(before + text))
        }
        return !(await verifyLog('/log', { files: changed })).ok
      },
    ),
    { numRuns: 100 },
  )
})

test('a tail that is cut off is found with a known record, and only then', async () => {
  const disk = await finishedLog()
  const head = (await readAll('/log', disk)).at(-1)
  const path = disk.paths.at(-1) ?? ''
  const content = disk.content(path)
  const known = { id: head?.record.id ?? 0, hash: head?.hash ?? '' }
  disk.put(path, content.subarray(0, content.lastIndexOf(0x0a, content.length - 2) + 1))
  expect(await verifyLog('/log', { files: disk })).toMatchObject({ ok: true })
  expect(await verifyLog('/log', { files: disk, head: known })).toMatchObject({
    ok: false,
    damage: { damage: 'cut', id: known.id, line: 6 },
  })
})

test('a log that is being written verifies at any time', async () => {
  const disk = new MemoryDisk()
  const log = await openLog(disk, { segmentBytes: 3000 })
  const writing = Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let index = 0; index < 40; index++) await log.append(access(index))
    }),
  )
  const failures: unknown[] = []
  let checks = 0
  const running = new AbortController()
  void writing.then(() => running.abort())
  while (!running.signal.aborted) {
    const { damage } = await verifyLog('/log', { files: disk, head: log.head })
    if (damage !== undefined) failures.push(damage)
    checks++
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(failures).toEqual([])
  expect(checks).toBeGreaterThan(3)
})

test('what cannot be read is an error, not damage', async () => {
  await expect(verifyLog('/nowhere/at/all')).rejects.toMatchObject({ code: 'local' })
})
