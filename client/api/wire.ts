/**
 * The wire: every method with the schema of its request and of its answer. The server decodes by
 * these schemas and the OpenAPI document is generated from them.
 */
import { z } from 'zod'
import type { MethodShape, methodErrors } from './calls.ts'
import { SottoError } from './errors.ts'
import { folded, JsonSyntaxError, REST_CHARACTERS, scanFields, unescaped } from './go-json.ts'
import { MAX_READ_NAME_BYTES, nameProblem, utf8Length } from './names.ts'
import { actions, MAX_NAME_BYTES, MAX_VERSION } from './types.ts'

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** Any name that a stored secret could have; what no secret can be called is found by no look-up. */
const anyName = z
  .string()
  .default('')
  .refine((name) => name.isWellFormed(), 'must be well-formed Unicode')
  .refine((name) => utf8Length(name) <= MAX_READ_NAME_BYTES, 'is too long')
  .meta({ description: 'The name of a secret, compared byte for byte.', maxLength: MAX_NAME_BYTES })

/** The name of a secret that is to be changed: not empty. */
const someName = anyName
  .refine((name) => name !== '', { error: 'must not be empty', params: { code: 'invalid_name' } })
  .meta({ description: 'The name of an existing secret.', minLength: 1, maxLength: MAX_NAME_BYTES })

/** The name of a secret that is to be written: one that Sotto gives. */
const newName = anyName
  .refine((name) => nameProblem(name) === undefined, {
    error: 'must be 1 to 512 bytes without control characters',
    params: { code: 'invalid_name' },
  })
  .meta({
    description: `1 to ${MAX_NAME_BYTES} bytes of UTF-8 without control characters.`,
    minLength: 1,
    maxLength: MAX_NAME_BYTES,
    pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]+$',
  })

const version = z
  .int()
  .min(0)
  .max(MAX_VERSION)
  .default(0)
  .meta({ description: 'A version number; 0 or absent means none.' })

const someVersion = version
  .refine((number) => number > 0, { error: 'must not be 0', params: { code: 'invalid_version' } })
  .meta({ description: 'A version number.', minimum: 1, maximum: MAX_VERSION })

const value = z
  .instanceof(Uint8Array)
  .default(() => new Uint8Array(0))
  .meta({
    description: 'The value in standard base64 with padding; absent means the empty value.',
    type: 'string',
    pattern: base64.source,
  })

const versionAnswer = z.int().min(0).max(MAX_VERSION)
const info = z
  .object({ Name: z.string(), Versions: z.array(versionAnswer), ActiveVersion: versionAnswer })
  .meta({ id: 'SecretInfo', description: 'A secret without its values.' })
const nothing = z.object({}).meta({ id: 'Nothing', description: 'An empty object.' })
const bytesAnswer = z.string().regex(base64).meta({ description: 'Standard base64 with padding.' })

