/**
 * Tells which records of a log the server wrote: those of a batch, the lines of one write, whose last line has
 * a MAC over the hashes of all of them. Such a MAC takes a key of the store; the chain of hashes takes none.
 */
import type { Damage, Located } from './damage.ts'
import type { SegmentEntry, Stamp } from './record.ts'

/** The keys of batches, each with a number; the newest makes MACs, the others only verify. */
export interface BatchKeys {
  /** Their numbers, the newest first. */
  readonly auditKeys: readonly number[]
  /** The MAC over hashes in hex, in hex, by the key of that number; absent: the newest. Throws for one it lacks. */
  auditMac(
    hashes: readonly string[],
    number?: number,
  ): { readonly number: number; readonly mac: string }
}

/** What the writer of a log makes MACs with. */
export interface BatchMacs {
  readonly keys: BatchKeys
  /** The branch of the store. */
  readonly branch: string
  /** The record from which on every batch has a MAC. Read when a segment begins. */
  readonly from: () => number
}

/** Records of a segment that are in no batch with a MAC, at its end. */
export interface Unproven {
  readonly first: Located
  readonly count: number
  /** Of their lines, with the newlines. */
  readonly bytes: number
}

/** A record with the length of its line, and the hash of the line without its MAC. */
export interface Read extends Located {
  readonly bytes: number
  readonly bare?: string
}

/** No more records are held: one write has at most so many lines. */
const MAX_HELD = 8192

/** The batches of the log that a walk goes through. */
export class Batches {
  readonly #keys: BatchKeys | undefined
  /** The id from which on every batch has a MAC. */
  #from: number
  /** The number of the key of the segment; undefined where its batches have none. */
  #key: number | undefined
  #newestKey = 0
  #unproven: Unproven | undefined
  /** Records of batches that have no valid MAC, and then those of the batch that did not end yet. */
  #strange: Read[] = []
  #held: Read[] = []

  /** Without keys, a MAC is taken for a good one. Batches have one from the record `from` on, and where the log says so. */
  constructor(keys: BatchKeys | undefined, from = Number.POSITIVE_INFINITY) {
    this.#keys = keys
    this.#from = from
  }

  /** Records after the last proven one, in segments that ended. */
  get unproven(): Unproven | undefined {
    return this.#unproven
  }

  /** Whether the batch of the last record did not end yet. */
  get isOpen(): boolean {
    return this.#held.length > 0
  }

  /** Takes the next record. Gives what can be told by now: damage, and records, each of which comes once. */
  *take(found: Read): Generator<Located | Damage> {
    const { record } = found
    if (found.line === 1 && record.kind === 'segment') {
      const damage = this.#begin(found, record)
      if (damage !== undefined) yield damage
    }
    if (this.#key === undefined) {
      yield found
      return
    }
    this.#held.push(found)
    if (this.#held.length + this.#strange.length > MAX_HELD) {
      yield forged(
        this.#first() ?? found,
        'more records than one write has are without a valid MAC',
      )
      yield* this.#release()
    }
    if (record.mac === undefined) return
    if (!this.#isValid(found.bare, record.mac)) {
      this.#strange.push(...this.#held.splice(0))
      return
    }
    const [strange] = this.#strange
    if (strange !== undefined) yield forged(strange, `record ${strange.record.id} has no valid MAC`)
    yield* this.#release(this.#strange)
    this.#unproven = undefined
    yield* this.#held.splice(0)
  }

  /** Ends the segment. Gives its records that are not proven. */
  *end(): Generator<Located> {
    const here = this.#first()
    if (here === undefined) return
    const { first, count, bytes } = this.#unproven ?? { first: here, count: 0, bytes: 0 }
    const more = [...this.#strange, ...this.#held]
    const sum = more.reduce((total, each) => total + each.bytes + 1, bytes)
    this.#unproven = { first, count: count + more.length, bytes: sum }
    yield* this.#release()
  }

  #first(): Read | undefined {
    return this.#strange[0] ?? this.#held[0]
  }

  *#release(...lists: Read[][]): Generator<Located> {
    for (const list of lists.length > 0 ? lists : [this.#strange, this.#held]) {
      for (const each of list.splice(0)) yield { ...each, unconfirmed: true }
    }
  }

  #begin(found: Read, { key, macsFrom, unproven = 0 }: SegmentEntry & Stamp): Damage | undefined {
    const { id } = found.record
    this.#key = key
    this.#from = Math.min(this.#from, macsFrom ?? Number.POSITIVE_INFINITY)
    if (key === undefined) {
      if (id < this.#from) {
        this.#unproven = undefined
        return undefined
      }
      return forged(
        found,
        `the segment has no MACs, and from record ${this.#from} on each batch has one`,
      )
    }
    const newest = this.#newestKey
    this.#newestKey = Math.max(newest, key)
    const { count, first } = this.#unproven ?? { count: 0, first: found }
    if (count > unproven) {
      const text = `${count} records from ${first.record.id} on have no valid MAC, and the next segment tells of ${unproven}`
      return forged(first, text)
    }
    if (key >= newest) return undefined
    return forged(found, olderKey(key, newest))
  }

  #isValid(bare: string | undefined, mac: string): boolean {
    if (bare === undefined) return false
    if (this.#keys === undefined) return true
    const hashes = this.#held.map(({ hash }) => hash)
    hashes.splice(-1, 1, bare)
    return this.#keys.auditMac(hashes, this.#key).mac === mac
  }
}

/** Why a segment of audit key `key` is not the server's, where one before it is of the key `newest`. */
export function olderKey(key: number, newest: number): string {
  return `the segment is of audit key ${key}, and key ${newest} was in use before it`
}

/** The damage that records are which the server did not write, at the first of them. */
export function forged(
  {
    segment,
    line,
    record,
  }: Pick<Located, 'segment' | 'line'> & { readonly record: { readonly id: number } },
  message: string,
): Damage {
  return { damage: 'forged', segment, line, id: record.id, message }
}
