/** The order in which a server must write, sync and answer, held against a trace of its system calls. */
import { basename, dirname, join } from 'node:path'
import type { SystemCall } from './trace.ts'

/** A request that the log has a record of. */
export interface Recorded {
  /** Its id, as the header of its answer told. */
  readonly request: string
  readonly kind: 'access' | 'change'
  /** The SHA-256 of its record, which the store keeps beside a change. */
  readonly hash: string
}

/** A trace of a server on a state directory. */
export interface Traced {
  readonly state: string
  readonly calls: readonly SystemCall[]
}

/** What was looked at, in numbers, and what is wrong. */
export interface Findings {
  readonly problems: readonly string[]
  /** Answers that were held against their record, and those of changes. */
  readonly answers: number
  readonly changes: number
  /** Answers that were sent while a write to the log was under way for others. */
  readonly interleaved: number
}

const syncs = new Set(['fsync', 'fdatasync'])
const writes = new Set(['write', 'writev', 'pwrite64', 'pwritev', 'pwritev2', 'sendto', 'sendmsg'])

/**
 * Holds every answer against the record and the commit that must be durable before it. Requests of
 * which the trace has no answer are passed over.
 */
export function checkAnswers({ state, calls }: Traced, requests: readonly Recorded[]): Findings {
  const problems: string[] = []
  const audit = calls.filter(({ name, target }) => writes.has(name) && isSegment(state, target))
  const wal = calls.filter(({ target }) => target === `${join(state, 'sotto.db')}-wal`)
  const answers = answersIn(calls)
  let changes = 0
  let interleaved = 0
  let count = 0
  for (const { request, kind, hash } of requests) {
    const answer = answers.get(request)
    if (answer === undefined) continue
    count++
    const record = audit.find(({ args }) => args.includes(`\\"request\\":\\"${request}\\"`))
    if (record === undefined) problems.push(`${request}: its record was never written`)
    else if (!isComplete(record)) problems.push(`${request}: its record was written in part`)
    else if (record.ended >= answer.begun) {
      problems.push(`${request}: answered before its record was written`)
    }
    if (audit.some((each) => each.begun < answer.begun && each.ended > answer.begun)) interleaved++
    if (kind === 'access') continue
    changes++
    const frame = wal.find(({ name, args }) => writes.has(name) && args.includes(hash))
    if (frame === undefined) {
      problems.push(`${request}: its change was never written`)
      continue
    }
    if (record && record.ended >= frame.begun) {
      problems.push(`${request}: changed before its record was written`)
    }
    const sync = wal.find(({ name, begun }) => syncs.has(name) && begun > frame.ended)
    if (sync === undefined || sync.result !== 0 || sync.ended >= answer.begun) {
      problems.push(`${request}: answered before its change was synced`)
    }
  }
  return { problems, answers: count, changes, interleaved }
}

/**
 * Holds every segment of the log against the rules of its making: opened so that each write is
 * durable when it returns; its first record, its file and its name synced before the second write;
 * and what was there before synced too, since a killed server may have left it in memory.
 */
export function checkSegments({ state, calls }: Traced): string[] {
  const problems: string[] = []
  const made = calls.filter(({ args, result }) => makesSegment(state, args) && (result ?? -1) >= 0)
  if (made.length === 0) problems.push('no segment was made')
  for (const open of made) {
    const path = /"([^"]+)"/.exec(open.args)?.[1] ?? ''
    const flags = /"[^"]+", (\S+?)(?:,|$)/.exec(open.args)?.[1]?.split('|') ?? []
    for (const flag of ['O_WRONLY', 'O_CREAT', 'O_EXCL', 'O_DSYNC']) {
      if (!flags.includes(flag)) problems.push(`${basename(path)} was opened without ${flag}`)
    }
    const own = calls.filter(({ target, begun }) => target === path && begun > open.ended)
    const [header, second] = own.filter(({ name }) => writes.has(name))
    if (!header?.args.includes('\\"kind\\":\\"segment\\"')) {
      problems.push(`${basename(path)} does not begin with its header`)
      continue
    }
    const before = second?.begun ?? Number.POSITIVE_INFINITY
    const inTime = (call: SystemCall, target: string) =>
      syncs.has(call.name) &&
      call.target === target &&
      call.result === 0 &&
      call.begun > header.ended &&
      call.ended < before
    if (!own.some((call) => inTime(call, path))) problems.push(`${basename(path)} was not synced`)
    if (!calls.some((call) => inTime(call, dirname(path)))) {
      problems.push(`the name of ${basename(path)} was not synced`)
    }
  }
  const before = made[0]?.begun ?? 0
  const found = calls.filter(({ args, ended }) => ended < before && opensSegment(state, args))
  const newest = found
    .flatMap(({ args }) => /"([^"]+)"/.exec(args)?.[1] ?? [])
    .toSorted()
    .at(-1)
  const synced = calls.some(
    ({ name, target, ended }) => syncs.has(name) && target === newest && ended < before,
  )
  if (newest !== undefined && !synced) problems.push(`${basename(newest)}, found, was not synced`)
  return problems
}

