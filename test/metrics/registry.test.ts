/** The registry by itself: what it refuses, and the text that it makes. */
import { describe, expect, test } from 'vitest'
import { Registry } from '../../server/metrics/registry.ts'
import { Page } from '../support/scrape.ts'

describe('definitions', () => {
  test('a name is given once', () => {
    const registry = new Registry()
    registry.counter({ name: 'sotto_a_total', help: 'A.' })
    expect(() => registry.gauge({ name: 'sotto_a_total', help: 'B.' })).toThrow('two metrics')
  })

  test.each([
    ['sotto_A', {}],
    ['sotto_a-b', {}],
    ['sotto_a', { 'x y': ['1'] }],
    ['sotto_a', { le: ['1'] }],
  ] as const)('%s with labels %j is refused', (name, labels) => {
    expect(() => new Registry().gauges({ name, help: 'A.', labels })).toThrow(/names no|label of/)
  })

  test('a label has no value but those of its set', () => {
    const family = new Registry().counters({
      name: 'sotto_a_total',
      help: 'A.',
      labels: { kind: ['one', 'two'] },
    })
    // @ts-expect-error -- the types refuse it, too
    expect(() => family.with({ kind: 'three' })).toThrow('no kind "three"')
    // @ts-expect-error -- the types refuse it, too
    expect(() => family.with({})).toThrow('no kind')
    expect(family.with({ kind: 'one' })).toBe(family.with({ kind: 'one' }))
  })

  test('what there is can be listed, in order', () => {
    const registry = new Registry()
    registry.gauges({ name: 'sotto_b', help: 'B.', labels: { kind: ['x'] } })
    registry.counter({ name: 'sotto_a_total', help: 'A.' })
    expect(registry.heads).toEqual([
      { name: 'sotto_b', help: 'B.', type: 'gauge', labels: { kind: ['x'] } },
      { name: 'sotto_a_total', help: 'A.', type: 'counter', labels: {} },
    ])
  })
})

describe('the page', () => {
  test('has every metric with its help, its type and its series', async () => {
    const registry = new Registry()
    const kinds = registry.counters({
      name: 'sotto_a_total',
      help: 'Back\\slash, "quotes" and\na line.',
      labels: { kind: ['plain', 'a"b\\c\nd'], other: ['x'] },
    })
    kinds.with({ kind: 'plain', other: 'x' })
    kinds.with({ kind: 'a"b\\c\nd', other: 'x' }).add(2.5)
    registry.gauge({ name: 'sotto_b', help: 'B.' }).set(-1e21)
    registry.gauge({ name: 'sotto_c', help: 'C.' })
    expect(await registry.page()).toBe(
      [
        '# HELP sotto_a_total Back\\\\slash, "quotes" and\\na line.',
        '# TYPE sotto_a_total counter',
        'sotto_a_total{kind="plain",other="x"} 0',
        'sotto_a_total{kind="a\\"b\\\\c\\nd",other="x"} 2.5',
        '# HELP sotto_b B.',
        '# TYPE sotto_b gauge',
        'sotto_b -1e+21',
        '# HELP sotto_c C.',
        '# TYPE sotto_c gauge',
        '',
      ].join('\n'),
    )
  })

  test('has the buckets of a histogram added up, each bound within its own', async () => {
    const registry = new Registry()
    const histogram = registry.histogram({ name: 'sotto_h', help: 'H.', buckets: [0.5, 1, 2] })
    for (const value of [0.5, 0.75, 1, 3, 2.25]) histogram.observe(value)
    expect(new Page(await registry.page()).all('sotto_h')).toEqual([
      ['sotto_h_bucket{le="0.5"}', 1],
      ['sotto_h_bucket{le="1"}', 3],
      ['sotto_h_bucket{le="2"}', 3],
      ['sotto_h_bucket{le="+Inf"}', 5],
      ['sotto_h_sum', 7.5],
      ['sotto_h_count', 5],
    ])
  })

  test('has numbers that are read when it is made', async () => {
    const registry = new Registry()
    let number: number | undefined = 1
    registry.gauge({ name: 'sotto_g', help: 'G.' }).follow(() => number)
    registry.counter({ name: 'sotto_c_total', help: 'C.' }).follow(() => number)
    const read = async () => new Page(await registry.page())
    expect((await read()).get('sotto_g')).toBe(1)
    number = 7
    expect((await read()).get('sotto_c_total')).toBe(7)
    number = undefined
    expect((await read()).all('sotto_')).toEqual([])
  })
})

describe('a source', () => {
  test('is asked for each page', async () => {
    const registry = new Registry()
    const gauge = registry.gauge({ name: 'sotto_g', help: 'G.' })
    let asked = 0
    registry.source([gauge], async () => gauge.set(++asked))
    expect(new Page(await registry.page()).get('sotto_g')).toBe(1)
    expect(new Page(await registry.page()).get('sotto_g')).toBe(2)
  })

  test('that fails has its numbers left out, and the others stay', async () => {
    const registry = new Registry()
    const gauge = registry.gauge({ name: 'sotto_g', help: 'G.' })
    const other = registry.gauge({ name: 'sotto_other', help: 'O.' })
    let works = true
    registry.source([gauge], async () => {
      if (!works) throw new Error('down')
      gauge.set(1)
    })
    registry.source([other], async () => other.set(2))
    expect(new Page(await registry.page()).get('sotto_g')).toBe(1)
    works = false
    const page = new Page(await registry.page())
    expect([page.get('sotto_g'), page.get('sotto_other')]).toEqual([undefined, 2])
    works = true
    expect(new Page(await registry.page()).get('sotto_g')).toBe(1)
  })

  test('that does not answer holds up no page for good, and is not asked again meanwhile', async () => {
    const registry = new Registry({ pageWaitMs: 20 })
    const gauge = registry.gauge({ name: 'sotto_g', help: 'G.' })
    let asked = 0
    const answer = Promise.withResolvers<void>()
    gauge.set(1)
    registry.source([gauge], async () => {
      asked++
      await answer.promise
      gauge.set(2)
    })
    const pages = await Promise.all([registry.page(), registry.page()])
    expect(new Page(await registry.page()).get('sotto_g')).toBeUndefined()
    expect(pages.map((page) => new Page(page).get('sotto_g'))).toEqual([undefined, undefined])
    expect(asked).toBe(1)
    answer.resolve()
    await expect.poll(async () => new Page(await registry.page()).get('sotto_g')).toBe(2)
  })
})
