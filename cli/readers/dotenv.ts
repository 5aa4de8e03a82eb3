/**
 * Reads dotenv files strictly. Their readers have no common grammar: what Node, the npm package and most others would
 * give different values for is refused, with its line.
 */
import { type Item, itemOf, withoutTwins } from './item.ts'

const blank = /[ \t]*(?:#[^\n]*)?(?:\n|$)/y
const start = /[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.-]*)[ \t]*=[ \t]*/y
const restOfLine = /([^\n]*)(?:\n|$)/y
const quotes: Readonly<Record<string, RegExp>> = {
  "'": /'([^']*)'/y,
  '"': /"((?:\\[^]|[^"\\])*)"/y,
}

/** A reference to a variable, or to the output of a command. */
const reference = /\$[A-Za-z_{(]/

/**
 * The variables of `text`, in order, whose lines end with `\n`. What begins with `scheme` is a reference of ours, and may
 * have a `#` without quotes.
 */
export function readDotenv(text: string, scheme?: string): Item[] {
  const items: Item[] = []
  const at = new Cursor(text)
  while (!at.isAtEnd) {
    if (at.take(blank)) continue
    const { line } = at
    const name = at.take(start)?.[1]
    if (name === undefined) {
      at.take(restOfLine)
      items.push({ name: `line ${line}`, line, refusal: 'it is not NAME=VALUE' })
      continue
    }
    const read = readValue(at, scheme)
    items.push('refusal' in read ? { name, line, ...read } : itemOf(name, read.text, line))
  }
  return withoutTwins(items)
}

type Read = { readonly text: string } | { readonly refusal: string }

function readValue(at: Cursor, scheme: string | undefined): Read {
  const quote = at.next
  const quoted = quotes[quote]
  if (quoted === undefined) return bare(at.take(restOfLine)?.[1] ?? '', scheme)
  const inner = at.take(quoted)?.[1]
  if (inner === undefined) {
    at.toEnd()
    return { refusal: 'its quote is not closed; nothing after it was read' }
  }
  if (!at.take(blank)) {
    at.take(restOfLine)
    return { refusal: 'something follows its closing quote' }
  }
  return quote === '"' ? unescaped(inner) : raw(inner)
}

function bare(rest: string, scheme: string | undefined): Read {
  const text = rest.replace(/(?:^|[ \t])#.*$/, '').replace(/[ \t]+$/, '')
  // Of those, readers differ on which end a line, and which are a part of the value.
  if (/[^\S \t]/.test(text)) return { refusal: 'it has an unusual blank: put it in quotes' }
  const isReference = scheme !== undefined && text.startsWith(scheme)
  if (text.includes('#') && !isReference) {
    return { refusal: 'it has a # without a blank before it: put it in quotes' }
  }
  if (text.startsWith('`')) return { refusal: 'it begins with a backtick: put it in single quotes' }
  return text.endsWith('\\')
    ? { refusal: 'it ends in a backslash: put it in quotes' }
    : literal(text)
}

function raw(inner: string): Read {
  if (!/\\(?:\\|$)/.test(inner)) return { text: inner }
  return { refusal: 'it has two backslashes in a row, or one at its end' }
}

/** In double quotes `\n` is all that readers agree on. */
function unescaped(inner: string): Read {
  if (/\\(?!n)|\\\\/.test(inner)) {
    return { refusal: 'it has a backslash that readers take in different ways: use single quotes' }
  }
  return literal(inner.replaceAll(String.raw`\n`, '\n'))
}

function literal(text: string): Read {
  return reference.test(text)
    ? { refusal: 'it refers to a variable or a command: write the value itself, in single quotes' }
    : { text }
}

/** A place in a text. */
class Cursor {
  readonly #text: string
  #at = 0
  #line = 1

  constructor(text: string) {
    this.#text = text
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#text.length
  }

  /** Counted from 1. */
  get line(): number {
    return this.#line
  }

  get next(): string {
    return this.#text.charAt(this.#at)
  }

  /** Steps over what `pattern`, which is sticky, matches here. */
  take(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at
    const match = pattern.exec(this.#text)
    if (match === null) return undefined
    this.#at += match[0].length
    this.#line += match[0].split('\n').length - 1
    return match
  }

  toEnd(): void {
    this.#at = this.#text.length
  }
}
