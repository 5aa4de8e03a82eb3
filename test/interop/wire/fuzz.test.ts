/** Random bodies, near to right ones, sent to setec and to Sotto: the same answers and secrets. */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describeWith } from '../../support/peers.ts'
import type { RawRequest } from '../raw.ts'
import { bodyFor, type Method, methods, readers, spellings } from './corpus.ts'
import { usual } from './heads.ts'
import { Judge } from './judge.ts'
import { type Pair, startPair } from './pair.ts'

const seed = 20_261_122

const key = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...Object.keys(spellings)).chain(anyCase) },
  { weight: 1, arbitrary: fc.json({ maxDepth: 0 }).map((text) => text.replace(/^"|"$/g, '')) },
)
const usualValue = fc.constantFrom(
  '"NAME"',
  '"NAME/new"',
  '2',
  '3',
  '9',
  'true',
  'false',
  '"bmV3"',
  '""',
  'null',
)
const oddValue = fc.constantFrom(...Object.values(spellings).flat())
const value = fc.oneof(
  { weight: 6, arbitrary: usualValue },
  { weight: 3, arbitrary: oddValue },
  { weight: 1, arbitrary: fc.json({ maxDepth: 3 }) },
)
const space = fc.oneof(
  { weight: 5, arbitrary: fc.constant('') },
  { weight: 1, arbitrary: fc.constantFrom(' ', '\n', '\t\r') },
)

const field = fc
  .tuple(space, key, space, value, space)
  .map(([a, name, b, text, c]) => `${a}"${name}"${b}:${ownName(name, text)}${c}`)

/** Bodies that begin as a request for NAME would, followed by whatever fields come. */
const bodies = fc
  .tuple(fc.array(field, { maxLength: 6 }), fc.constantFrom('', '', '', ' trailing', '{}'))
  .map(([fields, rest]) => `{${['"Name":"NAME"', ...fields].join(',')}}${rest}`)

/** Places where a byte is put in, taken out or replaced. */
const edits = fc.array(fc.tuple(fc.nat(400), fc.nat(2), fc.nat(255)), {
  minLength: 1,
  maxLength: 3,
})

/** Makes a request of a method for a secret. */
type Build = (method: Method, name: string) => RawRequest

const wellFormed: fc.Arbitrary<Build> = bodies.map(
  (body): Build =>
    (method, name) =>
      requestTo(method, bodyFor(body, name)),
)

const broken: fc.Arbitrary<Build> = fc.tuple(bodies, edits).map(
  ([body, places]): Build =>
    (method, name) => {
      const bytes = [...bodyFor(body, name)]
      for (const [at, kind, byte] of places) {
        bytes.splice(at % (bytes.length + 1), kind === 0 ? 0 : 1, ...(kind === 2 ? [] : [byte]))
      }
      return requestTo(method, Buffer.from(bytes))
    },
)

function requestTo(method: Method, body: Buffer): RawRequest {
  return { path: `/api/${method}`, headers: usual, body }
}

/** A secret's name keeps NAME in it: one that a case before had used goes on at another number. */
function ownName(fieldName: string, text: string): string {
  if (fieldName.toLowerCase() !== 'name' || text.includes('NAME')) return text
  return text.replace(/^"(?=[^"])/, '"NAME')
}

/** Each letter of a field's name in either case. */
function anyCase(name: string): fc.Arbitrary<string> {
  return fc.array(fc.boolean(), { minLength: name.length, maxLength: name.length }).map((upper) =>
    name
      .split('')
      .map((c, i) => (upper[i] ? c.toUpperCase() : c.toLowerCase()))
      .join(''),
  )
}

describeWith(['setecd'], 'Sotto answers random bodies as setec does', () => {
  let pair: Pair
  let judge: Judge

  beforeAll(async () => {
    pair = await startPair()
    judge = new Judge(pair)
  })
  afterAll(() => pair.stop())

  for (const [kind, arbitrary] of [
    ['well-formed', wellFormed],
    ['broken', broken],
  ] as const) {
    for (const method of methods.filter((each) => readers.has(each))) {
      test(`${kind} bodies of ${method}`, async () => {
        const name = judge.freshName()
        await judge.arrange(name)
        const property = fc.asyncProperty(arbitrary, (build) => judge.read(build(method, name)))
        await fc.assert(property, { seed, numRuns: 600 })
        await judge.clear()
      })
    }
    for (const method of methods.filter((each) => !readers.has(each))) {
      test(`${kind} bodies of ${method}`, async () => {
        const property = fc.asyncProperty(arbitrary, (build) =>
          judge.change((name) => build(method, name)),
        )
        await fc.assert(property, { seed, numRuns: 150 })
      })
    }
  }

  test('Sotto met no fault', () => {
    expect(pair.faults()).not.toMatch(/request \S+ failed/)
  })
})
