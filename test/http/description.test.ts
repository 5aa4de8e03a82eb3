/** The OpenAPI document: that it is one, and that it says what the table of errors and the schemas say. */
import { describe, expect, test } from 'vitest'
import { callErrors } from '../../client/api/calls.ts'
import { type ErrorCode, errorTable } from '../../client/api/errors.ts'
import { manyMethods } from '../../client/api/many.ts'
import { operations } from '../../client/api/operations.ts'
import { methods } from '../../client/api/wire.ts'
import { finished } from '../support/finished.ts'
import { openApiText } from '../../server/http/openapi.ts'

type Json = Readonly<Record<string, unknown>>

const document = JSON.parse(finished(openApiText('1.2.3'))) as Json
const at = (value: unknown, ...path: string[]): unknown =>
  path.reduce((found, key) => (found as Json | undefined)?.[key], value)
const calls = { ...methods, ...manyMethods, ...operations }
const names = Object.keys(calls) as (keyof typeof calls)[]

/** Every object within `value`, itself among them. */
function objectsIn(value: unknown): Json[] {
  if (typeof value !== 'object' || value === null) return []
  const own = Array.isArray(value) ? [] : [value as Json]
  return [...own, ...Object.values(value).flatMap(objectsIn)]
}

/** The schema behind a reference, or the schema itself. */
function resolved(schema: unknown): Json {
  const reference = (schema as Json)['$ref']
  if (typeof reference !== 'string') return schema as Json
  const found = at(document, ...reference.slice('#/'.length).split('/'))
  expect(found, reference).toBeTypeOf('object')
  return resolved(found)
}

test('the document is OpenAPI 3.1 with the release as its version', () => {
  expect(document['openapi']).toBe('3.1.0')
  expect(document['info']).toMatchObject({ title: 'Sotto', version: '1.2.3' })
  const allowed = ['openapi', 'info', 'jsonSchemaDialect', 'servers', 'paths', 'components', 'tags']
  expect(allowed).toEqual(expect.arrayContaining(Object.keys(document)))
})

test('it has every method of the API, as POST, and each has a name of its own', () => {
  const paths = document['paths'] as Json
  expect(Object.keys(paths)).toEqual(names.map((name) => `/api/${name}`))
  for (const item of Object.values(paths)) expect(Object.keys(item as Json)).toEqual(['post'])
  const ids = Object.values(paths).map((item) => at(item, 'post', 'operationId'))
  expect(new Set(ids).size).toBe(names.length)
})

test('every reference leads somewhere, and nothing speaks of another place', () => {
  const references = objectsIn(document).filter((each) => '$ref' in each)
  expect(references.length).toBeGreaterThan(names.length)
  for (const reference of references) resolved(reference)
  expect(JSON.stringify(document)).not.toContain('$defs')
})

test('a pattern comes without a format, which would be another opinion', () => {
  const doubled = objectsIn(document).filter((each) => 'pattern' in each && 'format' in each)
  expect(doubled).toEqual([])
})

describe.each(names)('%s', (name) => {
  const operation = at(document, 'paths', `/api/${name}`, 'post') as Json

  test('has the fields of its schema, in the request and in the answer', () => {
    const body = at(operation, 'requestBody', 'content', 'application/json', 'schema')
    const fields = Object.keys(calls[name].request.shape)
    expect(Object.keys((resolved(body)['properties'] ?? {}) as Json)).toEqual(fields)
    const answer = at(operation, 'responses', '200', 'content', 'application/json', 'schema')
    expect(resolved(answer)['type']).toBeTypeOf('string')
  })

  test('demands the fields without which it is refused, and no others', () => {
    const body = at(operation, 'requestBody', 'content', 'application/json', 'schema')
    const { required = [], properties = {} } = resolved(body)
    const fields: Partial<Record<keyof typeof calls, string[]>> = {
      put: ['Name'],
      'get-many': ['Secrets'],
      watch: ['Secrets'],
      'create-version': ['Name', 'Version'],
      activate: ['Name', 'Version'],
      'delete-version': ['Name', 'Version'],
      delete: ['Name'],
      'job-run': ['Name'],
      'backend-describe': ['Name'],
      'backend-create': ['Name', 'Type'],
      'backend-apply': ['Name', 'Type'],
      'backend-delete': ['Name'],
      'backend-test': ['Name'],
      'branch-adopt': ['Branch'],
      'key-add': ['Provider', 'Settings'],
      'key-remove': ['Key'],
      'migrate-plan': ['From', 'To'],
      'migrate-secret': ['Name', 'From', 'To'],
      'mirror-plan': ['Backend'],
      'backend-secrets': ['Name'],
      'rotation-describe': ['Name'],
      'rotation-create': ['Name', 'Config'],
      'rotation-apply': ['Name', 'Config'],
      'rotation-delete': ['Name'],
      'rotation-plan': ['Name'],
      'rotation-run': ['Name'],
      'rotation-done': ['Name', 'Version'],
      'rotation-abort': ['Name'],
      'rotation-retire': ['Name'],
      'rotation-reconcile': ['Name'],
      'secret-history': ['Name'],
      'secret-put': ['Name', 'Value', 'Expect'],
      'secret-activate': ['Name'],
      rollout: ['Name'],
    }
    expect(required).toEqual(fields[name] ?? [])
    const open = Object.entries(properties as Json).filter(
      ([, field]) => 'default' in (field as Json),
    )
    expect(open.map(([field]) => field).filter((field) => fields[name]?.includes(field))).toEqual(
      [],
    )
  })

  test('asks for the header that keeps browsers out', () => {
    expect(operation['parameters']).toEqual([
      expect.objectContaining({
        name: 'Sec-X-Tailscale-No-Browsers',
        in: 'header',
        required: true,
      }),
    ])
  })

  test('has each of its errors under the status of the table', () => {
    const responses = operation['responses'] as Json
    const told: string[] = []
    for (const [status, response] of Object.entries(responses)) {
      expect((response as Json)['description']).toBeTypeOf('string')
      const codes = (at(response, 'headers', 'Sotto-Error', 'schema', 'enum') ?? []) as ErrorCode[]
      for (const code of codes)
        expect([code, String(errorTable[code].status)]).toEqual([code, status])
      told.push(...codes)
    }
    expect(told).toEqual(expect.arrayContaining([...callErrors[name], 'denied', 'overloaded']))
    expect(at(responses, '304', 'content')).toBeUndefined()
  })
})
