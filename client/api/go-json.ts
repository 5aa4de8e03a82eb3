/**
 * Reads a JSON body the way Go's encoding/json does, since that is what real clients were written
 * against: field names match in any case, a later field wins over an earlier one, what follows the
 * first value is ignored, and a number keeps its spelling so that `2.0` is not taken for `2`.
 */

/** A field value as the text spells it. */
export interface Token {
  readonly kind: 'string' | 'number' | 'true' | 'false' | 'null' | 'object' | 'array'
  /** The value's own characters, quotes and brackets included. */
  readonly text: string
  /** The value as JSON.parse gives it. */
  readonly value: unknown
}

/** Go's decoder gives up past this many nested values. */
const MAX_DEPTH = 10_000

/** Thrown for text that is not JSON, or whose first value is neither an object nor null. */
export class JsonSyntaxError extends SyntaxError {
  override readonly name = 'JsonSyntaxError'
}

/**
 * The fields of the object that `text` begins with, in order and with repetitions; none for `null`.
 * Throws JsonSyntaxError for anything else.
 */
export function readObject(text: string): [key: string, token: Token][] {
  const fields: [string, Token][] = []
  let at = skipSpace(text, 0)
  if (text.startsWith('null', at)) return fields
  if (text[at] !== '{') throw new JsonSyntaxError('the body is not a JSON object')
  at = skipSpace(text, at + 1)
  if (text[at] === '}') return fields
  for (;;) {
    if (text[at] !== '"') throw new JsonSyntaxError('a field name is missing')
    let end = endOfString(text, at)
    const key = parse(text.slice(at, end)) as string
    at = skipSpace(text, end)
    if (text[at] !== ':') throw new JsonSyntaxError('a colon is missing after a field name')
    at = skipSpace(text, at + 1)
    end = endOfValue(text, at)
    fields.push([key, tokenOf(text.slice(at, end))])
    at = skipSpace(text, end)
    if (text[at] === '}') return fields
    if (text[at] !== ',') throw new JsonSyntaxError('a comma or brace is missing after a field')
    at = skipSpace(text, at + 1)
  }
}

/** Whether Go takes `key` for the field `name`: equal under Unicode simple case folding. */
export function matchesField(key: string, name: string): boolean {
  if (key === name) return true
  if (key.length !== name.length) return false
  return new RegExp(`^${name}$`, 'iu').test(key)
}

function tokenOf(text: string): Token {
  return { kind: kinds[text[0] ?? ''] ?? 'number', text, value: parse(text) }
}

const kinds: Record<string, Token['kind']> = {
  '"': 'string',
  t: 'true',
  f: 'false',
  n: 'null',
  '{': 'object',
  '[': 'array',
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // JSON.parse's own message quotes the text, which may be a secret value.
    throw new JsonSyntaxError('a value is malformed')
  }
}

function skipSpace(text: string, from: number): number {
  let at = from
  for (;;) {
    const code = text.charCodeAt(at)
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return at
    at++
  }
}

/** The index after the string that opens at `from`; its escapes are not checked. */
function endOfString(text: string, from: number): number {
  let at = from + 1
  for (;;) {
    const close = text.indexOf('"', at)
    if (close < 0) throw new JsonSyntaxError('a string is not closed')
    let slashes = 0
    while (text[close - 1 - slashes] === '\\') slashes++
    if (slashes % 2 === 0) return close + 1
    at = close + 1
  }
}

/** The index after the value that begins at `from`; only its extent is checked. */
function endOfValue(text: string, from: number): number {
  const first = text[from]
  if (first === '"') return endOfString(text, from)
  if (first === '{' || first === '[') return endOfContainer(text, from)
  let at = from
  while (at < text.length && !/[\s,}\]:"{[]/.test(text[at] as string)) at++
  if (at === from) throw new JsonSyntaxError('a value is missing')
  return at
}

function endOfContainer(text: string, from: number): number {
  const marks = /["{}[\]]/g
  let depth = 0
  marks.lastIndex = from
  for (;;) {
    const mark = marks.exec(text)
    if (!mark) throw new JsonSyntaxError('an object or array is not closed')
    if (mark[0] === '"') marks.lastIndex = endOfString(text, mark.index)
    else if (mark[0] === '{' || mark[0] === '[') {
      // One level is the body itself.
      if (++depth >= MAX_DEPTH) throw new JsonSyntaxError('values are nested too deep')
    } else if (--depth === 0) return mark.index + 1
  }
}
