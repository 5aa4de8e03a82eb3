/** Audit: reads an audit log, from its files or from a server. */
import { nodeFiles } from '../../audit/files.ts'
import { Folder } from '../../audit/folder.ts'
import type { Located } from '../../audit/damage.ts'
import { type Filter, queryLog } from '../../audit/query.ts'
import { toRow } from '../../audit/row.ts'
import { readLog } from '../../audit/reader.ts'
import { damageError } from '../../audit/recovery.ts'
import type { AuditRecord, Receipt, Result } from '../../audit/record.ts'
import type { Timers } from '../../server/platform/timers.ts'
import { verifyLog } from '../../audit/verify.ts'
import { quote, SottoError } from '../../client/api/errors.ts'
import { results } from '../../client/api/types.ts'
import { matches } from '../../server/access.ts'
import { newestAsked, pagesAsked, type Question } from './audit-server.ts'
import type { Invocation } from '../invocation.ts'
import { nearest } from '../nearest.ts'
import { table, visible } from '../terminal/text.ts'

/**
 * `sotto audit verify PATH`: prints the report. Then throws `audit_damaged` for a log that does
 * not verify, and `local` for a path without a log.
 */
export async function auditVerify(invocation: Invocation): Promise<void> {
  const path = invocation.word(0) ?? ''
  const head = receiptFlag(invocation, 'head')
  const after = receiptFlag(invocation, 'after')
  const report = await verifyLog(path, { ...(head && { head }), ...(after && { after }) })
  const { damage, first, last } = report
  if (!damage && last === null) throw noLog(path)
  await invocation.print(report, () =>
    table([
      ['Verifies:', damage ? 'no' : 'yes'],
      ['Records:', String(report.records)],
      ['Segments:', String(report.segments)],
      ['First:', receiptText(first)],
      ['Last:', receiptText(last)],
      ...[
        ['Torn bytes:', `${report.torn}`],
        ['Ids without a record:', `${report.skipped}`],
        ['Unconfirmed records:', `${report.unconfirmed}`],
        ['Lost records:', `${report.lost}`],
      ].filter(([, count]) => count !== '0'),
    ]),
  )
  if (damage) throw damageError(path, damage)
}

function receiptText(receipt: Receipt | null): string {
  return receipt ? `${receipt.id}:${receipt.hash}` : 'none'
}

/** `sotto audit tail`: prints the last records, and with --follow those that are added to the files. */
export async function auditTail(invocation: Invocation): Promise<void> {
  const count = countFlag(invocation, 'lines', 10)
  const path = pathOf(invocation)
  if (path === undefined) {
    refuseFollow(invocation)
    return printAll(invocation, (await newestAsked(invocation, {}, count)).records)
  }
  const last = await lastRecords(path, count)
  await printAll(invocation, last)
  if (!invocation.on('follow')) return
  // Ctrl-C ends it, as it ends any program.
  const follow = new AbortController().signal
  const after = last.at(-1)?.id ?? 0
  for await (const { record } of readLog(path, { after, follow, timers: waiting })) {
    await printRecord(invocation, record)
  }
}

/** The path of the files to read; undefined where the server is to be asked. Throws `usage` for both. */
function pathOf(invocation: Invocation): string | undefined {
  const path = invocation.word(0)
  if (path === undefined || invocation.text('server') === undefined) return path
  const hint = 'Give PATH to read files, or --server to ask a server.'
  throw new SottoError('usage', 'PATH and --server do not go together', { hint })
}

function refuseFollow(invocation: Invocation): void {
  if (!invocation.on('follow')) return
  const message = 'Cannot follow a server: each query to it is recorded in its own log'
  throw new SottoError('usage', message, { hint: 'Give PATH on the machine of the server.' })
}

/** Alarms that keep the process alive: where a log is followed, nothing else does. */
const waiting: Timers = {
  now: () => performance.now(),
  after: (ms, act) => {
    const timer = setTimeout(act, ms)
    return () => clearTimeout(timer)
  },
}

/** `sotto audit query`: prints the records that match all of the flags. */
export async function auditQuery(invocation: Invocation): Promise<void> {
  const question = readQuestion(invocation)
  const limit = countFlag(invocation, 'limit', undefined)
  const path = pathOf(invocation)
  if (path === undefined) return askServer(invocation, question, limit)
  await firstIds(path)
  const found = recordsOf(queryLog(path, filterOf(question), { lenient: invocation.on('lenient') }))
  await printAll(invocation, limit === undefined ? found : await newest(found, limit))
}

function readQuestion(invocation: Invocation): Question {
  return {
    ...given('secret', invocation.text('secret')),
    ...given('principal', invocation.text('principal')),
    ...given('action', invocation.text('action')),
    ...given('result', readResult(invocation.text('result'))),
    ...given('since', readMoment(invocation, 'since')),
    ...given('until', readMoment(invocation, 'until')),
  }
}

function filterOf({ secret, ...question }: Question): Filter {
  if (secret === undefined) return question
  return { ...question, secretMatches: (name) => matches(secret, name) }
}

