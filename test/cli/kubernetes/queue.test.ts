/** The queue of definitions. */
import { expect, test } from 'vitest'
import { type Done, Queue } from '../../../cli/handlers/kubernetes/queue.ts'
import { ManualTimers, settled } from '../../audit/fixtures.ts'

function start(work: (name: string) => Promise<Done>, workers = 2) {
  const timers = new ManualTimers()
  return { timers, queue: new Queue({ work, workers, timers, random: () => 0.999 }) }
}

test('a name is worked on by one worker at a time, and once more where it came meanwhile', async () => {
  const begun: string[] = []
  const ends = new Map<string, () => void>()
  const { queue } = start((name) => {
    begun.push(name)
    return new Promise((resolve) => ends.set(name, () => resolve({ again: false })))
  })
  for (const name of ['a', 'a', 'b', 'c']) queue.add(name)
  queue.add('a')
  await settled()
  expect(begun).toEqual(['a', 'b'])
  ends.get('b')?.()
  await settled()
  expect(begun).toEqual(['a', 'b', 'c'])
  ends.get('a')?.()
  await settled()
  expect(begun).toEqual(['a', 'b', 'c', 'a'])
  ends.get('a')?.()
  ends.get('c')?.()
  await queue.close()
})

test('what fails is tried again, ever more rarely, up to five minutes, and at once when it changes', async () => {
  const tries: string[] = []
  const { queue, timers } = start(async (name) => {
    tries.push(name)
    return { again: true }
  })
  queue.add('a')
  await settled()
  const gaps: number[] = []
  for (let count = 1; count < 12; count++) {
    let gap = 0
    while (tries.length === count) {
      timers.advance(1_000)
      gap += 1
      await settled()
    }
    gaps.push(gap)
  }
  expect(gaps).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300])
  queue.add('a')
  await settled()
  expect(tries.length).toBe(13)
  await queue.close()
})

test('what is forgotten is not tried again', async () => {
  let tries = 0
  const { queue, timers } = start(async () => {
    tries++
    return { again: true, atLeastMs: 5_000 }
  })
  queue.add('a')
  await settled()
  timers.advance(4_000)
  await settled()
  expect(tries).toBe(1)
  queue.forget('a')
  timers.advance(600_000)
  await settled()
  expect(tries).toBe(1)
  await queue.close()
})
