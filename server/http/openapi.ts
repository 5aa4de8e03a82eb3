/** The OpenAPI 3.1 document, generated from the schemas that the server decodes by. */
import { z } from 'zod'
import { callErrors } from '../../client/api/calls.ts'
import { type ErrorCode, errorTable } from '../../client/api/errors.ts'
import { operations } from '../../client/api/operations.ts'
import { methods } from '../../client/api/wire.ts'

const calls = { ...methods, ...operations }
type CallName = keyof typeof calls
type Part = 'request' | 'response'

/** Errors that every method can give. */
const common: readonly ErrorCode[] = [
  'not_post',
  'content_type',
  'bad_request',
  'browser',
  'denied',
  'timeout',
  'too_large',
  'head_too_large',
  'unidentified',
  'overloaded',
  'shutting_down',
  'audit_unavailable',
  'store_unavailable',
  'store_damaged',
  'internal',
]

/** The document as a JSON value. `version` is the release of the program. */
export function openApiDocument(version: string): Record<string, unknown> {
  return {
    openapi: '3.1.0',
    jsonSchemaDialect: 'https://json-schema.org/draft/2020-12/schema',
    info: {
      title: 'Sotto',
      version,
      description: 'A secrets server for a tailnet. Who is calling comes from the network.',
      license: { name: 'BSD-3-Clause', identifier: 'BSD-3-Clause' },
    },
    paths: Object.fromEntries(
      (Object.keys(calls) as CallName[]).map((name) => [`/api/${name}`, { post: operation(name) }]),
    ),
    components: { schemas: components() },
  }
}

function operation(name: CallName): Record<string, unknown> {
  const { summary, action } = calls[name]
  const place = name in operations ? 'the empty name' : 'the name'
  return {
    operationId: name,
    summary,
    description: action ? `Needs \`${action}\` on ${place}.` : 'Needs no permission.',
    parameters: [
      {
        name: 'Sec-X-Tailscale-No-Browsers',
        in: 'header',
        required: true,
        description: 'Keeps browsers out: code that runs in one cannot set it.',
        schema: { type: 'string', const: 'setec' },
      },
    ],
    requestBody: { required: true, content: json(name, 'request') },
    responses: {
      200: { description: 'Done.', headers, content: json(name, 'response') },
      ...failures([...common, ...callErrors[name]]),
    },
  }
}

const headers = {
  'X-Request-Id': {
    schema: { type: 'string' },
    description: 'Names the request in the audit log.',
  },
  'Cache-Control': { schema: { const: 'no-store' } },
}

function failures(codes: readonly ErrorCode[]): Record<string, unknown> {
  const byStatus = Map.groupBy(codes, (code) => errorTable[code].status)
  return Object.fromEntries(
    [...byStatus].map(([status, group]) => [
      status,
      {
        description: group.map((code) => `\`${code}\`: ${errorTable[code].meaning}`).join(' '),
        headers: { ...headers, 'Sotto-Error': { schema: { enum: group } } },
        ...(status !== 304 && { content: { 'text/plain': { schema: { type: 'string' } } } }),
      },
    ]),
  )
}

function json(name: CallName, part: Part): Record<string, unknown> {
  return { 'application/json': { schema: { $ref: `#/components/schemas/${name}-${part}` } } }
}

function components(): Record<string, unknown> {
  const all: Record<string, unknown> = {}
  for (const name of Object.keys(calls) as CallName[]) {
    for (const part of ['request', 'response'] as const) {
      const {
        $schema: _,
        $defs = {},
        ...schema
      } = z.toJSONSchema(calls[name][part], {
        io: part === 'request' ? 'input' : 'output',
        unrepresentable: 'any',
        reused: 'inline',
      })
      if (part === 'request') demandFields(schema, calls[name].request)
      all[`${name}-${part}`] = schema
      Object.assign(all, $defs)
    }
  }
  return JSON.parse(
    JSON.stringify(all).replaceAll('"#/$defs/', '"#/components/schemas/'),
  ) as Record<string, unknown>
}

/** Fields whose default is refused must be given. */
function demandFields(schema: z.core.JSONSchema.BaseSchema, { shape }: z.ZodObject): void {
  const fields = Object.keys(shape).filter(
    (field) => !z.safeParse(shape[field] as z.ZodType, undefined).success,
  )
  if (fields.length === 0) return
  schema.required = fields
  for (const field of fields) {
    const property = schema.properties?.[field]
    if (typeof property === 'object') delete property.default
  }
}
