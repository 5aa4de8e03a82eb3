/** Random rules on random names: setec and Sotto allow the same callers the same acts. */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { actions, type Rule } from '../../../client/api/types.ts'
import { describeWith } from '../../support/peers.ts'
import { type Pair, sides, startPair } from './pair.ts'

const seed = 20_261_122

/** Characters that patterns of other systems take for special ones are among these. */
const letters = ['a', 'a', 'b', 'b', '/', '.', '?', '[', ']', '\\', '+', '$', '^', 'é', '😀']

const name = fc.string({ unit: fc.constantFrom(...letters, '*'), minLength: 1, maxLength: 7 })
const pattern = fc.oneof(
  fc.string({ unit: fc.constantFrom(...letters.slice(0, 6), '*', '*', '*'), maxLength: 7 }),
  fc.string({ unit: fc.constantFrom(...letters, '*', '*', '*'), maxLength: 6 }),
)
const action = fc.constantFrom(...actions, 'info', 'info', 'delete-version', 'GET', '*', '')
const rule: fc.Arbitrary<Rule> = fc.record({
  action: fc.array(action, { maxLength: 4 }),
  secret: fc.array(pattern, { maxLength: 3 }),
})

const names =
  fc.sample(fc.uniqueArray(name, { minLength: 150, maxLength: 150 }), { seed, numRuns: 1 })[0] ?? []
const rules = fc.sample(fc.array(rule, { maxLength: 4 }), { seed, numRuns: 80 })
const callers = rules.map((_, i) => `127.0.1.${i + 1}`)

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
  let pair: Pair

  beforeAll(async () => {
    const more = callers.map((address, i) => [address, rules[i] ?? []] as const)
    pair = await startPair(Object.fromEntries(more))
    for (const Name of names) {
      for (const side of sides) await pair.call(side, 'put', { Name, Value: 'eA==' })
    }
  })
  afterAll(() => pair.stop())

  for (const [i, address] of callers.entries()) {
    test(`rules ${JSON.stringify(rules[i])}`, async () => {
      const [setec, sotto] = await Promise.all(
        sides.map(async (side) => {
          const list = JSON.parse((await pair.call(side, 'list', {}, address)).body) as unknown
          return { list: list ?? [], allowed: await allowed(side, address, i) }
        }),
      )
      expect(sotto).toEqual(setec)
    })
  }

  /** Which probes one server lets the caller do, on some of the names. */
  async function allowed(side: 'setec' | 'sotto', address: string, offset: number) {
    const found: string[] = []
    for (let at = offset % 6; at < names.length; at += 6) {
      const Name = names[at] as string
      for (const [method, request] of probes) {
        const { status } = await pair.call(side, method, { Name, ...request }, address)
        if (status !== 403) found.push(`${method} ${Name}: ${status}`)
      }
    }
    return found
  }

  test('the rules allow some and refuse some', async () => {
    const lists = callers.map((address) => pair.call('sotto', 'list', {}, address))
    const lengths = (await Promise.all(lists)).map(({ body }) => (JSON.parse(body) as []).length)
    expect(new Set(lengths).size).toBeGreaterThan(10)
  })
})
