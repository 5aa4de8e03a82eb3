/** Lays words out for the width of a terminal. */
import type { Output } from './io.ts'

/** The width of what is printed where no terminal says its own. */
const USUAL = 80

/** Longer lines are hard to read, however wide the terminal is. */
const WIDEST = 100

/** Narrower lines hold nothing. */
const NARROWEST = 40

/** How wide text to `output` may be, in characters. */
export function textWidth(output: Output): number {
  return Math.min(roomOf(output) ?? USUAL, WIDEST)
}

/** How many characters a line of `output` has room for; undefined where no terminal limits it. */
export function roomOf({ columns }: Output): number | undefined {
  return columns && Math.max(NARROWEST, columns)
}

/** `text` with the lines of each paragraph filled. Paragraphs are parted by empty lines; one with an indented line stays. */
export function filled(text: string, width: number): string {
  return text
    .split('\n\n')
    .map((paragraph) =>
      /^ {2}/m.test(paragraph) ? paragraph : wrapped(paragraph, width).join('\n'),
    )
    .join('\n\n')
}

/** A list of terms, each with what is said of it beside it, or below it where the term is long. */
export function definitions(
  rows: readonly (readonly [term: string, text: string])[],
  width: number,
): string {
  const room = Math.min(Math.max(...rows.map(([term]) => term.length)), Math.floor(width * 0.35))
  const indent = ' '.repeat(room + 4)
  return rows
    .map(([term, text]) => {
      const lines = wrapped(text, width - indent.length)
      const first = `  ${term.padEnd(room)}  `
      const beside = term.length <= room
      const shown = beside
        ? [first + (lines[0] ?? ''), ...lines.slice(1).map((line) => indent + line)]
        : [`  ${term}`, ...lines.map((line) => indent + line)]
      return shown.map((line) => `${line.trimEnd()}\n`).join('')
    })
    .join('')
}

/** A list of terms that are long, each with what is said of it below. */
export function entries(
  rows: readonly (readonly [term: string, text: string])[],
  width: number,
): string {
  const indent = ' '.repeat(6)
  return rows
    .map(([term, text]) => {
      const [first = '', ...rest] = wrapped(term, width - indent.length)
      const below = [...rest, ...wrapped(text, width - indent.length)]
      return [`  ${first}`, ...below.map((line) => indent + line)]
        .map((line) => `${line}\n`)
        .join('')
    })
    .join('')
}

/** `text` with its longer lines broken, as `wrapped` does, and every other line as it is. */
export function within(text: string, width: number): string {
  const fit = (line: string): string => {
    if (line.length <= width) return line
    const [, indent = '', end = ''] = /^( *).*?( *)$/.exec(line) ?? []
    const lines = wrapped(line, width - indent.length).map((each) => indent + each)
    // A question ends with a space.
    return lines.join('\n') + end
  }
  return text.split('\n').map(fit).join('\n')
}

/**
 * The words of `text` in lines of at most `width` characters. What stands in quotes as a command does is one word, so
 * that it can be pasted. A longer word is parted after its commas, or has a line of its own.
 */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  const words = text.match(/\(?`[^`]*`\S*|'[^']*'\S*|\S+/g) ?? []
  for (const word of words) {
    const parts = word.length > width && !/\s/.test(word) ? word.split(/(?<=,)/) : [word]
    for (const [at, part] of parts.entries()) {
      const gap = line === '' || at > 0 ? '' : ' '
      if (line !== '' && line.length + gap.length + part.length > width) {
        lines.push(line)
        line = part
      } else line += gap + part
    }
  }
  return line === '' ? lines : [...lines, line]
}
