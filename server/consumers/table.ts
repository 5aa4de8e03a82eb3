/**
 * Rows about (holder, secret) in columns of numbers, so that a million of them are small: found by both numbers,
 * and listed by either.
 */

/** The holder has a label that is more than one program's. */
export const SHARED = 1
/** The server stopped before the last version was confirmed: the next answer may be the same once more. */
export const DOUBT = 2
/** What a node holds is known from the audit log alone: its next word replaces it. */
export const ROUGH = 4

/** No row: the end of a list. */
export const NONE = 0xffffffff

/** Rows that there is room for at first. */
const FIRST_ROOM = 1024

const numberColumns = [
  /** The number of the holder, and of the secret. */
  'holder',
  'secret',
  /** A version that is held, in how many copies, and when that was last named, in ticks. */
  'version',
  'count',
  'named',
  /** When the holder last said a word about the secret; 0 for not since the start. */
  'heard',
  /** How long it lets pass between two words, in ticks; 0 where that is not known. */
  'gap',
  /** The version that it was last given and did not name since: whether that arrived is not known. 0: none. */
  'unconfirmed',
  /** When a copy was last given up for another version. */
  'moved',
  /** Of a node: the highest version that it was ever given, and a bit for each of the 32 up to it. */
  'givenTo',
  'givenBits',
  'nextOfHolder',
  'nextOfSecret',
  'previousOfSecret',
] as const

type ColumnName = (typeof numberColumns)[number]

/** A number of each row. */
interface Column {
  readonly [row: number]: number
}

/** The columns, with bits about each row in `flags`. */
type Columns = Record<ColumnName, Uint32Array> & { flags: Uint8Array }

/** The columns that are kept in the file: the others are about this run, or are made again. */
export const keptColumns = [
  'holder',
  'secret',
  'version',
  'count',
  'gap',
  'unconfirmed',
  'givenTo',
  'givenBits',
] as const satisfies readonly ColumnName[]

/** What is kept of some rows: columns in the order of `keptColumns`. */
export interface KeptRows {
  readonly columns: readonly Uint32Array[]
  readonly flags: Uint8Array
}

/** Rows, by number. A number is used again once its row was removed. */
export class Table {
  /** Called before a row is changed, added or removed. Undefined: nobody wants to know. */
  beforeChange: ((row: number) => void) | undefined
  readonly #columns: Columns
  /** Numbers of rows by holder and secret, plus 1; open addressing. */
  #places = new Uint32Array(FIRST_ROOM * 2)
  #firstOfSecret = new Uint32Array(FIRST_ROOM).fill(NONE)
  #free = NONE
  #end = 0
  #size = 0

  constructor() {
    const columns = numberColumns.map((name) => [name, new Uint32Array(FIRST_ROOM)])
    this.#columns = { ...Object.fromEntries(columns), flags: new Uint8Array(FIRST_ROOM) } as Columns
  }

  /** How many rows there are. */
  get size(): number {
    return this.#size
  }

  /** One past the highest number that a row may have. */
  get end(): number {
    return this.#end
  }

  /** The columns, to be read at numbers of rows until the next row is added. */
  get columns(): Readonly<Record<keyof Columns, Column>> {
    return this.#columns
  }

  /** The columns, to be written at `row` until anything else happens. */
  change(row: number): Readonly<Columns> {
    this.beforeChange?.(row)
    return this.#columns
  }

