/** Words the records of a log for people. */
import type { Principal } from '../client/api/types.ts'
import type { AuditRecord, KeyActor } from './record.ts'

/** A record in words, to be set in columns: none has a control character or a line break. */
export interface Row {
  readonly id: string
  readonly time: string
  /** The person or the tags, and the node. */
  readonly who: string
  /** The action, or what else the record is about. */
  readonly what: string
  readonly secret: string
  readonly version: string
  readonly result: string
  /** The reason, or what else there is to know. */
  readonly note: string
}

/** The row of a record. */
export function toRow(record: AuditRecord): Row {
  // A server of a later release may have kinds that this one does not know.
  const wordsOf = words[record.kind] as ((record: AuditRecord) => Words) | undefined
  const { id, time, kind } = record
  const row = { id: String(id), time: plain(time), who: '', what: plain(kind), secret: '' }
  return { ...row, version: '', result: '', note: '', ...wordsOf?.(record) }
}

type Kind = AuditRecord['kind']
type Words = Partial<Row> & Pick<Row, 'what'>
type WordsOf = { readonly [K in Kind]: (record: Extract<AuditRecord, { kind: K }>) => Words }

const words = {
  access: ({ principal, action, operation, secret, secretVersion, result, reason }) => ({
    who: nameOf(principal),
    what: plain(operation ?? action),
    ...secretWords(secret, secretVersion),
    result: plain(result),
    note: plain(reason ?? ''),
  }),
  change: ({ principal, verb, secret, secretVersion }) => ({
    who: nameOf(principal),
    what: plain(verb),
    ...secretWords(secret, secretVersion),
  }),
  key: (record) => ({
    who: actorOf(record),
    what: plain(`key ${record.verb}`),
    note: plain(`${record.provider} key ${record.fingerprint}`),
  }),
  keyring: (record) => {
    const { verb, entry, fingerprint, versions } = record
    const count = versions === undefined ? '' : `, ${versions} versions`
    const note = `entry ${entry}, ${plain(fingerprint)}${count}`
    return { who: actorOf(record), what: plain(`keyring ${verb}`), note }
  },
  backup: ({ principal, operator = '', backup, target }) => ({
    who: principal ? nameOf(principal) : plain(operator),
    what: 'backup',
    note: plain(`${backup} to ${target}`),
  }),
  prune: ({ principal, backup, target }) => ({
    who: nameOf(principal),
    what: 'prune',
    note: plain(`${backup} in ${target}`),
  }),
  rehearsal: ({ principal, backup, values, result, reason }) => ({
    who: nameOf(principal),
    what: 'rehearsal',
    result: plain(result),
    note: plain(`${backup}: ${reason ?? `${values} values opened`}`),
  }),
  restore: ({ operator, backup, taken, skipped }) => ({
    who: plain(operator),
    what: 'restore',
    note: plain(`${backup}, revision ${taken}, ${skipped} numbers skipped`),
  }),
  backend: ({ principal, verb, backend }) => ({
    who: nameOf(principal),
    what: plain(`backend ${verb}`),
    note: plain(backend),
  }),
  abandoned: ({ of, reason }) => ({ what: 'abandoned', note: `record ${of}: ${plain(reason)}` }),
  unidentified: ({ ip, reason }) => ({ who: plain(ip), what: 'unidentified', note: plain(reason) }),
  refusals: ({ principal, ip, count, first, last }) => ({
    who: principal === undefined ? plain(ip) : nameOf(principal),
    what: 'refusals',
    note: `${count} from ${plain(first)} to ${plain(last)}`,
  }),
  start: ({ version, provider, fingerprint = '' }) => {
    const opened = provider === undefined ? '' : `, opened with ${provider} key ${fingerprint}`
    return { what: 'start', note: plain(`${version}${opened}`) }
  },
  stop: ({ version }) => ({ what: 'stop', note: plain(version) }),
  segment: ({ after, lost }) => ({ what: 'segment', note: `after record ${after}, ${lost} lost` }),
} satisfies WordsOf

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
