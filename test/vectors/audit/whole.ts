/** Logs with nothing wrong: orderly ones, and what crashes and failing disks leave. */
import type { VerifyReport } from '../../../audit/verify.ts'
import { failedWrite, goneOn, threeSegments } from './logs.ts'
import { hashOf, linesOf, type Log, put, receipt, segment, type Vector } from './log-vector.ts'

/** What is counted in a report beside the first and the last record. */
type Counts = Partial<
  Pick<VerifyReport, 'records' | 'segments' | 'torn' | 'skipped' | 'unconfirmed' | 'lost'>
>

/** The vectors by name. */
export async function wholeLogs(): Promise<[string, Vector][]> {
  const log = await threeSegments()
  const first = put(put(log, 6, undefined), 12, undefined)
  const torn = put(log, 12, `${log.get(segment(12))}{"id":17,"time":"2026-02-`)
  const roomy = put(
    put(log, 6, `${log.get(segment(6))}${'\0'.repeat(1000)}`),
    12,
    `${log.get(segment(12))}${'\0'.repeat(700)}`,
  )
  const end = log.get(segment(12)) ?? ''
  const gap = '\0'.repeat(1024 - (Buffer.byteLength(end) % 512))
  const holed = put(log, 12, `${end}${gap}"action":"get"}\n{"id"${'\0'.repeat(300)}`)
  const stub = put(first, 6, '{"id":6,"time":"2026-02-03T04:0')
  return [
    ['orderly', whole('a server was started three times', log, 1, 16, { segments: 3 })],
    [
      'one-segment',
      {
        log,
        expectation: {
          about: 'one segment by itself; its link to the one before is not checked',
          path: `log/${segment(6)}`,
          report: report(log, 6, 11, { records: 6 }),
        },
      },
    ],
    ['head', told(whole('the known record is on the log', log, 1, 16, { segments: 3 }), log, 9)],
    [
      'older-part-moved',
      {
        log: put(log, 1, undefined),
        expectation: {
          about: 'the first segment was moved away, and its last record is known',
          path: 'log',
          after: receipt(log, 5),
          report: report(log, 6, 16, { records: 11, segments: 2 }),
        },
      },
    ],
    ['torn-end', whole('the last write was cut short', torn, 1, 16, { segments: 3, torn: 25 })],
    [
      'torn-end-zeros',
      whole('sectors of the last write are zeros, and there is room behind it', holed, 1, 16, {
        segments: 3,
        torn: gap.length + 21,
      }),
    ],
    ['room', whole('two segments have room at their end', roomy, 1, 16, { segments: 3 })],
    [
      'torn-between',
      whole(
        'the log went on after a write that was cut short, and tells of its bytes',
        await goneOn(put(first, 1, `${first.get(segment(1))}{"id":6,"ti`)),
        1,
        10,
        { records: 9, segments: 2, skipped: 1 },
      ),
    ],
    [
      'torn-first-record',
      whole(
        'the log went on after a segment whose first record was cut short',
        await goneOn(stub),
        1,
        10,
        { records: 9, segments: 2, skipped: 1 },
      ),
    ],
    [
      'failed-write',
      whole(
        'a write of three records failed, two are on the disk; and one act more was lost',
        await failedWrite(0),
        1,
        9,
        { records: 8, segments: 2, skipped: 1, unconfirmed: 2, lost: 1 },
      ),
    ],
    [
      'failed-segments',
      whole(
        'then two segments were given up with their first record written',
        await failedWrite(2),
        1,
        11,
        { records: 10, segments: 4, skipped: 1, unconfirmed: 4, lost: 1 },
      ),
    ],
    [
      'unknown-kind',
      whole('a record of a kind that is not in the format', withUnknownKind(first), 1, 6, {}),
    ],
  ]
}

function whole(about: string, log: Log, first: number, last: number, counts: Counts): Vector {
  return { log, expectation: { about, path: 'log', report: report(log, first, last, counts) } }
}

function told(vector: Vector, log: Log, head: number): Vector {
  return { log, expectation: { ...vector.expectation, head: receipt(log, head) } }
}

function report(log: Log, first: number, last: number, counts: Counts): VerifyReport {
  return {
    ok: true,
    records: last - first + 1,
    segments: 1,
    first: receipt(log, first),
    last: receipt(log, last),
    skipped: 0,
    unconfirmed: 0,
    lost: 0,
    torn: 0,
    ...counts,
  }
}

function withUnknownKind(log: Log): Log {
  const last = linesOf(log, 1).at(-1) ?? ''
  const line = `{"id":6,"time":"2026-02-03T04:05:30.000Z","kind":"weather","sky":["blue"],"revision":8,"prev":"${hashOf(last)}"}\n`
  return put(log, 1, `${log.get(segment(1))}${line}`)
}
