/**
 * Random sequences of calls, step by step on setec and on Sotto. The one difference that shows is that
 * Sotto's numbers go on after a delete: a sequence names versions as setec counts them, and what Sotto
 * is sent and answers is renumbered by the numbers that the name used up before.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describeWith } from '../../support/peers.ts'
import { mixed, nobody, root } from '../tailnet.ts'
import type { Method } from './corpus.ts'
import { explain } from './differences.ts'
import { usual } from './heads.ts'
import { brief, type Pair, sides, startPair } from './pair.ts'
import { Numbering } from './numbering.ts'

const seed = 20_261_122

interface Step {
  readonly method: Method
  readonly from: string
  readonly name: number
  readonly version: number
  readonly value: string
  readonly conditional: boolean
}

const step: fc.Arbitrary<Step> = fc.record({
  method: fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom<Method[]>('put', 'create-version') },
    { weight: 4, arbitrary: fc.constantFrom<Method[]>('activate', 'delete-version', 'get') },
    { weight: 1, arbitrary: fc.constantFrom<Method[]>('delete', 'info', 'list') },
  ),
  from: fc.oneof(
    { weight: 12, arbitrary: fc.constant(root) },
    { weight: 1, arbitrary: fc.constantFrom(mixed, nobody) },
  ),
  name: fc.nat(2),
  version: fc.oneof(
    { weight: 9, arbitrary: fc.nat(8) },
    { weight: 1, arbitrary: fc.constantFrom(20, 1000, 100_000) },
  ),
  value: fc.constantFrom('', 'eA==', 'eQ==', 'ejo='),
  conditional: fc.boolean(),
})

describeWith(['setecd'], 'Sotto does step by step what setec does', () => {
  let pair: Pair
  let runs = 0

  beforeAll(async () => {
    pair = await startPair()
  })
  afterAll(() => pair.stop())

  test.for([
    { steps: 12, numRuns: 120 },
    { steps: 60, numRuns: 40 },
  ])('up to $steps steps', async ({ steps, numRuns }) => {
    const sequence = fc.array(step, { minLength: 1, maxLength: steps, size: 'max' })
    await fc.assert(fc.asyncProperty(sequence, play), { seed, numRuns })
  })

  /** Plays a sequence on three names of its own, and deletes them at the end. */
  async function play(sequence: readonly Step[]): Promise<void> {
    const run = runs++
    const numbering = new Numbering()
    const names = ['put', 'get', 'info'].map((folder) => `${folder}/run-${run}`)
    try {
      for (const each of sequence) {
        const name = names[each.name] as string
        // setec answers the dead number then and stores nothing: the two would hold different things.
        if (each.method === 'put' && each.value === '' && numbering.latestIsDead(name)) continue
        await take(numbering, name, each)
      }
      const [setec, sotto] = await Promise.all(sides.map((side) => pair.contents(side)))
      expect(numbering.contents(sotto ?? {})).toEqual(setec)
    } finally {
      for (const Name of names) {
        for (const side of sides) await pair.call(side, 'delete', { Name })
      }
    }
  }

  async function take(numbering: Numbering, name: string, each: Step): Promise<void> {
    const { method, from, version, value, conditional } = each
    const request = { Name: name, Version: version, Value: value, UpdateIfChanged: conditional }
    const renumbered = { ...request, Version: numbering.toSotto(name, version) }
    const [setec, sotto] = await Promise.all([
      pair.call('setec', method, request, from),
      pair.call('sotto', method, renumbered, from),
    ])
    const expected = brief(setec)
    const got = brief(numbering.fromSotto(method, name, sotto))
    if (got !== expected) {
      const body = Buffer.from(JSON.stringify(request))
      const asked = { from, path: `/api/${method}`, headers: usual, body }
      const reason = explain(asked, { setec, sotto })?.title
      expect(reason, `${method} ${JSON.stringify(request)}: ${got} for ${expected}`).toBeDefined()
    }
    if (setec.status === 200) numbering.note(method, name, version, setec.body)
  }
})
