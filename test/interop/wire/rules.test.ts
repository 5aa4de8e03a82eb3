/** Patterns and rules on many names: setec and Sotto allow the same callers the same acts. */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { actions, type Rule } from '../../../client/api/types.ts'
import { describeWith } from '../../support/peers.ts'
import { type Pair, type Side, sides, startPair } from './pair.ts'

const seed = 20_261_122

/** Characters that patterns of other systems take for special ones are among these. */
const letters = [
  'a',
  'b',
  '/',
  '.',
  '?',
  '[',
  ']',
  '\\',
  '+',
  '$',
  '^',
  '|',
  '(',
  'é',
  '😀',
  '\u0301',
]

const oddName = fc.string({ unit: fc.constantFrom(...letters, '*'), minLength: 1, maxLength: 7 })
const oddPattern = fc.string({ unit: fc.constantFrom(...letters, '*', '*', '*'), maxLength: 6 })
const longPattern = fc.string({ unit: fc.constantFrom('a', 'b', '*'), minLength: 5, maxLength: 9 })

/** Every short name of two letters, where parts of a pattern may overlap, and odd ones. */
const names = [...new Set([...words(['a', 'b'], 6), ...draw(oddName, 80)])]

/** Every short pattern of two letters and the star, longer ones, and odd ones. */
const patterns = [
  ...new Set(['', ...words(['a', 'b', '*'], 4), ...draw(longPattern, 60), ...draw(oddPattern, 60)]),
]

const pattern = fc.oneof(oddPattern, fc.constantFrom(...patterns))
const action = fc.constantFrom(...actions, 'delete-version', 'GET', '*', '')
const rule: fc.Arbitrary<Rule> = fc.record({
  action: fc.array(action, { minLength: 1, maxLength: 4 }),
  secret: fc.array(pattern, { maxLength: 3 }),
})
const ruleSets = draw(fc.array(rule, { maxLength: 4 }), 60)

/** A call for each action that changes nothing when it is allowed, for a secret with version 1, `x`. */
const probes: readonly [method: string, request: object][] = [
  ['get', {}],
  ['info', {}],
  ['put', { Value: 'eA==' }],
  ['create-version', { Version: 1, Value: 'eA==' }],
  ['activate', { Version: 1 }],
  ['delete-version', { Version: 7 }],
]

describeWith(['setecd'], 'setec and Sotto allow the same', () => {
  const callers = new Map<string, readonly Rule[]>()
  for (const [i, each] of patterns.entries()) {
    callers.set(addressOf(1, i), [{ action: ['info'], secret: [each] }])
  }
  for (const [i, rules] of ruleSets.entries()) callers.set(addressOf(101, i), rules)
  let pair: Pair

  beforeAll(async () => {
    pair = await startPair(Object.fromEntries(callers))
    const fill = async (side: Side) => {
      for (const Name of names) await pair.call(side, 'put', { Name, Value: 'eA==' })
    }
    await Promise.all(sides.map(fill))
  })
  afterAll(() => pair.stop())

  async function listed(side: Side, address: string): Promise<string[]> {
    const list = JSON.parse((await pair.call(side, 'list', {}, address)).body) as
      | { Name: string }[]
      | null
    return (list ?? []).map(({ Name }) => Name)
  }

  describe('names that a pattern matches', () => {
    test.for(patterns.map((each, i) => [each, i] as const))('%j', async ([, i]) => {
      const [setec, sotto] = await Promise.all(sides.map((side) => listed(side, addressOf(1, i))))
      expect(sotto).toEqual(setec)
    })
  })

  describe('acts that rules allow', () => {
    test.for(ruleSets.map((rules, i) => [rules, i] as const))('%j', async ([, i]) => {
      const [setec, sotto] = await Promise.all(sides.map((side) => allowed(side, i)))
      expect(sotto).toEqual(setec)
    })
  })

  /** What one server lets the caller do, on some of the names. */
  async function allowed(side: Side, caller: number): Promise<string[]> {
    const found: string[] = []
    for (let at = caller % 8; at < names.length; at += 8) {
      const Name = names[at] as string
      for (const [method, request] of probes) {
        const answer = await pair.call(side, method, { Name, ...request }, addressOf(101, caller))
        if (answer.status !== 403) found.push(`${method} ${Name}: ${answer.status}`)
      }
    }
    return found
  }

  test('patterns match some names and not others', async () => {
    const lists = patterns.map((_, i) => listed('sotto', addressOf(1, i)))
    const lengths = (await Promise.all(lists)).map((list) => list.length)
    expect(lengths).toContain(0)
    expect(lengths).toContain(names.length)
    expect(new Set(lengths).size).toBeGreaterThan(20)
  })
})

/** Every word of 1 to `most` of the letters. */
function words(alphabet: readonly string[], most: number): string[] {
  const shorter = most > 1 ? words(alphabet, most - 1) : ['']
  const longest = shorter.filter((word) => word.length === most - 1)
  const grown = longest.flatMap((word) => alphabet.map((letter) => word + letter))
  return most > 1 ? [...shorter, ...grown] : grown
}

function draw<T>(arbitrary: fc.Arbitrary<T>, numRuns: number): T[] {
  return fc.sample(arbitrary, { seed, numRuns })
}

function addressOf(block: number, index: number): string {
  return `127.0.${block + Math.floor(index / 250)}.${1 + (index % 250)}`
}
