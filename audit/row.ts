/** Words the records of a log for people. */
import type { Principal } from '../client/api/types.ts'
import type { Judged } from './outcomes.ts'
import type { AuditRecord, KeyActor } from './record.ts'
import { whatOf } from './vocabulary.ts'

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
export function toRow(record: Judged): Row {
  // A server of a later release may have kinds that this one does not know.
  const wordsOf = words[record.kind] as ((record: AuditRecord) => Words) | undefined
  const { id, time, outcome = 'result' in record ? record.result : '' } = record
  const row = { id: String(id), time: plain(time), who: '', what: plain(whatOf(record)) }
  const rest = { secret: '', version: '', result: plain(outcome), note: '' }
  const known = { ...row, ...rest, ...wordsOf?.(record) }
  if (record.unconfirmed !== true) return known
  return { ...known, note: ['not confirmed', known.note].filter((each) => each !== '').join('; ') }
}

type Kind = AuditRecord['kind']
type Words = Partial<Omit<Row, 'what' | 'result'>>
type WordsOf = { readonly [K in Kind]: (record: Extract<AuditRecord, { kind: K }>) => Words }

const words = {
  access: ({ principal, secret, secretVersion, reason }) => ({
    who: nameOf(principal),
    ...secretWords(secret, secretVersion),
    note: plain(reason ?? ''),
  }),
  change: ({ principal, secret, secretVersion }) => ({
    who: nameOf(principal),
    ...secretWords(secret, secretVersion),
  }),
  key: (record) => ({
    who: actorOf(record),
    note: plain(`${record.provider} key ${record.fingerprint}`),
  }),
  keyring: (record) => {
    const { entry, fingerprint, versions } = record
    const count = versions === undefined ? '' : `, ${versions} versions`
    const note = `entry ${entry}, ${plain(fingerprint)}${count}`
    return { who: actorOf(record), note }
  },
  'root-key': (record) => ({
    who: actorOf(record),
    note: plain(`root key ${record.number}, ${record.fingerprint}`),
  }),
  backup: ({ principal, operator = '', backup, target }) => ({
    who: principal ? nameOf(principal) : plain(operator),
    note: plain(`${backup} to ${target}`),
  }),
  prune: ({ principal, backup, target }) => ({
    who: nameOf(principal),
    note: plain(`${backup} in ${target}`),
  }),
  rehearsal: ({ principal, backup, values, reason }) => ({
    who: nameOf(principal),
    note: plain(`${backup}: ${reason ?? `${values} values opened`}`),
  }),
  restore: ({ operator, backup, taken, skipped }) => ({
    who: plain(operator),
    note: plain(`${backup}, revision ${taken}, ${skipped} numbers skipped`),
  }),
  backend: ({ principal, backend }) => ({
    who: nameOf(principal),
    note: plain(backend),
  }),
  rotation: ({ principal, rotation, secret, secretVersion, run, step, reason }) => ({
    who: nameOf(principal),
    ...secretWords(secret, secretVersion),
    note: plain(
      [rotation, run !== undefined && `run ${run}`, step, reason].filter(Boolean).join(', '),
    ),
  }),
  place: ({ principal, backend, secret, secretVersion }) => ({
    who: nameOf(principal),
    ...secretWords(secret, secretVersion),
    note: plain(backend),
  }),
  adopt: ({ principal, branch }) => ({
    who: nameOf(principal),
    note: plain(`branch ${branch}`),
  }),
  abandoned: ({ of, reason }) => ({ note: `record ${of}: ${plain(reason)}` }),
  unidentified: ({ ip, reason }) => ({ who: plain(ip), note: plain(reason) }),
  refusals: ({ principal, ip, count, first, last }) => ({
    who: principal === undefined ? plain(ip) : nameOf(principal),
    note: `${count} from ${plain(first)} to ${plain(last)}`,
  }),
  start: ({ version, provider, fingerprint = '' }) => {
    const opened = provider === undefined ? '' : `, opened with ${provider} key ${fingerprint}`
    return { note: plain(`${version}${opened}`) }
  },
  format: ({ macsFrom }) => ({
    note: `each batch has a MAC from record ${macsFrom} on`,
  }),
  stop: ({ version }) => ({ note: plain(version) }),
  segment: ({ after, lost }) => ({ note: `after record ${after}, ${lost} lost` }),
} satisfies WordsOf

function secretWords(name: string | undefined, version: number | undefined): Partial<Row> {
  return { secret: plain(name ?? ''), version: version === undefined ? '' : String(version) }
}

function actorOf({ operator = '', principal }: KeyActor): string {
  return principal === undefined ? plain(operator) : nameOf(principal)
}

/** A person, or the tags, and the node. */
export function nameOf({ user, tags, hostname }: Principal): string {
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
