import { expect, test } from 'vitest'
import { Locks } from '../../server/catalog/locks.ts'

test('tasks of a key run in order, one after another, whether they fail or not', async () => {
  const locks = new Locks()
  const ran: number[] = []
  let running = 0
  const task = (number: number) => async () => {
    expect(++running).toBe(1)
    await new Promise((resolve) => setImmediate(resolve))
    running--
    ran.push(number)
    if (number % 2 === 1) throw new Error(`task ${number}`)
    return number
  }
  const results = await Promise.allSettled(
    [0, 1, 2, 3].map((each) => locks.withLock('a', task(each))),
  )
  expect(ran).toEqual([0, 1, 2, 3])
  expect(results.map(({ status }) => status)).toEqual([
    'fulfilled',
    'rejected',
    'fulfilled',
    'rejected',
  ])
})

test('tasks of other keys do not wait', async () => {
  const locks = new Locks()
  void locks.withLock('a', () => new Promise(() => {}))
  expect(await locks.withLock('b', async () => 'done')).toBe('done')
})

test('behind a task without an end, those that waited too long never run, and it stays alone', async () => {
  const locks = new Locks(50)
  const first = Promise.withResolvers<void>()
  const held = locks.withLock('a', () => first.promise)
  let ran = 0
  const run = async () => ++ran
  const late = await Promise.allSettled([locks.withLock('a', run), locks.withLock('a', run)])
  for (const result of late) {
    expect(result).toMatchObject({
      status: 'rejected',
      reason: {
        code: 'store_unavailable',
        message: 'Cannot change "a": a change before it did not come to an end within 50 ms',
      },
    })
  }
  const next = locks.withLock('a', run)
  await new Promise((resolve) => setImmediate(resolve))
  expect(ran).toBe(0)
  first.resolve()
  await held
  expect(await next).toBe(1)
})
