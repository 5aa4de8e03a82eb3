/** Whatever the clock does, a query of the log answers what reading all of it would. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AuditLog } from '../../audit/log.ts'
import { pageOf } from '../../audit/page.ts'
import { type Filter, isAsked, queryLog } from '../../audit/query.ts'
import { readLog } from '../../audit/reader.ts'
import type { AuditRecord } from '../../audit/record.ts'
import { depth } from '../support/depth.ts'
import { temporaryDirectory } from '../support/sotto.ts'

const DAY = 86_400_000
const NOW = Date.UTC(2026, 10, 28, 12)

/** Where the clock is after a move: a year or a day ahead or behind, 1970, and right again. */
const moves = [0, 365 * DAY, -365 * DAY, DAY, -DAY, 1000 - NOW]
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ append: fc.integer({ min: 1, max: 12 }) }) },
  { weight: 2, arbitrary: fc.record({ move: fc.constantFrom(...moves) }) },
  { weight: 1, arbitrary: fc.record({ reopen: fc.constant(true) }) },
)

test('U1: no record is hidden by a clock that moved', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 14 }), async (steps) => {
      using scratch = temporaryDirectory()
      let offset = 0
      let passed = 0
      const open = (): Promise<AuditLog> =>
        AuditLog.open({
          directory: scratch.path,
          logId: 'a'.repeat(32),
          revision: () => 0,
          clock: () => new Date(NOW + offset + passed),
          segmentBytes: 1500,
          roomBytes: 0,
        })
      let log = await open()
      for (const each of steps) {
        if ('move' in each) offset = each.move
        else if ('reopen' in each) {
          await log[Symbol.asyncDispose]()
          log = await open()
        } else {
          for (let count = 0; count < each.append; count++) {
            passed += 60_000
            await log.append({ kind: 'stop', version: `${passed}` })
          }
        }
      }
      await log[Symbol.asyncDispose]()

      const all: AuditRecord[] = []
      for await (const { record } of readLog(scratch.path)) all.push(record)
      for (const at of [...moves, 3600_000]) {
        const since = new Date(NOW + at + 60_000)
        for (const filter of [{ since }, { since, until: new Date(since.getTime() + DAY) }]) {
          const wanted = all.filter((each) => isAsked(filter, each)).map(({ id }) => id)
          expect(await queried(scratch.path, filter)).toEqual(wanted)
          expect(await paged(scratch.path, filter, false)).toEqual(wanted)
          expect(await paged(scratch.path, filter, true)).toEqual(wanted)
        }
      }
    }),
    {
      numRuns: depth({ usual: 6, full: 100 }),
      examples: [
        [[{ append: 12 }, { move: 1000 - NOW }, { append: 12 }, { move: 0 }, { append: 1 }]],
      ],
    },
  )
}, 300_000)

async function queried(path: string, filter: Filter): Promise<number[]> {
  const ids: number[] = []
  for await (const record of queryLog(path, filter)) ids.push(record.id)
  return ids
}

async function paged(path: string, filter: Filter, newest: boolean): Promise<number[]> {
  const ids: number[] = []
  let at = { after: 0, before: Infinity }
  for (;;) {
    const { records, after, before } = await pageOf(path, { filter, newest, limit: 7, ...at })
    const found = records.map(({ id }) => id)
    if (newest) ids.unshift(...found)
    else ids.push(...found)
    const next = newest ? before : after
    if (next === undefined) return ids
    at = newest ? { ...at, before: next } : { ...at, after: next }
  }
}