/** Every method of the API, by the last part of its path. */
export const methods = {
  list: {
    summary: 'Lists the secrets that the caller may know about.',
    action: null,
    request: z.object({}),
    response: z.array(info),
  },
  info: {
    summary: 'Returns the versions of a secret, without values.',
    action: 'info',
    request: z.object({ Name: anyName }),
    response: info,
  },
  get: {
    summary: 'Reveals the active version of a secret, or one that is named.',
    action: 'get',
    request: z.object({
      Name: anyName,
      Version: version,
      UpdateIfChanged: z.boolean().default(false).meta({
        description: 'With a version: answer 304 when the active version is that one.',
      }),
    }),
    response: z
      .object({ Value: bytesAnswer, Version: versionAnswer })
      .meta({ id: 'SecretValue', description: 'A value and its version.' }),
  },
  put: {
    summary: 'Adds a version; the first of a secret becomes active.',
    action: 'put',
    request: z.object({ Name: newName, Value: value }),
    response: versionAnswer.meta({ description: 'The number of the version.' }),
  },
  'create-version': {
    summary: 'Adds a version under a number of the caller’s choice and activates it.',
    action: 'create-version',
    request: z.object({ Name: newName, Version: someVersion, Value: value }),
    response: nothing,
  },
  activate: {
    summary: 'Makes an existing version the active one.',
    action: 'activate',
    request: z.object({ Name: someName, Version: someVersion }),
    response: nothing,
  },
  'delete-version': {
    summary: 'Deletes a version that is not active.',
    action: 'delete',
    request: z.object({ Name: someName, Version: someVersion }),
    response: nothing,
  },
  delete: {
    summary: 'Deletes a secret with all its versions; nothing to delete is a success too.',
    action: 'delete',
    request: z.object({ Name: someName }),
    response: nothing,
  },
  whoami: {
    summary: 'Returns who the network says is calling, and what its rules allow on a name.',
    action: null,
    request: z.object({ Name: anyName }),
    response: z
      .object({
        Hostname: z.string(),
        IP: z.string(),
        NodeID: z.string().optional(),
        User: z.string().optional(),
        Tags: z.array(z.string()).optional(),
        Rules: z.array(
          z
            .object({ action: z.array(z.string()), secret: z.array(z.string()) })
            .meta({ id: 'Rule' }),
        ),
        Allowed: z.array(z.enum(actions)).optional(),
        AllowedBy: z
          .array(z.object({ Action: z.enum(actions), Rule: z.int().min(0), Pattern: z.string() }))
          .optional(),
      })
      .meta({ id: 'Self', description: 'A caller, as the network reports it.' }),
  },
} as const satisfies Record<keyof typeof methodErrors, MethodShape>

/** The name of a method, as its path ends. */
export type MethodName = keyof typeof methods

/** A decoded request: names as strings, versions as numbers (0 for none), values as bytes. */
export type Request<M extends MethodName> = z.output<(typeof methods)[M]['request']>

/**
 * Decodes the body of a request to `method`. Throws SottoError `bad_request` for what Go's decoder
 * refuses, `invalid_version` and `invalid_name` for what Sotto does. Yields where it may rest.
 */
export function* decodeRequest<M extends MethodName>(
  method: M,
  text: string,
): Generator<void, Request<M>> {
  const schema: z.ZodObject = methods[method].request
  const parsed = schema.safeParse(yield* readFields(fieldsOf.get(method) ?? new Map(), text))
  if (parsed.success) return parsed.data as Request<M>
  const issue = parsed.error.issues[0]
  const code = issue?.code === 'custom' ? issue.params?.['code'] : undefined
  throw new SottoError(
    code === 'invalid_name' || code === 'invalid_version' ? code : 'bad_request',
    `Cannot read the request: field "${String(issue?.path[0])}" ${issue?.message}`,
  )
}

/** The fields of each method, by their folded names. */
const fieldsOf = new Map(
  Object.entries(methods).map(([method, { request }]) => [
    method,
    new Map(Object.keys(request.shape).map((name) => [folded(name), name])),
  ]),
)

function* readFields(
  names: ReadonlyMap<string, string>,
  text: string,
): Generator<void, Record<string, unknown>> {
  const fields: Record<string, unknown> = {}
  const keep = (name: string, found: unknown): void => {
    if (found === undefined) throw badRequest(`field "${name}" has a wrong type`)
    // Go leaves a scalar as it was when it meets null, and empties a byte slice.
    if (found !== null) fields[name] = found
    else if (name === 'Value') delete fields[name]
  }
  const keepLong = function* (name: string, found: LongRead): LongRead<void> {
    keep(name, yield* found)
  }
  const steps = scanFields(text, (key, from, to) => {
    const name = names.get(key) ?? names.get(folded(key))
    if (name === undefined) return undefined
    const read = readers[name]
    if (!read) throw new Error(`No reader for field ${name}`)
    const found = read(text, from, to)
    if (isLong(found)) return keepLong(name, found)
    keep(name, found)
    return undefined
  })
  try {
    yield* steps
  } catch (error) {
    throw error instanceof JsonSyntaxError ? badRequest(error.message) : error
  }
  return fields
}

/** Reads a value that takes long: yields where it may rest. */
type LongRead<T = Uint8Array | undefined> = Generator<void, T>

function isLong(found: unknown): found is LongRead {
  return typeof found === 'object' && found !== null && 'next' in found
}

