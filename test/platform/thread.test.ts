/** Threads that answer one question, and those that do not. */
import { expect, test } from 'vitest'
import { askThread } from '../../server/platform/thread.ts'

const script = (text: string): URL => new URL(`data:text/javascript,${encodeURIComponent(text)}`)
const never = script('setInterval(() => {}, 1000)')

test('a thread that does not heed its abort is terminated after its grace', async () => {
  const stop = new AbortController()
  const reason = new Error('enough')
  const asked = askThread(never, null, { name: 'deaf', signal: stop.signal, graceMs: 1 })
  stop.abort(reason)
  await expect(asked).rejects.toBe(reason)
})

test('a thread that ends without an answer, or throws, is an error', async () => {
  const { signal } = new AbortController()
  await expect(askThread(script(''), null, { name: 'mute', signal })).rejects.toThrow(
    'The thread mute ended without an answer',
  )
  const broken = script('throw new Error("broken")')
  await expect(askThread(broken, null, { name: 'broken', signal })).rejects.toThrow('broken')
})

test('what answers a question of the thread may refuse it', async () => {
  const asks = script(`
    import { parentPort } from 'node:worker_threads'
    parentPort.postMessage({ asked: 'may I?' })
    setInterval(() => {}, 1000)`)
  const { signal } = new AbortController()
  const reply = async (asked: string): Promise<never> => {
    throw new Error(`no: ${asked}`)
  }
  await expect(askThread(asks, null, { name: 'asks', signal, reply })).rejects.toThrow('no: may I?')
})