/**
 * Holds the store's checkpoints against their rule: pages are moved into the file only from a synced
 * log, and the log is begun again, cut or removed only once the file is synced.
 */
export function checkCheckpoints({ state, calls }: Traced): { problems: string[]; pages: number } {
  const problems: string[] = []
  const file = join(state, 'sotto.db')
  const log = `${file}-wal`
  let pages = 0
  let loosePages = false
  let looseFrames = false
  for (const call of calls.toSorted((a, b) => a.ended - b.ended)) {
    const { name, target, args } = call
    const anew = name === 'pwrite64' && target === log && args.endsWith(', 32, 0')
    const cut = name === 'ftruncate' && target === log
    const removed = name.startsWith('unlink') && args.includes(`"${log}"`)
    if ((anew || cut || removed) && loosePages) {
      problems.push('the log of the store was given up before its pages were synced')
    }
    if (target === file) {
      if (writes.has(name)) {
        pages++
        loosePages = true
        if (looseFrames) problems.push('a page was moved into the store before its log was synced')
      }
      if (syncs.has(name)) loosePages = false
    } else if (target === log) {
      if (writes.has(name)) looseFrames = true
      if (syncs.has(name) && call.result === 0) looseFrames = false
    }
  }
  return { problems, pages }
}

/**
 * Holds the making of a state directory against the order in which it must become durable before
 * the server says that it listens.
 */
export function checkMaking({ state, calls }: Traced): string[] {
  const problems: string[] = []
  const listening = calls.find(
    ({ name, args }) => name === 'write' && args.includes('"listening on'),
  )
  if (listening === undefined) return ['the server never said that it listens']
  const synced = (target: string, after: SystemCall | undefined, before: SystemCall) =>
    calls.some(
      (call) =>
        syncs.has(call.name) &&
        call.target === target &&
        call.begun > (after?.ended ?? -1) &&
        call.ended < before.begun,
    )
  const folder = (path: string) =>
    calls.find(
      ({ name, args, result }) => name === 'mkdir' && result === 0 && args.startsWith(`"${path}"`),
    )
  const link = calls.find(({ name, args }) => name.startsWith('link') && args.includes('sotto.db"'))
  if (link === undefined) return ['the store was not put in its place whole']
  const draft = /"([^"]+\.new)"/.exec(link.args)?.[1] ?? ''
  const lastWrite = (path: string) =>
    calls.findLast(
      ({ name, target, begun }) => writes.has(name) && target === path && begun < link.begun,
    )
  const key = join(state, 'local.key')
  if (!synced(key, lastWrite(key), link)) problems.push('the key was not synced before the store')
  if (!synced(draft, lastWrite(draft), link)) problems.push('the store was not synced')
  if (!synced(state, link, listening)) problems.push('the name of the store was not synced')
  const audit = join(state, 'audit')
  if (!synced(state, folder(audit), listening)) problems.push('the log’s folder was not synced')
  if (!synced(dirname(state), folder(state), listening)) {
    problems.push('the name of the state directory was not synced')
  }
  return problems
}

/** The write that an answer began with, by the id of its request. */
function answersIn(calls: readonly SystemCall[]): Map<string, SystemCall> {
  const found = new Map<string, SystemCall>()
  for (const call of calls) {
    if (!call.target?.startsWith('TCP') || !writes.has(call.name)) continue
    for (const [, request = ''] of call.args.matchAll(/X-Request-Id: ([\w-]+)\\r/g)) {
      if (!found.has(request)) found.set(request, call)
    }
  }
  return found
}

function isSegment(state: string, target: string | undefined): boolean {
  return target !== undefined && dirname(target) === join(state, 'audit')
}

/** Whether arguments of `openat` open a segment. */
function opensSegment(state: string, args: string): boolean {
  return args.includes(`"${join(state, 'audit')}/`) && args.includes('.jsonl", O_')
}

function makesSegment(state: string, args: string): boolean {
  return opensSegment(state, args) && args.includes('O_CREAT')
}

/** Whether a write took all that it was given. */
function isComplete({ name, args, result }: SystemCall): boolean {
  // The number of bytes is the last argument, or the one before the position.
  const number = name === 'pwrite64' ? /, (\d+), \d+$/ : /, (\d+)$/
  return result !== undefined && result === Number(number.exec(args)?.[1])
}
