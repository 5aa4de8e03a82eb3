/**
 * A record as a line of text, and back. A line is built from the fields listed here and no others,
 * so that nothing can come along on an object that is handed to the log.
 */
import { hash } from 'node:crypto'
import type { Principal } from '../client/api/types.ts'
import type { AuditRecord, Entry, Receipt, SegmentEntry, Stamp } from './record.ts'

/** Bytes that a line may have, and a batch of lines that is written at once. */
export const MAX_WRITE_BYTES: number = 1024 * 1024

/** No record is shorter than this many bytes. */
export const MIN_LINE_BYTES = 128

/** The format of segments that this release writes, and the only one that it knows. */
export const FORMAT = 1

/** What the first record of a log follows: no record, a hash of zeros. */
export const beginning: Receipt = Object.freeze({ id: 0, hash: '0'.repeat(64) })

type Kind = (Entry | SegmentEntry)['kind']
type FieldType = 'string' | 'number' | 'boolean' | 'principal' | 'numbers'
/** A field's name and type; a question mark after the type where the field may be absent. */
type Fields = Readonly<Record<string, FieldType | `${FieldType}?`>>

const actor: Fields = { operator: 'string?', request: 'string?', principal: 'principal?' }

/** The fields of each kind, in the order in which they are written. */
const shapes: Readonly<Record<Kind, Fields>> = {
  access: {
    request: 'string',
    principal: 'principal',
    action: 'string',
    authorized: 'boolean',
    secret: 'string?',
    secretHash: 'string?',
    secretVersion: 'number?',
    node: 'string?',
    client: 'string?',
    held: 'number?',
    via: 'string?',
    account: 'string?',
    result: 'string',
    operation: 'string?',
    asked: 'string?',
    reason: 'string?',
  },
  change: {
    request: 'string',
    principal: 'principal',
    action: 'string',
    authorized: 'boolean',
    secret: 'string',
    secretVersion: 'number?',
    verb: 'string',
  },
  key: { verb: 'string', provider: 'string', fingerprint: 'string', ...actor },
  keyring: {
    verb: 'string',
    entry: 'number',
    fingerprint: 'string',
    versions: 'number?',
    ...actor,
  },
  'root-key': { verb: 'string', number: 'number', fingerprint: 'string', ...actor },
  backup: {
    backup: 'string',
    target: 'string',
    root: 'string?',
    principal: 'principal?',
    operator: 'string?',
  },
  prune: { backup: 'string', target: 'string', principal: 'principal' },
  rehearsal: {
    backup: 'string',
    target: 'string',
    principal: 'principal',
    values: 'number',
    result: 'string',
    reason: 'string?',
  },
  restore: {
    backup: 'string',
    taken: 'number',
    skipped: 'number',
    branch: 'string?',
    root: 'string?',
    operator: 'string',
  },
  backend: {
    request: 'string',
    principal: 'principal',
    action: 'string',
    verb: 'string',
    backend: 'string',
  },
  rotation: {
    request: 'string',
    principal: 'principal',
    action: 'string',
    verb: 'string',
    rotation: 'string',
    secret: 'string',
    secretVersion: 'number?',
    run: 'number?',
    step: 'string?',
    result: 'string?',
    reason: 'string?',
  },
  place: {
    request: 'string',
    principal: 'principal',
    verb: 'string',
    backend: 'string',
    secret: 'string',
    secretVersion: 'number?',
  },
  adopt: { request: 'string', principal: 'principal', action: 'string', branch: 'string' },
  abandoned: { of: 'number', reason: 'string' },
  unidentified: { request: 'string', ip: 'string', reason: 'string' },
  refusals: {
    principal: 'principal?',
    ip: 'string',
    count: 'number',
    first: 'string',
    last: 'string',
  },
  start: { version: 'string', provider: 'string?', fingerprint: 'string?' },
  format: { macsFrom: 'number' },
  stop: { version: 'string' },
  segment: {
    format: 'number',
    log: 'string',
    after: 'number',
    before: 'number',
    torn: 'number',
    open: 'numbers',
    lost: 'number',
    branch: 'string?',
    key: 'number?',
    macsFrom: 'number?',
    unproven: 'number?',
    latest: 'string?',
  },
}

const plans = new Map(
  Object.entries(shapes).map(([kind, fields]) => [
    kind,
    Object.entries(fields).map(([name, type]) => ({
      name,
      prefix: `,"${name}":`,
      type: type.replace('?', '') as FieldType,
      optional: type.endsWith('?'),
    })),
  ]),
)

