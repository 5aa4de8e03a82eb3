/**
 * The methods about several secrets at once, which setec does not have: each with the schemas of its request and its
 * answer. Bodies are strict JSON.
 */
import { z } from 'zod'
import type { manyErrors, MethodShape } from './calls.ts'
import type { JsonLimits } from './go-json.ts'
import { MAX_READ_NAME_BYTES, utf8Length } from './names.ts'
import { decodeStrict } from './strict.ts'
import { MAX_NAME_BYTES, MAX_VERSION, MAX_WATCHED } from './types.ts'

/** Secrets that one `get-many` may ask for. */
const MAX_MANY = 256
/** Seconds that a blocking query may wait. */
const MAX_WAIT_S = 55

const name = z
  .string()
  .min(1)
  .refine((text) => text.isWellFormed(), 'must be well-formed Unicode')
  .refine((text) => utf8Length(text) <= MAX_READ_NAME_BYTES, 'is too long')
  .meta({ description: 'The name of a secret.', maxLength: MAX_NAME_BYTES })

const version = z.int().min(0).max(MAX_VERSION)
const revision = z
  .int()
  .min(0)
  .meta({ description: 'The store had every change up to it; 0 for who may `get` none of them.' })

const got = z
  .object({
    Name: z.string(),
    Value: z
      .string()
      .optional()
      .meta({ description: 'Standard base64 with padding. Absent: see the other fields.' }),
    Version: version.optional(),
    Unchanged: z.literal(true).optional().meta({ description: 'What is held is still active.' }),
    Error: z
      .string()
      .optional()
      .meta({ description: 'Why there is no value: a code, as `Sotto-Error` has it.' }),
  })
  .meta({ id: 'Got', description: 'A secret of several, or why it cannot be had.' })

const change = z
  .object({
    Name: z.string(),
    Version: version
      .optional()
      .meta({ description: 'The active one; 0: there is none. Absent: denied.' }),
    Denied: z
      .literal(true)
      .optional()
      .meta({ description: 'The caller may not know, whether there is such a secret or not.' }),
    Revision: revision,
  })
  .meta({ id: 'Change', description: 'How a secret differs from what is held.' })

/** Every method about several secrets, by the last part of its path. */
export const manyMethods = {
  'get-many': {
    summary: 'Reveals several secrets at once: of each the active version, or one that is named.',
    action: 'get',
    request: z.strictObject({
      Secrets: z
        .array(
          z.strictObject({
            Name: name,
            Version: version.default(0),
            UpdateIfChanged: z.boolean().default(false),
          }),
        )
        .min(1)
        .max(MAX_MANY)
        .meta({ description: 'Each as a request of `get`.' }),
      All: z
        .boolean()
        .default(false)
        .meta({ description: 'All or none: the first error is the answer.' }),
    }),
    response: z.object({ Secrets: z.array(got) }),
  },
  watch: {
    summary:
      'Tells which versions are active where others are held: as a stream of events, or of a blocking query.',
    action: 'get',
    request: z.strictObject({
      Secrets: z
        .array(z.strictObject({ Name: name, Version: version.default(0) }))
        .min(1)
        .max(MAX_WATCHED)
        .refine((all) => new Set(all.map((each) => each.Name)).size === all.length, {
          error: 'has a name twice',
        })
        .meta({
          description: 'The names, each once, and the version of each that is held; 0: none.',
        }),
      Wait: z
        .number()
        .min(0)
        .max(MAX_WAIT_S)
        .default(MAX_WAIT_S)
        .meta({ description: 'Seconds that a blocking query waits, less a tenth at random.' }),
    }),
    response: z.array(change),
  },
} as const satisfies Record<keyof typeof manyErrors, MethodShape>

/** The name of a method about several secrets, as its path ends. */
export type ManyName = keyof typeof manyMethods

/** A decoded request of such a method. */
export type ManyRequest<M extends ManyName> = z.output<(typeof manyMethods)[M]['request']>

/** What a request may hold: more than the largest that is understood. */
const limits: JsonLimits = {
  fields: 8,
  values: 4 * MAX_WATCHED,
  string: 6 * MAX_READ_NAME_BYTES + 2,
}

/** Decodes the body of a request to `method`. Throws SottoError `bad_request`. Yields where it may rest. */
export function decodeMany<M extends ManyName>(
  method: M,
  text: string,
): Generator<void, ManyRequest<M>> {
  const schema: (typeof manyMethods)[M]['request'] = manyMethods[method].request
  return decodeStrict(schema, limits, text)
}
