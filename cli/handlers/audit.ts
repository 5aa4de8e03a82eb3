/** Audit: reads an audit log, from its files or from a server. */
import { nodeFiles } from '../../audit/files.ts'
import { Folder } from '../../audit/folder.ts'
import { shown } from '../../audit/damage.ts'
import { type Filter, queryLog } from '../../audit/query.ts'
import type { Judged } from '../../audit/outcomes.ts'
import { auditWords } from '../../audit/vocabulary.ts'
import { readLog } from '../../audit/reader.ts'
import { damageError } from '../../audit/recovery.ts'
import type { Receipt } from '../../audit/record.ts'
import type { Timers } from '../../client/platform/timers.ts'
import { verifyLog } from '../../audit/verify.ts'
import { quote, SottoError } from '../../client/api/errors.ts'
import { momentOf } from '../../client/api/times.ts'
import { outcomes } from '../../client/api/types.ts'
import { matches } from '../../server/access.ts'
import { auditKeysOf } from '../../server/start/offline.ts'
import { keysConfig } from './keys-at.ts'
import { AuditRows } from './audit-rows.ts'
import { newestAsked, pagesAsked, type Question } from './audit-server.ts'
import type { Invocation } from '../invocation.ts'
import { nearest } from '../../client/api/nearest.ts'
import { table } from '../terminal/table.ts'

/**
 * `sotto audit verify PATH`: prints the report. Then throws `audit_damaged` for a log that does
 * not verify, and `local` for a path without a log.
 */
export async function auditVerify(invocation: Invocation): Promise<void> {
  const path = invocation.word(0) ?? ''
  const head = receiptFlag(invocation, 'head')
  const after = receiptFlag(invocation, 'after')
  const withKey = invocation.text('state-dir') !== undefined
  const keys = withKey ? await auditKeysOf(keysConfig(invocation)) : undefined
  const report = await verifyLog(path, { ...keys, ...(head && { head }), ...(after && { after }) })
  const { damage, first, last } = report
  if (!damage && last === null) throw noLog(path)
  const rows = [
    ['Verifies:', damage ? 'no' : 'yes'],
    ['Records:', String(report.records)],
    ['Segments:', String(report.segments)],
    ['First:', receiptText(first)],
    ['Last:', receiptText(last)],
    ['MACs:', macsText(report.macs ?? 0, withKey)],
    ...[
      ['Torn bytes:', `${report.torn}`],
      ['Ids without a record:', `${report.skipped}`],
      ['Unconfirmed records:', `${report.unconfirmed}`],
      ['At the end without a MAC:', report.unproven ? unprovenText(report.unproven) : '0'],
      ['Lost records:', `${report.lost}`],
    ].filter(([, count]) => count !== '0'),
  ]
  await invocation.print(report, (room) => table(rows, { room }))
  if (damage) throw damageError(path, damage)
}

function macsText(macs: number, verified: boolean): string {
  if (macs === 0) return 'none: without them the end of a log does not show whether it was added to'
  if (verified) return `${macs} verified`
  return `${macs} not verified: that takes the key of the store, by --state-dir`
}

function unprovenText({ count, from }: { readonly count: number; readonly from: number }): string {
  return `${count} from ${from} on: a write that was cut short, or not the server's`
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
    await printAll(invocation, (await newestAsked(invocation, {}, count)).records)
    return
  }
  const last = await lastRecords(path, count)
  const rows = await printAll(invocation, last)
  if (!invocation.on('follow')) return
  // Ctrl-C ends it, as it ends any program.
  const follow = new AbortController().signal
  const after = last.at(-1)?.id ?? 0
  for await (const found of readLog(path, { after, follow, timers: waiting })) {
    await rows.add(shown(found))
    await rows.flush()
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
  let looked = 0
  const options = { lenient: invocation.on('lenient'), look: () => void looked++ }
  const found = queryLog(path, filterOf(question), options)
  const { count } = await printAll(
    invocation,
    limit === undefined ? found : await newest(found, limit),
  )
  await noteLooked(invocation, count, looked)
}

function readQuestion(invocation: Invocation): Question {
  return {
    ...given('secret', invocation.text('secret')),
    ...given('principal', invocation.text('principal')),
    ...given('action', readWord(invocation.text('action'), 'action', auditWords)),
    ...given('outcome', readWord(invocation.text('result'), 'result', outcomes)),
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
  let looked = 0
  const records = async function* records(): AsyncGenerator<Judged> {
    const pages =
      limit === undefined
        ? pagesAsked(invocation, question)
        : [await newestAsked(invocation, question, limit)]
    for await (const page of pages) {
      looked += page.looked
      damage ??= page.damage
      yield* page.records
    }
  }
  const { count } = await printAll(invocation, records())
  await noteLooked(invocation, count, looked)
  if (damage === undefined || invocation.on('lenient')) return
  throw new SottoError('audit_damaged', `The audit log of the server does not verify, ${damage}`, {
    hint: 'Keep the files as they are, and run `sotto audit verify` on the machine of the server.',
  })
}

/**
 * The last `count` records, reading as few segments as possible. Damage is skipped: it must not hide
 * what came after it, and only `audit verify` can report all of it.
 */
async function lastRecords(path: string, count: number): Promise<Judged[]> {
  const ids = await firstIds(path)
  for (let index = ids.length - 1; ; index--) {
    const after = Math.max(0, (ids[index] ?? 1) - 1)
    const found = await newest(queryLog(path, {}, { after, lenient: true }), count)
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

async function newest(records: AsyncIterable<Judged>, count: number): Promise<Judged[]> {
  let kept: Judged[] = []
  for await (const each of records) {
    kept.push(each)
    if (kept.length > 2 * count) kept = kept.slice(-count)
  }
  return kept.slice(-count)
}

/** Prints all that there are, also those before an error. */
async function printAll(
  invocation: Invocation,
  records: Iterable<Judged> | AsyncIterable<Judged>,
): Promise<AuditRows> {
  const rows = new AuditRows(invocation)
  try {
    for await (const record of records) await rows.add(record)
  } catch (error) {
    if (rows.count > 0) await rows.flush()
    throw error
  }
  await rows.flush()
  return rows
}

/** So that an empty answer shows whether there was anything to find. */
async function noteLooked(invocation: Invocation, matched: number, looked: number): Promise<void> {
  if (invocation.json) return
  const records = matched === 1 ? '1 record' : `${matched} records`
  await invocation.io.stderr.write(`${records} matched, of ${looked} looked at\n`)
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

function readWord<T extends string>(
  text: string | undefined,
  what: string,
  words: readonly T[],
): T | undefined {
  const word = words.find((each) => each === text)
  if (text === undefined || word !== undefined) return word
  const meant = nearest(text, words)
  throw new SottoError('usage', `There is no ${what} ${quote(text)}`, {
    hint: meant ? `Did you mean ${quote(meant)}?` : `It is one of: ${words.join(', ')}.`,
  })
}

function readMoment(invocation: Invocation, flag: string): Date | undefined {
  const text = invocation.text(flag)
  return text === undefined ? undefined : momentOf(flag, text, invocation.io.now())
}