/**
 * An entry as the middle of a line: `kind`, then its fields in the order of the format, and `salt` unless it has
 * the id of a request, which is as good.
 */
export function encodeEntry(entry: Entry | SegmentEntry, salt: () => string | undefined): string {
  const values = entry as unknown as Readonly<Record<string, unknown>>
  let text = `"kind":"${entry.kind}"`
  for (const { name, prefix, type } of plans.get(entry.kind) ?? []) {
    const value = values[name]
    if (value === undefined) continue
    const isPrincipal = type === 'principal'
    text += prefix + (isPrincipal ? encodePrincipal(value as Principal) : JSON.stringify(value))
  }
  const salted = values['request'] === undefined ? salt() : undefined
  return salted === undefined ? text : `${text},"salt":"${salted}"`
}

/** The whole line, without its newline, around the middle that `encodeEntry` gave. */
export function encodeLine(middle: string, { id, time, revision, prev }: Stamp): string {
  return `{"id":${id},"time":"${time}",${middle},"revision":${revision},"prev":"${prev}"}`
}

/** How many bytes a MAC adds to a line. */
export const MAC_BYTES = 73

/** What takes the place of the last brace of a line that gets a MAC. */
export function macEnding(mac: string): string {
  return `,"mac":"${mac}"}`
}

/** The hash of a line without its MAC; undefined where the line does not end with it. */
export function hashBare(line: Uint8Array, mac: string): string | undefined {
  const at = line.byteLength - MAC_BYTES - 1
  const text = Buffer.from(line.buffer, line.byteOffset, line.byteLength)
  if (at < 0 || text.toString('latin1', at) !== macEnding(mac)) return undefined
  const bare = Buffer.from(text.subarray(0, at + 1))
  bare[at] = 0x7d
  return hashLine(bare)
}

/** The SHA-256 of a line, in hex. */
export function hashLine(line: string | Uint8Array): string {
  return hash('sha256', line, 'hex')
}

/**
 * The record that a line holds; undefined where it holds none. A kind that this release doesn't
 * know is a record too, of which only the stamp and the kind are looked at; so is the header of a
 * segment in another format.
 */
export function decodeLine(bytes: Uint8Array): AuditRecord | undefined {
  const record = parseObject(bytes)
  if (record === null) return undefined
  const { id, time, kind, revision, prev } = record
  if (!Number.isSafeInteger(id) || (id as number) < 1) return undefined
  if (typeof time !== 'string' || !Number.isSafeInteger(revision)) return undefined
  if (typeof kind !== 'string' || !isHash(prev)) return undefined
  if (record['mac'] !== undefined && !isHash(record['mac'])) return undefined
  const otherFormat = kind === 'segment' && record['format'] !== FORMAT
  const plan = otherFormat ? [] : (plans.get(kind) ?? [])
  for (const { name, type, optional } of plan) {
    const value = record[name]
    if (value === undefined ? !optional : !checks[type](value)) return undefined
  }
  return record as unknown as AuditRecord
}

/** Whether this release knows the kind of a record, and so what its fields mean. */
export function isKnown(record: AuditRecord): boolean {
  return plans.has(record.kind)
}

function isHash(value: unknown): boolean {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)
}

const checks: Readonly<Record<FieldType, (value: unknown) => boolean>> = {
  string: (value) => typeof value === 'string',
  number: (value) => Number.isSafeInteger(value),
  boolean: (value) => typeof value === 'boolean',
  numbers: (value) => Array.isArray(value) && value.every((item) => Number.isSafeInteger(item)),
  principal: (value) => {
    if (typeof value !== 'object' || value === null) return false
    const { hostname, ip, user, tags } = value as Readonly<Record<string, unknown>>
    if (typeof hostname !== 'string' || typeof ip !== 'string') return false
    if (user !== undefined && typeof user !== 'string') return false
    return (
      tags === undefined || (Array.isArray(tags) && tags.every((tag) => typeof tag === 'string'))
    )
  },
}

function parseObject({ buffer, byteOffset, byteLength }: Uint8Array) {
  try {
    const value: unknown = JSON.parse(Buffer.from(buffer, byteOffset, byteLength).toString())
    return typeof value === 'object' ? (value as Readonly<Record<string, unknown>> | null) : null
  } catch {
    return null
  }
}

function encodePrincipal({ hostname, ip, user, tags }: Principal): string {
  let text = `{"hostname":${JSON.stringify(hostname)},"ip":${JSON.stringify(ip)}`
  if (user !== undefined) text += `,"user":${JSON.stringify(user)}`
  if (tags !== undefined) text += `,"tags":${JSON.stringify(tags)}`
  return `${text}}`
}
