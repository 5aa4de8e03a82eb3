/** What a test vector of the audit log is made of: the files of a log, and what verifying finds. */
import { createHash } from 'node:crypto'
import type { Damage } from '../../../audit/damage.ts'
import type { Receipt } from '../../../audit/record.ts'
import type { VerifyReport } from '../../../audit/verify.ts'

/** The content of `expect.json`. */
export interface Expectation {
  /** What the case is about. */
  readonly about: string
  /** What is verified: the folder `log`, or one file in it. */
  readonly path: string
  /** What the verifier is told beside the path. */
  readonly head?: Receipt
  readonly after?: Receipt
  /** Audit keys by number, in hex. */
  readonly keys?: Readonly<Record<string, string>>
  /** What it finds: everything where nothing is wrong, else the first damage without its words. */
  readonly report: VerifyReport | { readonly ok: false; readonly damage: FoundDamage }
}

/** Damage without its words. */
export type FoundDamage = Omit<Damage, 'message'>

/** The text of a log by the names of its segments. */
export type Log = ReadonlyMap<string, string>

/** A case: its log, and what is expected of it. */
export interface Vector {
  readonly log: Log
  readonly expectation: Expectation
}

/** The name of the segment that begins with the record `id`. */
export function segment(id: number): string {
  return `${String(id).padStart(20, '0')}.jsonl`
}

/** The lines of a segment, each with its newline; the last may lack it. */
export function linesOf(log: Log, id: number): string[] {
  const text = log.get(segment(id))
  if (text === undefined) throw new Error(`There is no segment ${id}`)
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? []
}

/** A copy of a log with another text in the segment `id`; undefined: without it. */
export function put(log: Log, id: number, text: string | readonly string[] | undefined): Log {
  const copy = new Map(log)
  if (text === undefined) copy.delete(segment(id))
  else copy.set(segment(id), typeof text === 'string' ? text : text.join(''))
  return new Map([...copy].toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

/** The receipt of the record `id` of a log. */
export function receipt(log: Log, id: number): Receipt {
  for (const line of [...log.values()].flatMap((text) => text.split('\n'))) {
    if (!line.startsWith(`{"id":${id},`)) continue
    return { id, hash: hashOf(line) }
  }
  throw new Error(`There is no record ${id}`)
}

/** The SHA-256 of a line without its newline, in hex. */
export function hashOf(line: string): string {
  return createHash('sha256').update(line.replace(/\n$/, '')).digest('hex')
}
