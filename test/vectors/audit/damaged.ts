/** Logs that somebody changed, one for each way to do it. */
import type { DamageKind } from '../../../audit/damage.ts'
import { threeSegments } from './logs.ts'
import { type FoundDamage, hashOf, linesOf, type Log, put, receipt, segment } from './log-vector.ts'
import type { Expectation, Vector } from './log-vector.ts'

type Given = Pick<Expectation, 'head' | 'after'>

/** The vectors by name. */
export async function damagedLogs(): Promise<[string, Vector][]> {
  const log = await threeSegments()
  const other = await threeSegments('ffeeddccbbaa99887766554433221100')
  const line = (id: number) => linesOf(log, id < 6 ? 1 : id < 12 ? 6 : 12)[index(id)] as string

  /** The lines of the second segment, records 6 to 11, changed. */
  const second = (change: (lines: string[]) => string[]) => put(log, 6, change(linesOf(log, 6)))
  const replace = (from: string, to: string) =>
    second((lines) => lines.map((text) => text.replace(from, to)))

  return [
    [
      'altered-record',
      found('a name was changed', replace('no such node', 'no such name'), 'altered', 9),
    ],
    ['altered-id', found('an id was changed', replace('"id":9,', '"id":90,'), 'altered', 9)],
    [
      'altered-prev',
      found('the link of a record was changed', replace(hashOf(line(8)), hashOf('')), 'altered', 9),
    ],
    [
      'altered-first-record',
      found('the count of lost records was changed', replace('"lost":0', '"lost":1'), 'altered', 6),
    ],
    [
      'altered-link',
      found('what a segment follows was changed', replace('"after":5', '"after":4'), 'altered', 6),
    ],
    [
      'altered-end-of-segment',
      found(
        'the last record of a segment was changed',
        replace('"stop"', '"start"'),
        'altered',
        11,
      ),
    ],
    [
      'altered-end-with-head',
      found(
        'the last record of the log was changed, and it is known',
        put(
          log,
          12,
          linesOf(log, 12).map((text) => text.replace('"stop"', '"start"')),
        ),
        'altered',
        16,
        { head: receipt(log, 16) },
      ),
    ],
    [
      'rewritten-with-head',
      found(
        'the log was written anew with one record less, and an old record is known',
        rewritten(log),
        'altered',
        10,
        { head: receipt(log, 10) },
      ),
    ],
    [
      'unreadable-record',
      found(
        'a quote was taken out',
        replace('"ip":"100.64.0.9"', '"ip":"100.64.0.9'),
        'unreadable',
        9,
      ),
    ],
    [
      'unreadable-zero',
      found('a zero byte was put in', replace('no such node', 'no such\0node'), 'unreadable', 9),
    ],
    [
      'unreadable-first-record',
      found('a brace was changed', replace('{"id":6,', '("id":6,'), 'unreadable', 6),
    ],
    [
      'missing-record',
      found(
        'a record was taken out',
        second((lines) => lines.toSpliced(3, 1)),
        'missing',
        9,
      ),
    ],
    [
      'missing-first-record',
      found(
        'a segment lost its first record',
        second((lines) => lines.slice(1)),
        'missing',
        6,
        {},
        1,
      ),
    ],
    [
      'repeated-record',
      found(
        'a record was written twice',
        second((lines) => lines.toSpliced(4, 0, line(9))),
        'repeated',
        9,
        {},
        5,
      ),
    ],
    [
      'inserted-record',
      found(
        'a record was put in that follows the one before',
        second((lines) => lines.toSpliced(4, 0, forged(line(9)))),
        'repeated',
        10,
        {},
        6,
      ),
    ],
    [
      'appended-record',
      found(
        'a record was added to a segment that was over',
        second((lines) => [...lines, forged(line(11))]),
        'repeated',
        12,
        {},
        7,
      ),
    ],
    [
      'repeated-segment',
      at('a segment stands there twice', put(log, 13, linesOf(log, 6)), 'repeated', 6, 13, 1),
    ],
    [
      'reordered-records',
      found(
        'two records changed places',
        second((lines) => lines.toSpliced(3, 2, line(10), line(9))),
        'reordered',
        9,
      ),
    ],
    [
      'reordered-segments',
      at(
        'a segment has another name',
        put(put(log, 6, undefined), 5, linesOf(log, 6)),
        'reordered',
        5,
        5,
        1,
      ),
    ],
    [
      'older-segment',
      at(
        'a segment follows an older record than the last one, as where two copies were mixed',
        mixed(log),
        'reordered',
        12,
        12,
        1,
      ),
    ],
    [
      'other-segment',
      at(
        'a segment follows the last record, and names another segment as the one that holds it',
        relinked(log, '"before":6', '"before":1'),
        'reordered',
        12,
        12,
        1,
      ),
    ],
    [
      'foreign-segment',
      at("a segment is another log's", put(log, 6, linesOf(other, 6)), 'foreign', 6, 6, 1),
    ],
    [
      'cut-segment',
      found(
        'a segment lost its last records',
        second((lines) => lines.slice(0, 4)),
        'cut',
        10,
      ),
    ],
    [
      'cut-record',
      found(
        'a segment was cut within a record',
        second((lines) => [...lines.slice(0, 4), line(10).slice(0, 40)]),
        'cut',
        10,
      ),
    ],
    ['cut-to-nothing', at('a segment is empty', put(log, 6, ''), 'cut', 6, 6, 1)],
    [
      'cut-end-with-head',
      at(
        'the log lost its last records, and the last one is known',
        put(log, 12, linesOf(log, 12).slice(0, 3)),
        'cut',
        15,
        12,
        4,
        { head: receipt(log, 16) },
      ),
    ],
    [
      'cut-end-segment-with-head',
      at(
        'the log lost its last segment, and a record of it is known',
        put(log, 12, undefined),
        'cut',
        12,
        6,
        7,
        { head: receipt(log, 13) },
      ),
    ],
    [
      'missing-segment',
      at('a segment between others is gone', put(log, 6, undefined), 'segment-missing', 6, 6, 1),
    ],
    [
      'missing-first-segment',
      at('the first segment is gone', put(log, 1, undefined), 'segment-missing', 1, 1, 1),
    ],
    [
      'unknown-format',
      found('a segment has format 2', replace('"format":1', '"format":2'), 'unknown-format', 6),
    ],
    [
      'torn-not-told',
      found(
        'bytes follow the last record of a segment, and the next one tells of none',
        second((lines) => [...lines, '{"id":12,"ti']),
        'torn',
        12,
        {},
        7,
      ),
    ],
  ]

  /** Damage to the record `id` of the second or third segment, at its own line if no other is given. */
  function found(
    about: string,
    changed: Log,
    damage: DamageKind,
    id: number,
    given: Given = {},
    lineNumber: number = index(id) + 1,
  ): Vector {
    return at(
      about,
      changed,
      damage,
      id,
      id < 12 || damage !== 'altered' ? 6 : 12,
      lineNumber,
      given,
    )
  }
}

