/** Decodes bodies that are strict JSON: fields are spelled as in the schema, and unknown ones refused. */
import type { z } from 'zod'
import { quote, SottoError } from './errors.ts'
import { type JsonLimits, JsonSyntaxError, scanFields } from './go-json.ts'

/** Unknown fields that an error names. */
const NAMED_FIELDS = 3

/** Decodes `text` by `schema`. Throws SottoError `bad_request`, also past `limits`. Yields where it may rest. */
export function* decodeStrict<S extends z.ZodObject>(
  schema: S,
  limits: JsonLimits,
  text: string,
): Generator<void, z.output<S>> {
  const parsed = schema.safeParse(yield* parse(text, limits))
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const where =
    issue && issue.path.length > 0 ? ` field "${issue.path.map(String).join('.')}":` : ''
  throw badRequest(`Cannot read the request:${where} ${wordsOf(issue)}`)
}

function wordsOf(issue: z.core.$ZodIssue | undefined): string {
  if (issue?.code !== 'unrecognized_keys') return issue?.message ?? ''
  const named = issue.keys.slice(0, NAMED_FIELDS).map((key) => quote(key.slice(0, 64)))
  const more = issue.keys.length - named.length
  return `Unrecognized keys: ${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}

function* parse(text: string, limits: JsonLimits): Generator<void, unknown> {
  try {
    // What is within the limits is parsed at once.
    yield* scanFields(text, () => undefined, limits)
    return JSON.parse(text)
  } catch (error) {
    const own = error instanceof JsonSyntaxError
    // The parser's own words quote the text.
    throw badRequest(`Cannot read the request: ${own ? error.message : 'it is not JSON'}`)
  }
}

function badRequest(message: string): SottoError {
  return new SottoError('bad_request', message)
}
