/**
 * The wire: every method with the schema of its request and of its answer. The server decodes by
 * these schemas and the OpenAPI document is generated from them.
 */
import { z } from 'zod'
import type { MethodShape, methodErrors } from './calls.ts'
import { SottoError } from './errors.ts'
import { JsonSyntaxError, matchesField, readObject, type Token } from './go-json.ts'
import { MAX_READ_NAME_BYTES, nameProblem, utf8Length } from './names.ts'
import { actions, MAX_NAME_BYTES, MAX_VERSION } from './types.ts'

const loneSurrogates = /\p{Surrogate}/u
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** Any name that a stored secret could have; what no secret can be called is found by no look-up. */
const anyName = z
  .string()
  .default('')
  .refine((name) => !loneSurrogates.test(name), 'must be well-formed Unicode')
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
 * refuses, `invalid_version` and `invalid_name` for what Sotto does.
 */
export function decodeRequest<M extends MethodName>(method: M, text: string): Request<M> {
  const schema: z.ZodObject = methods[method].request
  const parsed = schema.safeParse(readFields(Object.keys(schema.shape), text))
  if (parsed.success) return parsed.data as Request<M>
  const issue = parsed.error.issues[0]
  const code = issue?.code === 'custom' ? issue.params?.['code'] : undefined
  throw new SottoError(
    code === 'invalid_name' || code === 'invalid_version' ? code : 'bad_request',
    `Cannot read the request: field "${String(issue?.path[0])}" ${issue?.message}`,
  )
}

function readFields(names: readonly string[], text: string): Record<string, unknown> {
  const fields: Record<string, unknown> = {}
  for (const [key, token] of readTokens(text)) {
    const name = names.find((candidate) => matchesField(key, candidate))
    if (name === undefined) continue
    const read = readers[name]
    if (!read) throw new Error(`No reader for field ${name}`)
    const found = read(token)
    if (found === undefined) {
      const message = `Cannot read the request: field "${name}" has a wrong type`
      throw new SottoError('bad_request', message)
    }
    // Go leaves a scalar as it was when it meets null, and empties a byte slice.
    if (found !== null) fields[name] = found
    else if (name === 'Value') delete fields[name]
  }
  return fields
}

function readTokens(text: string): [string, Token][] {
  try {
    return readObject(text)
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error
    throw new SottoError('bad_request', `Cannot read the request: ${error.message}`)
  }
}

type Reader = (token: Token) => string | number | boolean | Uint8Array | null | undefined

/** How each field of the wire is read: null for a JSON null, undefined for a wrong type. */
const readers: Record<string, Reader> = {
  Name: (token) => scalar(token, 'string'),
  Version: (token) => {
    if (token.kind !== 'number') return scalar(token, 'number')
    return /^(?:0|[1-9]\d{0,9})$/.test(token.text) && (token.value as number) <= MAX_VERSION
      ? (token.value as number)
      : undefined
  },
  UpdateIfChanged: (token) => {
    if (token.kind === 'true' || token.kind === 'false') return token.kind === 'true'
    return token.kind === 'null' ? null : undefined
  },
  Value: (token) => {
    if (token.kind === 'array') {
      // Go refuses 1.0, 1e0 and -0 as bytes, though they are whole numbers.
      return /[^\s\d,nul[\]]/.test(token.text) ? undefined : readByteArray(token.value as unknown[])
    }
    const text = scalar(token, 'string')
    return typeof text === 'string' ? readBase64(text) : text
  },
}

function scalar(token: Token, kind: Token['kind']): string | null | undefined {
  if (token.kind === 'null') return null
  return token.kind === kind ? (token.value as string) : undefined
}

/** Go's standard decoder: padded, line breaks ignored, unused bits not looked at. */
function readBase64(text: string): Uint8Array | undefined {
  const joined = text.includes('\n') || text.includes('\r') ? text.replace(/[\r\n]/g, '') : text
  return base64.test(joined) ? Buffer.from(joined, 'base64') : undefined
}

/** Go reads an array of small numbers into a byte slice too. */
function readByteArray(items: readonly unknown[]): Uint8Array | undefined {
  return items.every(isByte) ? Uint8Array.from(items as number[]) : undefined
}

function isByte(item: unknown): boolean {
  return (
    item === null || (Number.isInteger(item) && (item as number) >= 0 && (item as number) <= 255)
  )
}