/** Prints what a server answers. Then throws `audit_damaged` where the log does not verify. */
async function askServer(
  invocation: Invocation,
  question: Question,
  limit: number | undefined,
): Promise<void> {
  let damage: string | undefined
  if (limit === undefined) {
    let isFirst = true
    for await (const page of pagesAsked(invocation, question)) {
      if (isFirst) await printHeader(invocation)
      isFirst = false
      for (const record of page.records) await printRecord(invocation, record)
      damage ??= page.damage
    }
  } else {
    const found = await newestAsked(invocation, question, limit)
    await printAll(invocation, found.records)
    damage = found.damage
  }
  if (damage === undefined || invocation.on('lenient')) return
  throw new SottoError('audit_damaged', `The audit log of the server does not verify, ${damage}`, {
    hint: 'Keep the files as they are, and run `sotto audit verify` on the machine of the server.',
  })
}

/**
 * The last `count` records, reading as few segments as possible. Damage is skipped: it must not hide
 * what came after it, and only `audit verify` can report all of it.
 */
async function lastRecords(path: string, count: number): Promise<AuditRecord[]> {
  const ids = await firstIds(path)
  for (let index = ids.length - 1; ; index--) {
    const after = Math.max(0, (ids[index] ?? 1) - 1)
    const found = await newest(recordsOf(readLog(path, { after, lenient: true })), count)
    if (found.length === count || index <= 0) return found
  }
}

/** The first ids of the segments at a path. Throws `local` where there are none. */
async function firstIds(path: string): Promise<(number | undefined)[]> {
  const { segments } = await Folder.open(nodeFiles, path)
  if (segments.length === 0) throw noLog(path)
  return segments.map(({ id }) => id)
}

function noLog(path: string): SottoError {
  const hint = 'Name the folder `audit` in the state directory, or one of the segments in it.'
  return new SottoError('local', `There is no audit log in ${quote(path)}`, { hint })
}

async function* recordsOf(located: AsyncIterable<Located>): AsyncGenerator<AuditRecord> {
  for await (const { record } of located) yield record
}

async function newest(records: AsyncIterable<AuditRecord>, count: number): Promise<AuditRecord[]> {
  let kept: AuditRecord[] = []
  for await (const each of records) {
    kept.push(each)
    if (kept.length > 2 * count) kept = kept.slice(-count)
  }
  return kept.slice(-count)
}

/** Widths that fit what is common; a longer text moves what follows. */
const widths = { id: 7, time: 24, who: 28, what: 14, secret: 28, version: 7, result: 9 }

async function printHeader(invocation: Invocation): Promise<void> {
  const names = Object.fromEntries(Object.keys(widths).map((name) => [name, name.toUpperCase()]))
  if (!invocation.json) await invocation.io.stdout.write(lineOf({ ...names, note: 'NOTE' }))
}

async function printAll(
  invocation: Invocation,
  records: Iterable<AuditRecord> | AsyncIterable<AuditRecord>,
): Promise<void> {
  await printHeader(invocation)
  for await (const record of records) await printRecord(invocation, record)
}

async function printRecord(invocation: Invocation, record: AuditRecord): Promise<void> {
  await invocation.print(record, () => lineOf({ ...toRow(record) }))
}

function lineOf(row: Readonly<Record<string, string>>): string {
  const cells = Object.entries(widths).map(([name, width]) =>
    visible(row[name] ?? '').padEnd(width),
  )
  return `${[...cells, visible(row['note'] ?? '')].join(' ').trimEnd()}\n`
}

function given<K extends string, T>(key: K, value: T | undefined): Partial<Record<K, T>> {
  return value === undefined ? {} : ({ [key]: value } as Record<K, T>)
}

function receiptFlag(invocation: Invocation, flag: string): Receipt | undefined {
  const text = invocation.text(flag)
  if (text === undefined) return undefined
  const [, id, hash = ''] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text) ?? []
  if (id !== undefined) return { id: Number(id), hash }
  const hint = 'Give what `sotto audit verify` printed as the last record.'
  const message = `Cannot read --${flag}: expected an id and a hash, as in 12:ab34…`
  throw new SottoError('usage', message, { hint })
}

function countFlag<T>(invocation: Invocation, flag: string, absent: T): number | T {
  const text = invocation.text(flag)
  if (text === undefined) return absent
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new SottoError('usage', `Cannot use ${quote(text)} as --${flag}: expected a number above 0`)
}

function readResult(text: string | undefined): Result | undefined {
  const result = results.find((each) => each === text)
  if (text === undefined || result !== undefined) return result
  const meant = nearest(text, results)
  throw new SottoError('usage', `There is no result ${quote(text)}`, {
    hint: meant ? `Did you mean ${quote(meant)}?` : `It is one of: ${results.join(', ')}.`,
  })
}

const units: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }
const date = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(Z|[+-]\d\d:\d\d)?)?$/

/** A moment: a date with or without a time, in UTC unless it says otherwise, or how long ago. */
function readMoment(invocation: Invocation, flag: string): Date | undefined {
  const text = invocation.text(flag)
  if (text === undefined) return undefined
  const [, amount, unit = ''] = /^(\d{1,6})([smhd])$/.exec(text) ?? []
  if (amount !== undefined) {
    return new Date(invocation.io.now() - Number(amount) * (units[unit] ?? 0) * 1000)
  }
  const full = date.exec(text)
  const moment = new Date(full && text.includes('T') && !full[1] ? `${text}Z` : text)
  if (full && !Number.isNaN(moment.getTime())) return moment
  const hint = 'Write 2026-01-31, 2026-01-31T18:00:00Z, or how long ago: 90s, 30m, 24h, 7d.'
  const wanted = 'a date, a date and time, or an age such as 24h'
  throw new SottoError('usage', `Cannot use ${quote(text)} as --${flag}: expected ${wanted}`, {
    hint,
  })
}
