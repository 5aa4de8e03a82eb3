/** Answers questions such as "who read this?" from a log, and words its records for people. */
import type { Principal } from '../client/api/types.ts'
import type { Located } from './damage.ts'
import { nodeFiles, type FileSystem } from './files.ts'
import { Folder } from './folder.ts'
import { decodeLine } from './line.ts'
import { LineReader } from './line-reader.ts'
import { type ReadOptions, readLog } from './reader.ts'
import type { AuditRecord, KeyActor, Result } from './record.ts'

/** Which records are asked for: those that match everything that is given. */
export interface Filter {
  /** Whether the name of the secret is one that is asked for; records without a name don't match. */
  readonly secretMatches?: (name: string) => boolean
  /** A login name, a tag, the name of a node, or an address. */
  readonly principal?: string
  readonly action?: string
  /** How an access came out; changes have no result and don't match. */
  readonly result?: Result
  readonly kinds?: readonly AuditRecord['kind'][]
  /** The first moment that is asked for. */
  readonly since?: Date
  /** The first moment that no longer is. */
  readonly until?: Date
}

/**
 * The records of the log at `path` that match, in order. With `since`, segments that end before it
 * by the times of their first records are not opened. Throws what `readLog` throws.
 */
export async function* queryLog(
  path: string,
  filter: Filter,
  options: ReadOptions = {},
): AsyncGenerator<Located> {
  const { since } = filter
  const earliest = since ? await segmentBefore(options.files ?? nodeFiles, path, since) : 0
  // Behind the record before the segment's first: from its first on.
  const after = Math.max(options.after ?? 0, earliest - 1)
  for await (const found of readLog(path, { ...options, after })) {
    if (isAsked(filter, found.record)) yield found
  }
}

/** Whether a record is one that is asked for. */
export function isAsked(filter: Filter, record: AuditRecord): boolean {
  const { secretMatches, principal, action, result, kinds, since, until } = filter
  if (kinds !== undefined && !kinds.includes(record.kind)) return false
  if (since !== undefined && record.time < since.toISOString()) return false
  if (until !== undefined && record.time >= until.toISOString()) return false
  if (action !== undefined && !('action' in record && record.action === action)) return false
  if (result !== undefined && !('result' in record && record.result === result)) return false
  if (principal !== undefined && !concerns(record, principal)) return false
  if (secretMatches === undefined) return true
  return 'secret' in record && record.secret !== undefined && secretMatches(record.secret)
}

/** A record in words, to be set in columns: none has a control character or a line break. */
export interface Row {
  readonly id: string
  readonly time: string
  /** The person or the tags, and the node. */
  readonly who: string
  /** The action, or what else the record tells of. */
  readonly what: string
  readonly secret: string
  readonly version: string
  readonly result: string
  /** The reason, or what else there is to know. */
  readonly note: string
}

/** The row of a record. */
export function toRow(record: AuditRecord): Row {
  const empty = { who: '', secret: '', version: '', result: '', note: '' }
  return { ...empty, id: String(record.id), time: plain(record.time), ...wordsOf(record) }
}

type Words = Partial<Row> & Pick<Row, 'what'>

