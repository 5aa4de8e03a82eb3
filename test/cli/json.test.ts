/** What `-o json` prints: one spelling of fields, and data as it is. */
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { operations } from '../../client/api/operations.ts'
import { methods } from '../../client/api/wire.ts'
import { dataFields, jsonLine, recordLine } from '../../cli/json.ts'

/** A key of data that looks like a field of the API. */
const DATA_KEY = 'ActiveVersion2'

// Of a rollout, the command spells the counts itself: test/cli/rollout.txt.
const { 'audit-query': auditQuery, rollout: _spelled, ...printed } = operations
const answers = Object.entries({ ...printed, ...methods })

describe('fields', () => {
  test.each(answers)(
    '%s has no field in PascalCase, and no two that become one',
    (_, { response }) => {
      const sample = sampleOf(z.toJSONSchema(response, { unrepresentable: 'any' }))
      const keys = keysIn(reprinted(sample))
      expect(keys.length).toBe(keysIn(sample).length)
      const isData = (key: string): boolean => key === DATA_KEY
      expect(keys.filter(isData).length).toBe(keysIn(sample).filter(isData).length)
      for (const key of keys.filter((each) => !isData(each))) {
        expect(key).toMatch(/^[a-z]+(?:[A-Z][a-z]+)*$/)
      }
    },
  )

  test('the samples have fields, and maps', () => {
    const samples = answers.map(([, { response }]) =>
      sampleOf(z.toJSONSchema(response, { unrepresentable: 'any' })),
    )
    const keys = new Set(samples.flatMap(keysIn))
    for (const key of ['ActiveVersion', 'NodeID', 'IP', 'Counts', 'Config', DATA_KEY]) {
      expect(keys).toContain(key)
    }
  })

  test('a run of capitals is one word', () => {
    const given = { IP: 1, NodeID: 2, URL: 3, IPAddress: 4, ActiveVersion: 5, Sha256Sum: 6 }
    expect(Object.keys(reprinted(given) as object)).toEqual([
      'ip',
      'nodeId',
      'url',
      'ipAddress',
      'activeVersion',
      'sha256Sum',
    ])
  })

  test('others stay as they are', () => {
    const given = { action: ['get'], secret: ['Prod/*'], roleId: 1, 'A b': { 'Team/Key': 2 } }
    expect(reprinted(given)).toEqual(given)
    expect(reprinted([{ Name: 'Prod/Key' }])).toEqual([{ name: 'Prod/Key' }])
  })

  test('a date and what is absent are as JSON has them', () => {
    expect(reprinted({ At: new Date(0), Gone: undefined, None: null })).toEqual({
      at: '1970-01-01T00:00:00.000Z',
      none: null,
    })
  })
})

describe('data', () => {
  test.each([...dataFields])('what is in %s keeps its keys, at every depth', (field) => {
    const data = { Name: 1, 'Prod/Key': { IP: [{ NodeID: 2 }] } }
    const line = jsonLine({ Deep: [{ [field]: data }] })
    expect(line).toContain(JSON.stringify(data))
    expect(line.startsWith('{"deep":[{')).toBe(true)
  })

  test('a record of the audit log is as it is in the log', () => {
    const schema = z.toJSONSchema(auditQuery.response)
    expect(JSON.stringify(schema)).toContain('"AuditRecord"')
    const record = { id: 1, kind: 'act', Later: { Name: 'x' } }
    expect(JSON.parse(recordLine(record))).toEqual(record)
  })
})

function reprinted(data: unknown): unknown {
  return JSON.parse(jsonLine(data))
}

function keysIn(data: unknown): string[] {
  if (Array.isArray(data)) return data.flatMap(keysIn)
  if (typeof data !== 'object' || data === null) return []
  return Object.entries(data).flatMap(([key, value]) => [key, ...keysIn(value)])
}

/** A value with every field of a schema; maps have one key. Throws for an object that may have other fields. */
function sampleOf(root: z.core.JSONSchema.JSONSchema): unknown {
  const sample = (schema: z.core.JSONSchema.JSONSchema): unknown => {
    const { $ref, type, properties, additionalProperties, items, anyOf } = schema
    if ($ref !== undefined) {
      const found = root.$defs?.[$ref.replace('#/$defs/', '')]
      if (found === undefined) throw new Error(`There is no ${$ref}`)
      return sample(found)
    }
    if (anyOf !== undefined) throw new Error('A choice needs a sample of each')
    if (type === 'array') return [sample(items as z.core.JSONSchema.JSONSchema)]
    if (type !== 'object') return type
    if (properties === undefined) return { [DATA_KEY]: { [DATA_KEY]: 0 } }
    if (additionalProperties !== false) throw new Error('An object may have other fields')
    return Object.fromEntries(
      Object.entries(properties).map(([name, each]) => [
        name,
        sample(each as z.core.JSONSchema.JSONSchema),
      ]),
    )
  }
  return sample(root)
}
