// oxlint-disable vitest/no-conditional-tests -- the caller says which of them apply
/** Every request of the corpus, sent to setec and to Sotto: the same answers, and the same secrets after. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type BodyCase, bodyCases, bodyFor, readers } from './corpus.ts'
import { differences, storedDifferences } from './differences.ts'
import { cases as headCases, usual } from './heads.ts'
import { arranged, Judge } from './judge.ts'
import type { Pair } from './pair.ts'

const reads = bodyCases.filter(({ method }) => readers.has(method))
const writes = bodyCases.filter(({ method }) => !readers.has(method))

/** A case beside its title, as `test.for` shows it whole. */
function titled(each: BodyCase): [string, BodyCase] {
  return [`${each.method}: ${each.title}`, each]
}

/**
 * Registers the tests, on the two servers that `start` starts. Without `heads` only bodies are tried: what a
 * head says is decided before a secret is looked at.
 */
export function sameAnswers(start: () => Promise<Pair>, heads = true): void {
  let pair: Pair
  let judge: Judge

  beforeAll(async () => {
    pair = await start()
    judge = new Judge(pair)
    await judge.arrange('shared')
  })
  afterAll(() => pair.stop())

  test.for(reads.map(titled))('%s', ([, { method, body }]) =>
    judge.read({ path: `/api/${method}`, headers: usual, body: bodyFor(body, 'shared') }),
  )

  test('reading changes nothing', async () => {
    expect(await judge.clear()).toEqual([{ shared: arranged }, { shared: arranged }])
  })

  test.for(writes.map(titled))('%s', async ([, { method, body }]) => {
    await judge.change((name) => ({
      path: `/api/${method}`,
      headers: usual,
      body: bodyFor(body, name),
    }))
  })

  const triedHeads = heads ? headCases : []
  test.for(triedHeads.map((each) => [each.title, each] as const))('%s', async ([, each]) => {
    const { title: _, path, body, ...head } = each
    await judge.change((name) => ({
      ...head,
      path: path.replace('NAME', name),
      body: bodyFor(body, name),
    }))
  })

  test.for(heads ? ['was met'] : [])('every intended difference %s', () => {
    const unmet = [...differences, ...storedDifferences].filter((each) => !judge.met.has(each))
    expect(unmet.map(({ title }) => title)).toEqual([])
  })

  test('Sotto met no fault', () => {
    expect(pair.faults()).not.toMatch(/request \S+ failed: (?!unidentified)/)
  })
}