function wordsOf(record: AuditRecord): Words {
  if (record.kind === 'access') {
    const { principal, action, operation, secret, secretVersion, result, reason = '' } = record
    const named = secretWords(secret, secretVersion)
    const what = plain(operation ?? action)
    return { who: nameOf(principal), what, ...named, result: plain(result), note: plain(reason) }
  }
  if (record.kind === 'change') {
    const { principal, verb, secret, secretVersion } = record
    return { who: nameOf(principal), what: plain(verb), ...secretWords(secret, secretVersion) }
  }
  if (record.kind === 'key') {
    const { verb, provider, fingerprint } = record
    const note = plain(`${provider} key ${fingerprint}`)
    return { who: actorOf(record), what: plain(`key ${verb}`), note }
  }
  if (record.kind === 'keyring') {
    const { verb, entry, fingerprint, versions } = record
    const note = `entry ${entry}, ${plain(fingerprint)}`
    const count = versions === undefined ? '' : `, ${versions} versions`
    return { who: actorOf(record), what: plain(`keyring ${verb}`), note: note + count }
  }
  if (record.kind === 'backup') {
    const { principal, operator = '', backup, target } = record
    const who = principal ? nameOf(principal) : plain(operator)
    return { who, what: 'backup', note: plain(`${backup} to ${target}`) }
  }
  if (record.kind === 'prune') {
    const { principal, backup, target } = record
    return { who: nameOf(principal), what: 'prune', note: plain(`${backup} in ${target}`) }
  }
  if (record.kind === 'rehearsal') {
    const { principal, backup, values, result, reason } = record
    const note = plain(`${backup}: ${reason ?? `${values} values opened`}`)
    return { who: nameOf(principal), what: 'rehearsal', result: plain(result), note }
  }
  if (record.kind === 'restore') {
    const { operator, backup, taken, skipped } = record
    const note = plain(`${backup}, revision ${taken}, ${skipped} numbers passed over`)
    return { who: plain(operator), what: 'restore', note }
  }
  if (record.kind === 'backend') {
    const { principal, verb, backend } = record
    return { who: nameOf(principal), what: plain(`backend ${verb}`), note: plain(backend) }
  }
  if (record.kind === 'abandoned') {
    return { what: 'abandoned', note: `record ${record.of}: ${plain(record.reason)}` }
  }
  if (record.kind === 'unidentified') {
    return { who: plain(record.ip), what: 'unidentified', note: plain(record.reason) }
  }
  if (record.kind === 'refusals') {
    const { principal, ip, count, first, last } = record
    const who = principal === undefined ? plain(ip) : nameOf(principal)
    return { who, what: 'refusals', note: `${count} from ${plain(first)} to ${plain(last)}` }
  }
  if (record.kind === 'segment') {
    return { what: 'segment', note: `after record ${record.after}, ${record.lost} lost` }
  }
  if (record.kind === 'start' && record.provider !== undefined) {
    const { version, provider, fingerprint = '' } = record
    return { what: 'start', note: plain(`${version}, opened with ${provider} key ${fingerprint}`) }
  }
  return { what: record.kind, note: plain(record.version) }
}

function secretWords(name: string | undefined, version: number | undefined): Partial<Row> {
  return { secret: plain(name ?? ''), version: version === undefined ? '' : String(version) }
}

function actorOf({ operator = '', principal }: KeyActor): string {
  return principal === undefined ? plain(operator) : nameOf(principal)
}

function nameOf({ user, tags, hostname }: Principal): string {
  const names = user === undefined ? (tags ?? []) : [user]
  return [...names, hostname]
    .filter((name) => name !== '')
    .map(plain)
    .join(' ')
}

/** Text that cannot act on a terminal or pass for several columns: in quotes unless it is plain. */
function plain(text: string): string {
  if (/^[\p{L}\p{N}\p{P}\p{S} ]*$/u.test(text)) return text
  return JSON.stringify(text).replaceAll(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u{${char.codePointAt(0)?.toString(16)}}`,
  )
}

function concerns(record: AuditRecord, name: string): boolean {
  if ('ip' in record && record.ip === name) return true
  // The user of the system, and the host.
  if ('operator' in record && record.operator !== undefined) {
    return [record.operator, record.operator.split(' on ')[0]].includes(name)
  }
  const principal = 'principal' in record ? record.principal : undefined
  if (principal === undefined) return false
  const { user, tags = [], hostname, ip } = principal
  return user === name || hostname === name || ip === name || tags.includes(name)
}

/** The first id of the last segment that began before a moment; 0 where none did. */
export async function segmentBefore(
  files: FileSystem,
  path: string,
  moment: Date,
): Promise<number> {
  const folder = await Folder.open(files, path)
  if (folder.single) return 0
  for (const segment of folder.segments.toReversed()) {
    const file = await folder.openSegment(segment)
    try {
      const line = await new LineReader(file).next()
      const record = line === undefined ? undefined : decodeLine(line.bytes)
      if (record !== undefined && record.time < moment.toISOString()) return record.id
    } finally {
      await file.close()
    }
  }
  return 0
}
