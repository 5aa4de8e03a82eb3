/** The OpenAPI 3.1 document, generated from the schemas that the server decodes by. */
import { z } from 'zod'
import { callErrors, type MethodShape } from '../../client/api/calls.ts'
import { type ErrorCode, errorTable } from '../../client/api/errors.ts'
import { manyMethods } from '../../client/api/many.ts'
import { operations } from '../../client/api/operations.ts'
import { methods } from '../../client/api/wire.ts'

const calls = { ...methods, ...manyMethods, ...operations }
type CallName = keyof typeof calls
type Part = 'request' | 'response'

/** Errors that every method can give. */
const common: readonly ErrorCode[] = [
  'not_post',
  'content_type',
  'bad_request',
  'browser',
  'wrong_host',
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

/** The document as JSON text. `version` is the release of the program. Yields where it may rest. */
export function* openApiText(version: string): Generator<void, string> {
  const schemas = yield* components()
  const document = {
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
    components: { schemas },
  }
  return JSON.stringify(document).replaceAll('"#/$defs/', '"#/components/schemas/')
}

function operation(name: CallName): Record<string, unknown> {
  const { summary, action, onName }: MethodShape = calls[name]
  const place = onName ? 'the name' : placeOf(name)
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
      200: {
        description: 'Done.',
        headers: { ...headers, ...own[name] },
        content: { ...json(name, 'response'), ...(name === 'watch' && stream) },
      },
      ...failures([...common, ...callErrors[name]]),
    },
  }
}

function placeOf(name: CallName): string {
  if (name in operations) return 'the empty name'
  return name in manyMethods ? 'each name' : 'the name'
}

const headers = {
  'X-Request-Id': {
    schema: { type: 'string' },
    description: 'Names the request in the audit log.',
  },
  'Cache-Control': { schema: { const: 'no-store' } },
}

const revision = {
  'Sotto-Revision': {
    schema: { type: 'string', pattern: '^[0-9a-f]{16}\\.[0-9]+$' },
    description:
      'The branch of the store and a revision of it: the answer has every change up to there.',
  },
}

/** Headers of the answers of one method. */
const own: { readonly [N in CallName]?: object } = {
  get: revision,
  'get-many': revision,
  watch: revision,
  put: {
    'Sotto-Active': {
      schema: { enum: ['yes', 'no'] },
      description: 'Whether the version in the answer is the active one.',
    },
  },
  info: {
    'Sotto-Backend': {
      schema: { type: 'string' },
      description: 'The backend that keeps the secret, for callers with `backends:view`.',
    },
  },
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

/** The other form of the answer of a watch. */
const stream = {
  'text/event-stream': {
    schema: {
      type: 'string',
      description:
        'Events `change`, whose data is as an item of the other form; `synced` with `Revision`: everything up to there was told; and last `bye` with `Reason`.',
    },
  },
}

function* components(): Generator<void, Record<string, unknown>> {
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
      yield
    }
  }
  return all
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
