/** Requests that are made up: see generated.ts, which also runs by itself. */
import { expect, test } from 'vitest'
import { generated } from './generated.ts'

test('60,000 requests that are made up: each is answered as the wire says, and memory stays as it is', async () => {
  const seen = await generated(60_000, Math.floor(Math.random() * 1e9))
  console.log(seen)
  expect(seen.requests).toBeGreaterThanOrEqual(60_000)
  // They reached every part of the wire.
  for (const status of [200, 304, 400, 403, 404, 412, 413, 421, 431]) {
    expect(seen.statuses.get(status), String(status)).toBeGreaterThan(10)
  }
  // Of the faults of a server, only the one that strangers asked for.
  expect([...seen.statuses.keys()].filter((status) => status > 500)).toEqual([])
})