  /** A copy of what is kept of the rows from `from` to before `to`. */
  kept(from: number, to: number): KeptRows {
    const columns = keptColumns.map((name) => this.#columns[name].slice(from, to))
    return { columns, flags: this.#columns.flags.slice(from, to) }
  }

  /** Makes room for so many rows, at once and not little by little. */
  reserve(rows: number): void {
    if (rows > this.#columns.flags.length) this.#grow(2 ** Math.ceil(Math.log2(rows)))
  }

  /** The row about `holder` and `secret`; NONE where there is none. */
  find(holder: number, secret: number): number {
    const { holder: holders, secret: secrets } = this.#columns
    const mask = this.#places.length - 1
    for (let place = placeOf(holder, secret) & mask; ; place = (place + 1) & mask) {
      const row = (this.#places[place] as number) - 1
      if (row < 0) return NONE
      if (holders[row] === holder && secrets[row] === secret) return row
    }
  }

  /** Adds a row, which is not there, with zeros in it. `next` is the first row of the holder until now. */
  add(holder: number, secret: number, next: number): number {
    const row = this.#take()
    const columns = this.change(row)
    for (const name of numberColumns) columns[name][row] = 0
    columns.flags[row] = 0
    columns.holder[row] = holder
    columns.secret[row] = secret
    columns.nextOfHolder[row] = next
    const first = this.first(secret)
    columns.nextOfSecret[row] = first
    columns.previousOfSecret[row] = NONE
    if (first !== NONE) columns.previousOfSecret[first] = row
    this.#firstOfSecret[secret] = row
    this.#size++
    this.#place(row)
    return row
  }

  /** Removes a row. The caller takes it off the list of its holder. */
  remove(row: number): void {
    const { holder, secret, nextOfSecret, previousOfSecret, nextOfHolder } = this.change(row)
    const next = nextOfSecret[row] as number
    const previous = previousOfSecret[row] as number
    if (next !== NONE) previousOfSecret[next] = previous
    if (previous === NONE) this.#firstOfSecret[secret[row] as number] = next
    else nextOfSecret[previous] = next
    this.#unplace(row)
    holder[row] = NONE
    nextOfHolder[row] = this.#free
    this.#free = row
    this.#size--
  }

  /** The first row about `secret`; `nextOfSecret` goes on from there. */
  first(secret: number): number {
    if (secret >= this.#firstOfSecret.length) {
      const more = new Uint32Array(2 ** Math.ceil(Math.log2(secret + 1))).fill(NONE)
      more.set(this.#firstOfSecret)
      this.#firstOfSecret = more
    }
    return this.#firstOfSecret[secret] as number
  }

  /** Whether there is a row of that number. */
  has(row: number): boolean {
    return row < this.#end && this.#columns.holder[row] !== NONE
  }

  #take(): number {
    if (this.#free !== NONE) {
      const row = this.#free
      this.#free = this.#columns.nextOfHolder[row] as number
      return row
    }
    const room = this.#columns.flags.length
    if (this.#end === room) this.#grow(room * 2)
    return this.#end++
  }

  #grow(room: number): void {
    const columns = this.#columns
    for (const name of numberColumns) {
      const more = new Uint32Array(room)
      more.set(columns[name])
      columns[name] = more
    }
    const flags = new Uint8Array(room)
    flags.set(columns.flags)
    columns.flags = flags
    this.#places = new Uint32Array(room * 2)
    for (let row = 0; row < this.#end; row++) if (this.has(row)) this.#place(row)
  }

  #place(row: number): void {
    const { holder, secret } = this.#columns
    const mask = this.#places.length - 1
    let place = placeOf(holder[row] as number, secret[row] as number) & mask
    while (this.#places[place] !== 0) place = (place + 1) & mask
    this.#places[place] = row + 1
  }

  /** Takes a row out of its place, and moves up those that stand behind it because it was taken. */
  #unplace(row: number): void {
    const { holder, secret } = this.#columns
    const places = this.#places
    const mask = places.length - 1
    const home = (each: number): number =>
      placeOf(holder[each] as number, secret[each] as number) & mask
    let hole = home(row)
    while (places[hole] !== row + 1) hole = (hole + 1) & mask
    for (let place = (hole + 1) & mask; places[place] !== 0; place = (place + 1) & mask) {
      const distance = (place - home((places[place] as number) - 1)) & mask
      if (distance < ((place - hole) & mask)) continue
      places[hole] = places[place] as number
      hole = place
    }
    places[hole] = 0
  }
}

function placeOf(holder: number, secret: number): number {
  let mixed = Math.imul(holder ^ (holder >>> 16), 0x45d9f3b) ^ Math.imul(secret + 1, 0x9e3779b1)
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d)
  return (mixed ^ (mixed >>> 13)) >>> 0
}
