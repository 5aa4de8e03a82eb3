/** What is read from a file, or from another place, to be imported. */

/** One secret of it, with its value or why there is none. */
export interface Item {
  /** What the place calls it; for a line that has no name, `line 3`. */
  readonly name: string
  /** The line of the file that it begins in. */
  readonly line?: number
  readonly value?: Uint8Array
  /** Why it is not to be taken, as half a sentence without any of the value. */
  readonly refusal?: string
}

/** The items, of which those whose name is there twice are refused: which one counts, readers do not agree on. */
export function withoutTwins(items: readonly Item[]): Item[] {
  const byName = Map.groupBy(items, ({ name }) => name)
  return items.map((item) => {
    const other = byName.get(item.name)?.find((each) => each !== item)
    if (other === undefined || item.refusal !== undefined) return item
    const { name, line } = item
    const where =
      other.line === undefined || other.line === line ? '' : `, also in line ${other.line}`
    return { name, ...(line !== undefined && { line }), refusal: `its name is there twice${where}` }
  })
}

/** The item of a text; refused where that is not UTF-8. */
export function itemOf(name: string, text: string, line?: number): Item {
  const place = { name, ...(line !== undefined && { line }) }
  return text.isWellFormed()
    ? { ...place, value: Buffer.from(text) }
    : { ...place, refusal: 'it is not text in UTF-8' }
}
