/** Pages of a log: whatever their bounds, put together they are what a query of the whole log gives. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AuditLog } from '../../audit/log.ts'
import { type Page, pageOf, type PageBounds, type PageQuestion } from '../../audit/page.ts'
import { type Filter, queryLog } from '../../audit/query.ts'
import type { AuditRecord } from '../../audit/record.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { access, change, logId } from './fixtures.ts'

const scratch = temporaryDirectory()
const path = join(scratch.path, 'log')
/** When the log begins; a second goes by from each record to the next. */
const START = Date.UTC(2026, 0, 1)
const at = (second: number): Date => new Date(START + second * 1000)
const RECORDS = 60

beforeAll(async () => {
  let second = 0
  await using log = await AuditLog.open({
    directory: path,
    logId,
    revision: () => 1,
    clock: () => at(second),
    segmentBytes: 4000,
    roomBytes: 1024,
  })
  for (; second < RECORDS; second++) {
    await log.append(second % 3 === 0 ? change(second % 5) : access(second % 5))
  }
})

afterAll(() => scratch[Symbol.dispose]())

/** Every page from the first on, joined as a client joins them. */
async function allPages(
  question: Pick<PageQuestion, 'filter' | 'newest' | 'limit'>,
  bounds: PageBounds = { size: Infinity, ms: 60_000 },
): Promise<{ records: AuditRecord[]; pages: Page[] }> {
  const pages: Page[] = []
  let records: AuditRecord[] = []
  let cursor: { after: number; before?: number } | undefined = { after: 0 }
  const kept = { ...bounds, takenBack: new Map() }
  while (cursor) {
    const page: Page = await pageOf(path, { ...question, ...cursor }, kept)
    pages.push(page)
    records = question.newest ? [...page.records, ...records] : [...records, ...page.records]
    if (page.after !== undefined) cursor = { after: page.after }
    else cursor = page.before === undefined ? undefined : { after: 0, before: page.before }
  }
  return { records, pages }
}

async function whole(filter: Filter): Promise<AuditRecord[]> {
  const found: AuditRecord[] = []
  for await (const record of queryLog(path, filter)) found.push(record)
  return found
}

const filters: [string, Filter][] = [
  ['everything', {}],
  ['one secret', { secretMatches: (name) => name === 'prod/3' }],
  ['one person', { principal: 'alice@example.com' }],
  ['a while', { since: at(20), until: at(41) }],
  ['the end', { since: at(55) }],
  ['nothing', { action: 'none' }],
]

describe.each([false, true])('with the newest first: %s', (newest) => {
  test.each(filters)('pages of %s are all of it, each record once', async (_, filter) => {
    const expected = await whole(filter)
    for (const limit of [1, 2, 7, 1000]) {
      const { records, pages } = await allPages({ filter, newest, limit })
      expect(records).toEqual(expected)
      for (const page of pages) expect(page.records.length).toBeLessThanOrEqual(limit)
    }
  })

  test.each(filters)(
    'and so they are when each has hardly any room or time: %s',
    async (_, filter) => {
      const expected = await whole(filter)
      for (const bounds of [
        { size: 1, ms: 60_000 },
        { size: 900, ms: 60_000 },
        { size: Infinity, ms: -1 },
      ]) {
        const { records } = await allPages({ filter, newest, limit: 50 }, bounds)
        expect(records).toEqual(expected)
      }
    },
  )

  test('a page without records ends in time, and says where to go on', async () => {
    const filter = { action: 'none' }
    const bounds = { size: Infinity, ms: -1 }
    const { records, pages } = await allPages({ filter, newest, limit: 50 }, bounds)
    expect(records).toEqual([])
    expect(pages.length).toBeGreaterThan(3)
  })

  test('between two ids, neither is told', async () => {
    const all = await whole({})
    const question = { filter: {}, newest, limit: 1000, after: 20, before: 30 }
    const { records } = await pageOf(path, question)
    expect(records.map(({ id }) => id)).toEqual(
      all.map(({ id }) => id).filter((id) => id > 20 && id < 30),
    )
  })

  test('damage is told, and what is behind it too', async () => {
    const names = readdirSync(path).toSorted()
    expect(names.length).toBeGreaterThan(3)
    const file = join(path, names[1] ?? '')
    const before = readFileSync(file)
    const expected = await whole({})
    try {
      writeFileSync(file, before.toString().replace('"prod/2"', '"prod/X"'))
      const { records, pages } = await allPages({ filter: {}, newest, limit: 1000 })
      expect(records.map(({ id }) => id)).toEqual(expected.map(({ id }) => id))
      expect(pages.find(({ damage }) => damage !== undefined)?.damage).toMatch(
        new RegExp(`^line \\d+ of ${names[1]}: .*altered`),
      )
    } finally {
      writeFileSync(file, before)
    }
  })
})

test('a folder that is not there is an error that names it', async () => {
  const question = { filter: {}, newest: false, after: 0, limit: 1 }
  await expect(pageOf(join(scratch.path, 'none'), question)).rejects.toMatchObject({
    code: 'local',
    message: expect.stringContaining('none'),
  })
})
