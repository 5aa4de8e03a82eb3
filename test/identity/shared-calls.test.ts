import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SharedCalls } from '../../server/identity/tailscale/shared-calls.ts'

/** A call of the model: when it began, and how to end it. */
interface Begun {
  readonly key: string
  readonly at: number
  readonly end: PromiseWithResolvers<number>
}

test('whoever asks has the answer of a call that began at or after its arrival', async () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ ask: fc.constantFrom('a', 'b') }) },
    fc.record({ end: fc.nat(3), fails: fc.boolean() }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const calls = new SharedCalls<number>()
      const open: Begun[] = []
      const answers: Promise<boolean>[] = []
      let now = 0
      let begun = 0
      const call = (key: string) => (): Promise<number> => {
        const each: Begun = { key, at: now, end: Promise.withResolvers<number>() }
        begun++
        expect(open.filter((other) => other.key === key)).toEqual([])
        open.push(each)
        return each.end.promise
      }
      const finish = async (at: number, fails: boolean): Promise<void> => {
        const [each] = open.splice(at % open.length, 1)
        if (fails) each?.end.reject(new Error(String(each.at)))
        else each?.end.resolve(each.at)
        await new Promise((resolve) => setImmediate(resolve))
      }
      for (const each of steps) {
        now++
        if ('ask' in each) {
          const arrived = now
          const asked = calls.ask(each.ask, call(each.ask))
          const began = asked.catch((error: Error) => Number(error.message))
          answers.push(began.then((at) => at >= arrived))
        } else if (open.length > 0) {
          await finish(each.end, each.fails)
        }
      }
      while (open.length > 0) {
        now++
        await finish(0, false)
      }
      expect(await Promise.all(answers)).not.toContain(false)
      expect(begun).toBeLessThanOrEqual(answers.length)
    }),
    { numRuns: 300 },
  )
})

test('those who wait at the same time share one call', async () => {
  const calls = new SharedCalls<number>()
  const ends: (() => void)[] = []
  let begun = 0
  const call = (): Promise<number> => {
    const number = ++begun
    return new Promise((resolve) => ends.push(() => resolve(number)))
  }
  const first = calls.ask('a', call)
  const others = Array.from({ length: 63 }, () => calls.ask('a', call))
  expect(begun).toBe(1)
  ends.shift()?.()
  expect(await first).toBe(1)
  await expect.poll(() => begun).toBe(2)
  ends.shift()?.()
  expect(new Set(await Promise.all(others))).toEqual(new Set([2]))
})

test('one key does not wait for another, and too many are refused', async () => {
  const calls = new SharedCalls<string>(2)
  const never = new Promise<string>(() => {})
  void calls.ask('a', () => never)
  const b = Promise.withResolvers<string>()
  const asked = calls.ask('b', () => b.promise)
  await expect(calls.ask('c', async () => 'c')).rejects.toMatchObject({ code: 'overloaded' })
  b.resolve('b')
  expect(await asked).toBe('b')
  expect(await calls.ask('c', async () => 'c')).toBe('c')
})