function badRequest(reason: string): SottoError {
  return new SottoError('bad_request', `Cannot read the request: ${reason}`)
}

/** What a field holds whose value is at `from` and ends before `to`: null for a JSON null, undefined for a wrong type. */
type Reader = (
  text: string,
  from: number,
  to: number,
) => string | number | boolean | Uint8Array | null | undefined | LongRead

/** How each field of the wire is read. */
const readers: Record<string, Reader> = {
  Name: (text, from, to) => {
    if (text[from] !== '"') return text[from] === 'n' ? null : undefined
    if (to - from > MAX_SPELLED_NAME) throw badRequest('field "Name" is too long')
    return unescaped(text.slice(from, to))
  },
  Version: (text, from, to) => {
    if (text[from] === 'n') return null
    const spelled = text.slice(from, to)
    if (!/^(?:0|[1-9]\d{0,9})$/.test(spelled)) return undefined
    return Number(spelled) <= MAX_VERSION ? Number(spelled) : undefined
  },
  UpdateIfChanged: (text, from) => {
    if (text[from] === 't' || text[from] === 'f') return text[from] === 't'
    return text[from] === 'n' ? null : undefined
  },
  Value: (text, from, to) => {
    if (text[from] === '[') return readByteArray(text, from + 1, to - 1)
    if (text[from] !== '"') return text[from] === 'n' ? null : undefined
    const spelled = text.slice(from + 1, to - 1)
    return spelled.includes('\\') ? readEscaped(spelled) : readBase64(spelled)
  },
}

/** Characters of a name with its quotes: six for each at most. */
const MAX_SPELLED_NAME = 6 * MAX_READ_NAME_BYTES + 2

/** The bytes of `text`; undefined for what is not base64. As Go's standard decoder: padded, unused bits not looked at. Yields where it may rest. */
export function* readBase64(text: string): Generator<void, Uint8Array<ArrayBuffer> | undefined> {
  if (text.length % 4 !== 0) return undefined
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  const digits = text.length - padding
  const bytes = Buffer.alloc((text.length / 4) * 3 - padding)
  let written = 0
  for (let at = 0; at < text.length; at += REST_CHARACTERS) {
    if (at > 0) yield
    const end = at + REST_CHARACTERS
    // Much faster than to match the whole.
    if (/[^A-Za-z0-9+/]/.test(text.slice(at, Math.min(end, digits)))) return undefined
    written += bytes.write(text.slice(at, end), written, 'base64')
  }
  return bytes
}

/** Of a string with escapes: they stand for slashes, and for line breaks, which Go ignores. */
function* readEscaped(spelled: string): LongRead {
  let joined = ''
  for (let at = 0; at < spelled.length; ) {
    let end = Math.min(at + REST_CHARACTERS, spelled.length)
    const cut = spelled.slice(end - 5, end).lastIndexOf('\\')
    if (end < spelled.length && cut >= 0) end += cut - 5
    const piece = spelled.slice(at, end)
    // Base64 has no backslash: each that is right begins an escape.
    if (piece.includes('\\\\') || piece.endsWith('\\')) return undefined
    joined += (JSON.parse(`"${piece}"`) as string).replace(/[\r\n]/g, '')
    at = end
    yield
  }
  return yield* readBase64(joined)
}

/** Go reads an array of small numbers into a byte slice too; of whole numbers it refuses 1.0, 1e0 and -0. */
function* readByteArray(text: string, from: number, to: number): LongRead {
  const pieces: Uint8Array[] = []
  for (let at = from; at < to; ) {
    const comma = text.indexOf(',', at + REST_CHARACTERS)
    const end = comma < 0 || comma > to ? to : comma
    const piece = text.slice(at, end)
    if (/[^\s\d,nul]/.test(piece)) return undefined
    const items = JSON.parse(`[${piece}]`) as (number | null)[]
    if (!items.every((item) => item === null || item <= 255)) return undefined
    pieces.push(Uint8Array.from(items as number[]))
    at = end + 1
    yield
  }
  const bytes = Buffer.concat(pieces)
  for (const piece of pieces) piece.fill(0)
  return bytes
}
