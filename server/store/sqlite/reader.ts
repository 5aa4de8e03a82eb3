/** Reads a store, on connections that cannot write. */
import type { Database } from 'better-sqlite3'
import {
  type Asked,
  type Found,
  type LookUp,
  lookUps,
  type Row,
  type Walk,
  walks,
} from './lookups.ts'
import { openReader } from './open.ts'

const SLICE_ROWS = 500

/** The reading connections to one store. Its methods throw what SQLite throws. */
export class Reader {
  readonly #db: Database
  /** For walks: an open cursor holds its connection to one snapshot. */
  readonly #slow: Database
  /** The verbs that were used, with their statements: a store of an older schema lacks what some ask for. */
  readonly #prepared = new Map<LookUp | Walk, (...args: never[]) => unknown>()

  constructor(path: string) {
    this.#db = openReader(path)
    this.#slow = openReader(path)
  }

  look<V extends LookUp>(verb: V, ...args: Asked<V>): Found<V> {
    return this.#answer(verb, lookUps[verb], this.#db, args) as Found<V>
  }

  /** In slices of one snapshot, that of the first; there is at least one. */
  *walk<V extends Walk>(verb: V, ...args: Asked<V>): Generator<Row<V>[]> {
    let slice: Row<V>[] = []
    const rows = this.#answer(verb, walks[verb], this.#slow, args)
    for (const row of rows as Iterable<Row<V>>) {
      slice.push(row)
      if (slice.length < SLICE_ROWS) continue
      yield slice
      slice = []
    }
    yield slice
  }

  /** Only one of the walks is gone through at once, and none is when this is called. */
  close(): void {
    this.#slow.close()
    this.#db.close()
  }

  #answer(
    verb: LookUp | Walk,
    { prepare }: { readonly prepare: (db: Database) => (...args: never[]) => unknown },
    db: Database,
    args: readonly unknown[],
  ): unknown {
    const run = this.#prepared.get(verb) ?? prepare(db)
    this.#prepared.set(verb, run)
    return run(...(args as never[]))
  }
}
