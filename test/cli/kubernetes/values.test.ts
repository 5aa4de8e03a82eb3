/** The values that the controller holds, from a real server. */
import { expect, test } from 'vitest'
import { type Known, Values } from '../../../cli/handlers/kubernetes/values.ts'
import { processTimers } from '../../../client/platform/timers.ts'
import { bytes, startService } from '../../support/service.ts'

test('whenever a value is told of it is whole: also of a secret that was missing, or deleted and made again', async () => {
  await using service = await startService()
  const client = service.client()
  const told: string[] = []
  const values: Values = new Values({
    client,
    changed: (name) => void told.push(shown(values.find(name))),
    reached: () => {},
    clock: () => new Date(0),
    timers: processTimers,
    random: () => 0.5,
  })
  values.hold('a')
  await expect.poll(() => told).toEqual(['missing'])
  const root = service.client()
  await root.put('a', bytes('one'))
  await expect.poll(() => told.at(-1)).toBe('1 one')
  await root.delete('a')
  await expect.poll(() => told.at(-1)).toBe('missing')
  await root.put('a', bytes('two'))
  await expect.poll(() => told.at(-1)).toMatch(/^\d+ two$/)
  expect(told.filter((each) => !/^(?:missing|1 one|\d+ two)$/.test(each))).toEqual([])
  values.drop('a')
  expect(values.find('a')).toEqual({ state: 'unknown' })
  await values.close()
  client.close()
  root.close()
})

function shown(known: Known): string {
  if (known.state !== 'value') return known.state
  return `${known.version} ${Buffer.from(known.bytes).toString()}`
}
