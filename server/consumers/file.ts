/**
 * Holdings as they are kept in a file: a line about the whole, a line per holder, secret and row with several versions, then
 * the columns of the table in the byte order of the machine, and the SHA-256 of all that. It has names and numbers, and no
 * value. What it says is of another run of the server.
 */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { Holdings } from './holdings.ts'
import type { Holder } from './parties.ts'
import { Snapshot } from './snapshot.ts'
import { keptColumns, NONE } from './table.ts'

/** What of a file is not about single holders. */
const head = z.object({
  format: z.literal(1),
  /** Of the store. */
  store: z.string(),
  branch: z.string(),
  /** The last record of the audit log that is in it. */
  logged: z.int().min(0),
  /** How long the server has still to listen until what it knows from the audit log alone is good enough, in milliseconds. */
  listens: z.number().min(0),
  /** Whether that is so of every secret. */
  roughNames: z.boolean(),
  /** Whether something was dropped of secrets whose names are not known. */
  lostNames: z.boolean(),
  dropped: z.int().min(0),
  /** How many lines there are, and rows. */
  holders: z.int().min(0),
  secrets: z.int().min(0),
  further: z.int().min(0),
  rows: z.int().min(0),
})

const holderLine = z.union([
  // A node.
  z.tuple([
    z.string(),
    z.object({
      hostname: z.string(),
      ip: z.string(),
      user: z.string().optional(),
      tags: z.array(z.string()).optional(),
    }),
  ]),
  // A label, and the place of its node among the lines.
  z.tuple([z.int().min(0), z.string(), z.literal(0)]),
])
/** The name; whether something of it was dropped, and whether it is known from the audit log alone. */
const secretLine = z.tuple([z.string(), z.literal([0, 1]), z.literal([0, 1])])
const furtherLine = z.tuple([z.int(), z.array(z.tuple([z.int().min(1), z.int().min(1)]))])

/** What a file says about the whole. */
export type FileHead = Pick<
  z.infer<typeof head>,
  'store' | 'branch' | 'logged' | 'listens' | 'roughNames'
>

const HASH_BYTES = 32
/** Lines that are made, or bytes that are hashed, before others have their turn. */
const LINES = 500
/** Rows that are copied at once. */
const PIECE_ROWS = 8192
const HASHED_BYTES = 256 * 1024

/**
 * Makes the content of a file. What is held is as it is at the call, and the work can rest. Who the holders are, and of which
 * secrets something was dropped, is as it is when that is reached.
 */
export function encodeHoldings(
  holdings: Holdings,
  about: FileHead,
  rough: ReadonlySet<string>,
  pieceRows = PIECE_ROWS,
): Generator<void, Buffer[]> {
  const { parties, names, lost, lostNames, dropped } = holdings
  const snapshot = new Snapshot(holdings, pieceRows)
  const all = parties.all()
  // Names are only ever added.
  const secrets = names.length
  return encoded()

  function* encoded(): Generator<void, Buffer[]> {
    const copied = yield* snapshot.pieces()
    const nodes: Holder[] = []
    const labels: Holder[] = []
    for (const holder of all) {
      ;(holder.label === undefined ? nodes : labels).push(holder)
      yield
    }
    const holders = nodes.concat(labels)
    const places = new Map<number, number>()
    for (const [place, { id }] of holders.entries()) {
      places.set(id, place)
      yield
    }
    const whole: z.infer<typeof head> = {
      format: 1,
      ...about,
      lostNames,
      dropped,
      holders: holders.length,
      secrets,
      further: copied.reduce((count, { further }) => count + further.size, 0),
      rows: snapshot.rows,
    }
    const pieces = [Buffer.from(`${JSON.stringify(whole)}\n`)]
    function* lines<T>(
      items: readonly T[],
      line: (item: T, at: number) => unknown,
      end = items.length,
    ): Generator<void> {
      for (let at = 0; at < end; at += LINES) {
        const some = items
          .slice(at, Math.min(at + LINES, end))
          .map((item, of) => JSON.stringify(line(item, at + of)))
        pieces.push(Buffer.from(`${some.join('\n')}\n`))
        yield
      }
    }
    yield* lines(holders, ({ node, label }) =>
      label === undefined ? [node.key, node.principal] : [places.get(node.own.id), label, 0],
    )
    yield* lines(names, (name, at) => [name, bit(lost.has(at)), bit(rough.has(name))], secrets)
    // Without the rows that were removed.
    const further: [place: number, versions: unknown][] = []
    const sizes: number[] = []
    let place = 0
    for (const piece of copied) {
      const { columns, flags } = piece
      const [ofHolder] = columns as [Uint32Array]
      let size = 0
      for (let row = 0; row < flags.length; row++) {
        if (ofHolder[row] === NONE) continue
        const holder = places.get(ofHolder[row] as number) as number
        for (const column of columns) column[size] = column[row] as number
        ofHolder[size] = holder
        flags[size] = flags[row] as number
        const versions = piece.further.get(row)
        if (versions) further.push([place + size, versions])
        size++
      }
      place += size
      sizes.push(size)
      yield
    }
    yield* lines(further, (each) => each)
    for (const column of keptColumns.keys()) {
      for (const [at, { columns }] of copied.entries()) {
        pieces.push(
          Buffer.from(columns[column]?.buffer as ArrayBuffer, 0, 4 * (sizes[at] as number)),
        )
      }
      yield
    }
    for (const [at, { flags }] of copied.entries()) {
      pieces.push(Buffer.from(flags.buffer as ArrayBuffer, 0, sizes[at]))
    }
    const hash = createHash('sha256')
    for (const piece of pieces) {
      for (let at = 0; at < piece.length; at += HASHED_BYTES) {
        hash.update(piece.subarray(at, at + HASHED_BYTES))
        yield
      }
    }
    return [...pieces, hash.digest()]
  }
}

