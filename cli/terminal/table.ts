/** Rows in columns, safe to look at and as wide as the terminal. */
import { visible } from '../../client/api/visible.ts'
import { wrapped } from './layout.ts'

/** How a table is laid out. */
interface Layout {
  /** The spaces between columns. */
  readonly gap?: number
  /** The characters of a line; absent where no terminal limits them. */
  readonly room?: number | undefined
  /** The widths that columns have from the rows before; they grow as these rows need. */
  readonly widths?: number[]
}

/** What continues a row stands that far to the right of it. */
const INDENT = 2

/** Words beside other columns need that much room. */
const LEAST_ROOM = 24

/**
 * Rows with their columns aligned: every cell but a row's last is as wide as its column. Columns that do not fit into
 * `room` follow on lines below, in every row alike, and the last cell of a row is filled like a paragraph.
 */
export function table(cells: readonly (readonly string[])[], layout: Layout = {}): string {
  const { gap = 1, room, widths = [] } = layout
  const rows = cells.map((row) => row.map(visible))
  for (const row of rows) {
    for (const [column, cell] of row.slice(0, -1).entries()) {
      widths[column] = Math.max(widths[column] ?? 0, widthOf(cell) + gap)
    }
  }
  const groups = groupsOf(widths, room === undefined ? Infinity : room + gap)
  return rows.map((row) => foldedRow(row, groups, widths, room)).join('')
}

/** Columns that share a line: the first of them, and the one after them. */
type Group = readonly [start: number, end: number]

/** How the columns but the last share lines. */
function groupsOf(widths: readonly number[], room: number): Group[] {
  const groups: Group[] = []
  let start = 0
  let used = 0
  for (const [column, width] of widths.entries()) {
    if (used + width > room && column > start) {
      groups.push([start, column])
      start = column
      used = INDENT
    }
    used += width
  }
  return [...groups, [start, widths.length]]
}

/** A row in as many lines as it needs, of which none is empty. */
function foldedRow(
  row: readonly string[],
  groups: readonly Group[],
  widths: readonly number[],
  room: number | undefined,
): string {
  const last = row.length - 1
  const lines: string[] = []
  for (const [start, end] of groups) {
    const cells = row.slice(start, Math.min(end, last))
    const padded = cells.map((cell, at) => cell + spaces((widths[start + at] ?? 0) - widthOf(cell)))
    const line = spaces(start === 0 ? 0 : INDENT) + padded.join('')
    const isEnd = last < end || end === widths.length
    lines.push(...(isEnd ? withLast(line, row[last] ?? '', room) : [line]))
    if (isEnd) break
  }
  if (room === undefined) return `${lines.join('')}\n`
  const kept = lines.map((line) => line.trimEnd()).filter((line) => line !== '')
  return kept.map((line) => `${line}\n`).join('')
}

/** The last cell of a row: beside `line` where it fits, also in several lines; or else below it. */
function withLast(line: string, cell: string, room = Infinity): string[] {
  const beside = room - widthOf(line)
  if (widthOf(cell) <= beside) return [line + cell]
  const [first = '', ...rest] = wrapped(cell, beside)
  const fits = beside >= LEAST_ROOM && [first, ...rest].every((each) => widthOf(each) <= beside)
  if (fits) return [line + first, ...rest.map((each) => spaces(widthOf(line)) + each)]
  return [line, ...wrapped(cell, room - INDENT).map((each) => spaces(INDENT) + each)]
}

function spaces(count: number): string {
  return ' '.repeat(Math.max(0, count))
}

/** Characters rather than UTF-16 units. */
function widthOf(cell: string): number {
  return Array.from(cell).length
}
