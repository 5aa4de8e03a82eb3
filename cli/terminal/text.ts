/** Makes text from elsewhere safe to look at. */

/** What moves the cursor, ends a line, reorders text or cannot be printed. */
const hidden =
  /[\p{Control}\p{Surrogate}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu

/**
 * `text` on one line with what a terminal would act on rather than show written as `\uXXXX`. Names
 * from a setec server may hold anything. In a line of JSON this changes the spelling alone.
 */
export function visible(text: string): string {
  return text.replace(hidden, (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/**
 * Rows with their columns aligned, safe to look at: every cell but a row's last is as wide as its
 * column and a space.
 */
export function table(cells: readonly (readonly string[])[]): string {
  const rows = cells.map((row) => row.map(visible))
  const widths: number[] = []
  for (const row of rows) {
    for (const [column, cell] of row.slice(0, -1).entries()) {
      widths[column] = Math.max(widths[column] ?? 0, widthOf(cell) + 1)
    }
  }
  const pad = (cell: string, at: number): string =>
    cell + ' '.repeat((widths[at] ?? 0) - widthOf(cell))
  return rows.map((row) => `${row.slice(0, -1).map(pad).join('')}${row.at(-1) ?? ''}\n`).join('')
}

/** Characters rather than UTF-16 units. */
function widthOf(cell: string): number {
  return Array.from(cell).length
}