/** Where the record `id` stands in its segment, from 0. */
function index(id: number): number {
  return id - (id < 6 ? 1 : id < 12 ? 6 : 12)
}

function at(
  about: string,
  log: Log,
  kind: DamageKind,
  id: number,
  first: number,
  line: number,
  given: Given = {},
): Vector {
  const damage: FoundDamage = { damage: kind, segment: segment(first), line, id }
  return { log, expectation: { about, path: 'log', ...given, report: { ok: false, damage } } }
}

/** A record that follows the one of `line`. */
function forged(line: string): string {
  const { id } = JSON.parse(line) as { id: number }
  return `{"id":${id + 1},"time":"2026-02-03T04:05:24.000Z","kind":"start","version":"0","revision":8,"prev":"${hashOf(line)}"}\n`
}

/** The log without its record 9, every later id and link made right again. */
function rewritten(log: Log): Log {
  const end = chained(linesOf(log, 6).toSpliced(3, 1), 6, receipt(log, 5).hash)
  const third = linesOf(log, 12).map((text) => text.replace('"after":11', '"after":10'))
  return new Map([
    [segment(1), log.get(segment(1)) ?? ''],
    [segment(6), end.join('')],
    [segment(11), chained(third, 11, hashOf(end.at(-1) ?? '')).join('')],
  ])
}

/** The log with its third segment made to follow the first. */
function mixed(log: Log): Log {
  const changed = relinked(log, '"after":11,"before":6', '"after":5,"before":1')
  return put(log, 12, chained(linesOf(changed, 12), 12, receipt(log, 5).hash))
}

/** The log with another first record in its third segment, and what is behind made right again. */
function relinked(log: Log, from: string, to: string): Log {
  const lines = linesOf(log, 12).map((text) => text.replace(from, to))
  return put(log, 12, chained(lines, 12, receipt(log, 11).hash))
}

/** Lines with ids from `first` on, each following the one before and the first following `prev`. */
function chained(lines: readonly string[], first: number, prev: string): string[] {
  let last = prev
  return lines.map((text, position) => {
    const line = text
      .replace(/"id":\d+/, `"id":${first + position}`)
      .replace(/"prev":"\w+"/, `"prev":"${last}"`)
    last = hashOf(line)
    return line
  })
}
