/**
 * For readers of dotenv files, which have no common grammar: each dialect is one of them. A value stands bare or in
 * the first quotes of which that reader gives it back.
 */
import { parseEnv } from 'node:util'
import {
  type Entry,
  type Format,
  type FormatOptions,
  linesOf,
  textOf,
  textRefusal,
  variableRefusal,
} from './format.ts'

/** What a reader would give a value back of, the best first; none where there is nothing. */
type Spell = (text: string) => readonly string[]

/** By the name of a dialect. */
const spells: Readonly<Record<string, Spell>> = {
  node: (text) => spellings(text).filter((each) => isReadByNode(each, text)),
  npm: (text) =>
    [...spellings(text), ...withReturns(text)].filter((each) => isReadByNpm(each, text)),
  python: ofPython,
}

/** The dialects that there are. */
export const dialects: readonly string[] = Object.keys(spells)

const readers: Readonly<Record<string, string>> = {
  node: 'node --env-file',
  npm: 'the npm package dotenv',
  python: 'python-dotenv',
}

export const dotenv: Format = {
  reader: 'readers of .env, by --dialect',
  refusal: (entry, options) => {
    const wrong = variableRefusal(entry.variable) ?? textRefusal(entry.value)
    if (wrong !== undefined || spelling(entry, options) !== undefined) return wrong
    return `no quotes are such that ${readers[dialectOf(options)]} gives it back`
  },
  write: (entries, options) =>
    linesOf(entries, (each) => `${each.variable}=${spelling(each, options) ?? ''}`),
}

function dialectOf({ dialect = 'node' }: FormatOptions): string {
  return dialect
}

function spelling(entry: Entry, options: FormatOptions): string | undefined {
  return spells[dialectOf(options)]?.(textOf(entry))[0]
}

/** Bare, where no reader could take it for anything else, and in each kind of quotes that it does not have itself. */
function spellings(text: string): string[] {
  return [
    ...(/^[\w\\/:.,@%+=-]+$/.test(text) ? [text] : []),
    ...["'", '"', '`']
      .filter((quote) => !text.includes(quote))
      .map((quote) => quote + text + quote),
  ]
}

/** Node's own reader is asked, with a line before and a line after, since quotes may reach into those. */
function isReadByNode(spelled: string, text: string): boolean {
  const { A, B, C, ...rest } = parseEnv(`A='a'\nB=${spelled}\nC='c'\n`)
  return A === 'a' && B === text && C === 'c' && Object.keys(rest).length === 0
}

/** Double quotes, in which the npm package takes `\r` and `\n` for what they mean, and nothing else. */
function withReturns(text: string): string[] {
  const isPlain = !text.includes('"') && !/\\[rn]/.test(text)
  return isPlain && text.includes('\r') ? [`"${text.replaceAll('\r', String.raw`\r`)}"`] : []
}

function isReadByNpm(spelled: string, text: string): boolean {
  // Line ends of Windows become others, and a backslash before the closing quote hides it.
  if (spelled.includes('\r')) return false
  if (spelled === text) return true
  if (spelled.at(-2) === '\\') return false
  return !spelled.startsWith('"') || text.includes('\r') || !/\\[rn]/.test(text)
}

function ofPython(text: string): readonly string[] {
  if (/^[\w\\/:.,@%+=-]+$/.test(text)) return [text]
  // It replaces references to variables in whatever quotes, and older releases misread a backslash at the end.
  if (/\$\{[^}]*\}/.test(text) || text.endsWith('\\')) return []
  const escaped = text.replaceAll('\\', String.raw`\\`)
  const single = `'${escaped.replaceAll("'", String.raw`\'`)}'`
  const double = `"${escaped.replaceAll('"', String.raw`\"`).replaceAll('\r', String.raw`\r`)}"`
  return text.includes('\r') ? [double] : [single]
}
