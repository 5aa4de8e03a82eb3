/** Rows as they are at one moment, copied piece by piece while words change them. */
import type { Copies } from './copies.ts'
import type { Holdings } from './holdings.ts'
import type { KeptRows, Table } from './table.ts'

/** What is kept of rows that follow each other. */
export interface Piece extends KeptRows {
  /** Versions besides those in the columns, each with the number of its copies; by place in the columns. */
  readonly further: ReadonlyMap<number, readonly (readonly [version: number, count: number])[]>
}

/** The copy of what is kept of a table: a piece is copied before the first of its rows changes, or when it is its turn. */
export class Snapshot {
  /** How many rows there are. */
  readonly rows: number
  readonly #table: Table
  readonly #copies: Copies
  readonly #end: number
  readonly #pieceRows: number
  readonly #pieces: (Piece | undefined)[]

  /** Of what is there now, `pieceRows` rows at once. Throws while another one of the table is not whole. */
  constructor({ table, copies }: Pick<Holdings, 'table' | 'copies'>, pieceRows: number) {
    if (table.beforeChange) throw new Error('the table is being copied')
    this.rows = table.size
    this.#table = table
    this.#copies = copies
    this.#end = table.end
    this.#pieceRows = pieceRows
    this.#pieces = Array.from({ length: Math.ceil(this.#end / pieceRows) })
    table.beforeChange = (row) => {
      const at = Math.floor(row / pieceRows)
      if (at < this.#pieces.length) this.#piece(at)
    }
  }

  /** Copies what is left, and returns all. Rows that were removed are in it, with the holder NONE. */
  *pieces(): Generator<void, readonly Piece[]> {
    const all: Piece[] = []
    try {
      for (const at of this.#pieces.keys()) {
        all.push(this.#piece(at))
        yield
      }
    } finally {
      this.#table.beforeChange = undefined
    }
    return all
  }

  #piece(at: number): Piece {
    return (this.#pieces[at] ??= this.#copy(at * this.#pieceRows))
  }

  #copy(from: number): Piece {
    const to = Math.min(from + this.#pieceRows, this.#end)
    const further = new Map<number, readonly [version: number, count: number][]>()
    for (let row = from; row < to && this.#copies.withFurther > 0; row++) {
      const found = this.#copies.further(row)
      if (found)
        further.set(
          row - from,
          Array.from(found, ([version, { count }]) => [version, count]),
        )
    }
    return { ...this.#table.kept(from, to), further }
  }
}
