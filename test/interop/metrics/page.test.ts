/** The page of the metrics as the parser of prometheus_client reads it. */
import { expect, test } from 'vitest'
import { Registry } from '../../../server/metrics/registry.ts'
import { describeWith, requirePeer } from '../../support/peers.ts'
import { run } from '../../support/process.ts'
import { scrape } from '../../support/scrape.ts'
import { bytes, startService } from '../../support/service.ts'

/** A metric as the parser found it. */
interface Found {
  readonly name: string
  readonly type: string
  readonly help: string
  /** Name, labels and value of each. */
  readonly samples: readonly [string, Readonly<Record<string, string>>, string][]
}

async function parse(page: string): Promise<Found[]> {
  const script = new URL('read_page.py', import.meta.url).pathname
  const { stdout, stderr } = await run(requirePeer('metrics-python'), [script], { input: page })
  expect(stderr).toBe('')
  return JSON.parse(stdout) as Found[]
}

/** The name that the parser tells: of counters without their ending. */
const parsedName = (name: string): string => name.replace(/_total$/, '')

describeWith(['metrics-python'], 'the parser of prometheus_client', () => {
  test('reads every metric of a server, each number as it is', async () => {
    const registry = new Registry()
    await using service = await startService({ registry })
    const client = service.client()
    await client.put('prod/a', bytes('one'))
    for (let round = 0; round < 10; round++) await client.get('prod/a')
    await expect(service.client('127.0.0.4').get('prod/a')).rejects.toThrow('denied')
    const page = await scrape(service.url)
    const found = await parse(page.text)
    expect(found.map(({ name, type, help }) => ({ name, type, help }))).toEqual(
      registry.heads.map(({ name, type, help }) => ({ name: parsedName(name), type, help })),
    )
    let samples = 0
    for (const [name, labels, value] of found.flatMap((each) => each.samples)) {
      samples++
      const own = Object.entries(labels).map(([label, text_]) => `${label}="${text_}"`)
      const series = own.length === 0 ? name : `${name}{${own.join(',')}}`
      expect([series, page.get(series)]).toEqual([series, Number(value)])
    }
    expect(samples).toBe(page.all('').length)
    expect(samples).toBeGreaterThan(200)
  })

  test('finds the buckets of every histogram in order, up to its count', async () => {
    await using service = await startService()
    await service.client().put('prod/a', bytes('one'))
    const found = await parse((await scrape(service.url)).text)
    const histograms = found.filter(({ type }) => type === 'histogram')
    expect(histograms.map(({ name }) => name)).toContain('sotto_request_seconds')
    for (const { name, samples } of histograms) {
      const bySeries = Map.groupBy(samples, ([, labels]) =>
        JSON.stringify({ ...labels, le: undefined }),
      )
      for (const [series, all] of bySeries) {
        const buckets = all.filter(([each]) => each === `${name}_bucket`)
        const counts = buckets.map(([, , value]) => Number(value))
        expect([series, counts]).toEqual([series, counts.toSorted((a, b) => a - b)])
        expect(buckets.at(-1)?.[1]['le']).toBe('+Inf')
        const count = all.find(([each]) => each === `${name}_count`)?.[2]
        expect([series, counts.at(-1)]).toEqual([series, Number(count)])
      }
    }
  })

  test('gets back labels and help with every character that is escaped', async () => {
    const registry = new Registry()
    const values = ['a"b', 'a\\b', 'a\nb', 'a\\nb', '{},= ', 'ü€😀', '\\', '"', '']
    const family = registry.gauges({
      name: 'sotto_odd',
      help: 'Back\\slash, "quotes" and\na line.',
      labels: { kind: values },
    })
    for (const [index, kind] of values.entries()) family.with({ kind }).set(index)
    const [found] = await parse(await registry.page())
    expect(found?.help).toBe('Back\\slash, "quotes" and\na line.')
    expect(found?.samples.map(([, labels, value]) => [labels['kind'], Number(value)])).toEqual(
      values.map((value, index) => [value, index]),
    )
  })
})
