/** Finds what a person meant to type. */

/** The candidate that is closest to `word`, if it is close enough to be a slip; else undefined. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const limit = word.length > 5 ? 2 : 1
  return candidates
    .map((candidate) => ({ candidate, slips: slipsBetween(word, candidate) }))
    .filter(({ slips }) => slips <= limit)
    .toSorted((a, b) => a.slips - b.slips || a.candidate.length - b.candidate.length)[0]?.candidate
}

/** The beginning of a word counts as one slip. */
function slipsBetween(word: string, candidate: string): number {
  return word.length > 2 && candidate.startsWith(word) ? 1 : edits(word, candidate)
}

/** How many letters must be added, dropped or replaced to make `to` of `from`. */
function edits(from: string, to: string): number {
  let above = Array.from({ length: to.length + 1 }, (_, column) => column)
  for (let row = 1; row <= from.length; row++) {
    const line = [row]
    for (let column = 1; column <= to.length; column++) {
      const replaced = (above[column - 1] as number) + (from[row - 1] === to[column - 1] ? 0 : 1)
      line.push(Math.min(replaced, (above[column] as number) + 1, (line[column - 1] as number) + 1))
    }
    above = line
  }
  return above[to.length] as number
}