function bit(is: boolean): 0 | 1 {
  return is ? 1 : 0
}

/** What a file says: about the whole, and the names of secrets that are known from the audit log alone. */
export interface Decoded {
  readonly about: FileHead
  readonly rough: ReadonlySet<string>
}

/** Fills `holdings`, which are empty, with what a file says. Throws where it is not whole, and then they are of no use. */
export function* decodeHoldings(bytes: Buffer, holdings: Holdings): Generator<void, Decoded> {
  const body = bytes.subarray(0, -HASH_BYTES)
  const hash = createHash('sha256')
  for (let at = 0; at < body.length; at += HASHED_BYTES) {
    hash.update(body.subarray(at, at + HASHED_BYTES))
    yield
  }
  if (!hash.digest().equals(bytes.subarray(-HASH_BYTES))) throw new Error('it is damaged')
  let at = 0
  const line = (): unknown => {
    const end = body.indexOf(0x0a, at)
    const text = body.toString('utf8', at, end)
    at = end + 1
    return JSON.parse(text)
  }
  const { format: _, ...about } = head.parse(line())
  const holders: (Holder | undefined)[] = []
  for (let left = about.holders; left > 0; left--) {
    const [of, what, label] = holderLine.parse(line())
    if (label === undefined) holders.push(holdings.parties.addNode(of as string, what as never).own)
    else {
      const own = holders[of as number]
      holders.push(own && holdings.parties.addLabel(own.node, what as string))
    }
    yield
  }
  const secrets: number[] = []
  const rough = new Set<string>()
  for (let left = about.secrets; left > 0; left--) {
    const [name, isLost, isRough] = secretLine.parse(line())
    const number = holdings.numberOf(name)
    secrets.push(number)
    if (isLost === 1) holdings.lost.add(number)
    if (isRough === 1) rough.add(name)
    yield
  }
  const further: z.infer<typeof furtherLine>[] = []
  for (let left = about.further; left > 0; left--) {
    further.push(furtherLine.parse(line()))
    yield
  }
  const columns: Uint32Array[] = []
  while (columns.length < keptColumns.length) {
    const column = new Uint32Array(about.rows)
    body.copy(new Uint8Array(column.buffer), 0, at, at + column.byteLength)
    at += column.byteLength
    columns.push(column)
    yield
  }
  const flags = body.subarray(at, at + about.rows)
  if (at + about.rows !== body.length) throw new Error('it is not whole')
  const rows = new Uint32Array(about.rows)
  const { table } = holdings
  table.reserve(about.rows)
  yield
  const [ofHolder, ofSecret] = columns as [Uint32Array, Uint32Array]
  for (let place = 0; place < about.rows; place++) {
    const holder = holders[ofHolder[place] as number]
    const secret = secrets[ofSecret[place] as number]
    const row = holder && secret !== undefined ? holdings.rowOf(holder, secret) : NONE
    if (row === NONE) throw new Error('its rows do not fit')
    rows[place] = row
    const changed = table.change(row)
    for (const [number, name] of keptColumns.entries()) {
      if (number > 1) changed[name][row] = columns[number]?.[place] as number
    }
    changed.flags[row] = flags[place] as number
    yield
  }
  for (const [place, versions] of further) {
    for (const [version, count] of versions) {
      holdings.copies.add(rows[place] as number, version, 0, count)
    }
    yield
  }
  holdings.lostNames = about.lostNames
  holdings.dropped = about.dropped
  return { about, rough }
}
