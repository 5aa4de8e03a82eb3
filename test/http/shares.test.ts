/** What is counted as whose: behind a proxy, and of answers that need no identity. */
import { type ClientRequest, request } from 'node:http'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { addressesIn, recorded, StubLocalApi } from '../support/local-api.ts'
import { startService } from '../support/service.ts'
import { startOnTailnet } from '../support/tailnet-service.ts'
import { RawConnection } from './raw.ts'

const [user] = addressesIn('whois-user')
const [tagged] = addressesIn('whois-tagged')
const limits = { connections: 100, requests: 16, bytes: 1024 * 1024 }

async function startServed() {
  const service = await startOnTailnet({
    localApi: await StubLocalApi.start(),
    door: (scratch) => ({ kind: 'socket', path: join(scratch, 'run/sotto.sock') }),
    world: { load: limits },
  })
  service.localApi.whois.set(user, recorded('whois-user'))
  service.localApi.whois.set(tagged, recorded('whois-tagged'))
  const open = (from: string): ClientRequest =>
    request({
      socketPath: join(service.scratch, 'run/sotto.sock'),
      path: '/api/whoami',
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        'Sec-X-Tailscale-No-Browsers': 'setec',
        'Content-Length': 2,
        'X-Forwarded-For': from,
      },
    })
  const ask = async (from: string): Promise<number> => {
    const asked = open(from)
    asked.end('{}')
    const [answer] = await once(asked, 'response')
    answer.resume()
    return answer.statusCode as number
  }
  return { service, open, ask }
}

test('C8: behind tailscale serve one node is at its limit, and the others are not', async () => {
  const { service, open, ask } = await startServed()
  await using _ = service
  // Each sends half its body, and is worked on until the rest comes.
  const halves = Array.from({ length: limits.requests / 2 }, () => open(user))
  for (const half of halves) half.write('{')
  await expect.poll(() => ask(user)).toBe(503)
  expect(await ask(tagged)).toBe(200)
  expect(await ask(tagged)).toBe(200)
  const answers = halves.map((half) => once(half, 'response'))
  for (const half of halves) half.end('}')
  for (const [answer] of await Promise.all(answers)) {
    answer.resume()
    expect(answer.statusCode).toBe(200)
  }
  await expect.poll(() => ask(user)).toBe(200)
})

test('C3: what a caller that cannot be named says of itself is on the log in few bytes', async () => {
  const { service, ask } = await startServed()
  await using _ = service
  expect(await ask('x'.repeat(8000))).toBe(500)
  const [record] = service.records().filter(({ kind }) => kind === 'unidentified')
  expect(record).toMatchObject({ ip: '' })
  expect(JSON.stringify(record).length).toBeLessThan(1000)
})

test('C9: the description is counted like any other answer', async () => {
  await using service = await startService({ load: { ...limits, bytes: 100_000 } })
  using connection = await RawConnection.open(service.url)
  const ask = (method: string) =>
    connection.ask({
      method,
      target: '/api/openapi.json',
      head: ['Host: localhost'],
      body: undefined,
    })
  expect(await ask('GET')).toMatchObject({ status: 503 })
  await using roomy = await startService({ load: limits })
  using other = await RawConnection.open(roomy.url)
  for (const method of ['GET', 'HEAD']) {
    const parts = {
      method,
      target: '/api/openapi.json',
      head: ['Host: localhost'],
      body: undefined,
    }
    const { status, headers, body } = await other.ask(parts)
    expect([status, headers.get('content-type')]).toEqual([200, 'application/json'])
    expect(Number(headers.get('content-length'))).toBeGreaterThan(100_000)
    expect(body.length > 0).toBe(method === 'GET')
  }
})
