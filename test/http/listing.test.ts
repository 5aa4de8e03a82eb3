/** All names are read for one caller at a time, by whichever way they are asked for. */
import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { type AppParts, apiHandlers, type Operations } from '../../server/http/app.ts'
import type { Answer } from '../../server/http/answer.ts'
import type { Exchange } from '../../server/http/exchange.ts'

const headers = {
  'content-type': 'application/json',
  'sec-x-tailscale-no-browsers': 'setec',
}

test('E1: many who ask for the page hold up no list: one is read at a time, and addresses take turns', async () => {
  const named: string[] = []
  const begun: string[] = []
  const ends: (() => void)[] = []
  let underWay = 0
  let most = 0
  const handlers = apiHandlers(
    {
      identity: {
        identify: async ({ remoteAddress: ip }: { remoteAddress: string }) => {
          named.push(ip)
          return { principal: { hostname: 'node', ip }, rules: [] }
        },
      },
      gate: { failed: async () => {} },
      secrets: {
        list: async ({ caller }: { caller: { principal: { ip: string } } }) => {
          begun.push(caller.principal.ip)
          most = Math.max(most, ++underWay)
          await new Promise<void>((resolve) => ends.push(resolve))
          underWay--
          return []
        },
      },
      errorLog: { note: () => {} },
    } as unknown as AppParts,
    {} as Operations,
  )
  const answers: number[] = []
  const ask = async (path: string, method: string, ip: string): Promise<void> => {
    await handlers.get(path)?.({
      id: 'id',
      incoming: Object.assign(Readable.from([Buffer.from('{}')]), {
        method,
        headers,
        socket: { localAddress: '127.0.0.1' },
      }),
      connection: { peerOf: () => ({ remoteAddress: ip }), pin: () => {} },
      usage: { address: ip },
      whenBodyFails: () => {},
      answer: ({ status }: Answer) => void answers.push(status),
    } as unknown as Exchange)
  }

  const flood = Array.from({ length: 20 }, () => ask('/', 'GET', '127.0.0.7'))
  await expect.poll(() => begun).toEqual(['127.0.0.7'])
  const asked = [...flood, ask('/api/list', 'POST', '127.0.0.1')]
  await expect.poll(() => named).toContain('127.0.0.1')
  // What is left to do before it waits is done in this turn.
  await new Promise((resolve) => setImmediate(resolve))
  for (let at = 0; at < asked.length; at++) {
    await expect.poll(() => ends.length).toBe(at + 1)
    ends[at]?.()
  }
  await Promise.all(asked)
  expect([most, answers]).toEqual([1, Array.from(asked, () => 200)])
  expect(begun.indexOf('127.0.0.1')).toBeLessThan(3)
})
