/**
 * Reads a JSON body the way Go's encoding/json does, since that is what real clients were written
 * against: field names match in any case, a later field wins over an earlier one, what follows the
 * first value is ignored, and a number keeps its spelling so that `2.0` is not taken for `2`.
 *
 * A body may be 2 MiB of whatever a caller likes. Nothing is built of what is only passed over, and
 * who reads it rests now and then.
 */

/** Thrown for text that is not JSON, or whose first value is neither an object nor null. */
export class JsonSyntaxError extends SyntaxError {
  override readonly name = 'JsonSyntaxError'
}

/** Bounds of what is read, in addition to those of Go's decoder. */
export interface JsonLimits {
  /** Fields of the object itself. */
  readonly fields: number
  /** Fields and items on all levels. */
  readonly values: number
  /** Characters of a string, as the text spells it. */
  readonly string: number
}

/** Takes a field by its name and by where its value is in the text; resumed where that is long work. */
export type TakeField = (key: string, from: number, to: number) => Generator<void, void> | undefined

/** Characters after which a reader rests: some tenths of a millisecond. */
export const REST_CHARACTERS = 32 * 1024

/** Go's decoder gives up past this many nested values. */
const MAX_DEPTH = 10_000
/** Characters of a field name, as spelled, that is looked at: six for each of any that we have. */
const MAX_KEY = 6 * 32

const noLimits: JsonLimits = { fields: Infinity, values: Infinity, string: Infinity }

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/** What comes next in the text; those that may be the end of their container come last. */
const NEXT = { value: 0, name: 1, colon: 2, commaOrEnd: 3, valueOrEnd: 4, nameOrEnd: 5 } as const

const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const words = ['true', 'false', 'null'] as const
const escaped = /\\(?:["\\/bfnrt]|u[\da-fA-F]{4})/y

/**
 * Reads the object that `text` begins with, and gives each of its fields to `take`, in order and with
 * repetitions; none for `null`. Yields where it may rest. Throws JsonSyntaxError for anything else.
 */
export function* scanFields(
  text: string,
  take: TakeField,
  limits: JsonLimits = noLimits,
): Generator<void, void> {
  /** What closes each value that is open. */
  const open: number[] = []
  let next: number = NEXT.value
  let at = 0
  let rest = REST_CHARACTERS
  let fields = 0
  let values = 0
  let key = ''
  let from = 0
  for (;;) {
    if (at > rest) {
      rest = at + REST_CHARACTERS
      yield
    }
    const code = text.charCodeAt(at)
    if (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) {
      at++
      continue
    }
    if (open.length === 0) {
      if (text.startsWith('null', at)) return
      if (code !== OPEN_OBJECT) throw new JsonSyntaxError('the body is not a JSON object')
    }
    const begin = at
    if (next === NEXT.colon) {
      if (code !== COLON) throw new JsonSyntaxError('a colon is missing after a field name')
      at++
      next = NEXT.value
      continue
    }
    if (next === NEXT.commaOrEnd && code === COMMA) {
      at++
      next = open.at(-1) === CLOSE_OBJECT ? NEXT.name : NEXT.value
      continue
    }
    if (next >= NEXT.commaOrEnd && code === open.at(-1)) {
      at++
      open.pop()
      if (open.length === 0) return
    } else if (next === NEXT.commaOrEnd) {
      throw new JsonSyntaxError('a comma or the end is missing after a value')
    } else {
      if (code === QUOTE) {
        for (at++; ; ) {
          const unit = text.charCodeAt(at)
          if (unit === QUOTE) break
          if (unit === BACKSLASH) at = afterEscape(text, at)
          else if (unit >= 0x20) at++
          else throw new JsonSyntaxError('a string is not closed, or has a control character')
          if (at - begin > limits.string) throw new JsonSyntaxError('a string is too long')
          if (at > rest) {
            rest = at + REST_CHARACTERS
            yield
          }
        }
        at++
      }
      if (next === NEXT.name || next === NEXT.nameOrEnd) {
        if (code !== QUOTE) throw new JsonSyntaxError('a field name is missing')
        if (open.length === 1) {
          if (++fields > limits.fields) throw new JsonSyntaxError('it has too many fields')
          key = at - begin > MAX_KEY ? '' : unescaped(text.slice(begin, at))
        }
        next = NEXT.colon
        continue
      }
      if (++values > limits.values) throw new JsonSyntaxError('it has too many values')
      if (open.length === 1) from = begin
      if (code === OPEN_OBJECT || code === OPEN_ARRAY) {
        at++
        if (open.length === MAX_DEPTH) throw new JsonSyntaxError('values are nested too deep')
        open.push(code === OPEN_OBJECT ? CLOSE_OBJECT : CLOSE_ARRAY)
        next = code === OPEN_OBJECT ? NEXT.nameOrEnd : NEXT.valueOrEnd
        continue
      }
      if (code !== QUOTE) at = afterScalar(text, at)
    }
    next = NEXT.commaOrEnd
    if (open.length === 1) {
      const work = take(key, from, at)
      if (work) yield* work
    }
  }
}

/** The string that `spelled`, quotes included, stands for. Its escapes must have been checked. */
export function unescaped(spelled: string): string {
  return spelled.includes('\\') ? (JSON.parse(spelled) as string) : spelled.slice(1, -1)
}

/** `key` as Go compares it: field names are equal under Unicode simple case folding. */
export function folded(key: string): string {
  // Of what folds to ASCII letters, this alone is a small letter itself.
  return key.toLowerCase().replaceAll('\u017f', 's')
}

function afterEscape(text: string, at: number): number {
  escaped.lastIndex = at
  if (escaped.test(text)) return escaped.lastIndex
  throw new JsonSyntaxError('a value is malformed')
}

function afterScalar(text: string, at: number): number {
  const word = words.find((each) => text.startsWith(each, at))
  if (word !== undefined) return at + word.length
  number.lastIndex = at
  if (number.test(text)) return number.lastIndex
  throw new JsonSyntaxError('a value is malformed')
}
