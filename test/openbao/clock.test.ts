/** A session renews and replaces its token at the same moments whatever the clock of the day does. */
import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import { OpenBaoConnection } from '../../server/openbao/connection.ts'
import { Session } from '../../server/openbao/session.ts'
import type { Timers } from '../../client/platform/timers.ts'
import { drawsOf, moved } from '../support/clock-moves.ts'
import { depth } from '../support/depth.ts'

const SEQUENCES = depth({ usual: 10, full: 300 })
const STEPS = 30

afterEach(() => vi.useRealTimers())

/** A clock that goes only when it is told, with its alarms. */
class ManualTimers implements Timers {
  #now = 0
  #alarms: { at: number; act: () => void }[] = []

  now(): number {
    return this.#now
  }

  readonly after = (ms: number, act: () => void): (() => void) => {
    const alarm = { at: this.#now + ms, act }
    this.#alarms.push(alarm)
    return () => void (this.#alarms = this.#alarms.filter((each) => each !== alarm))
  }

  pass(ms: number): void {
    this.#now += ms
    const due = this.#alarms.filter(({ at }) => at <= this.#now)
    this.#alarms = this.#alarms.filter(({ at }) => at > this.#now)
    for (const { act } of due) act()
  }
}

/** What a session asked, by the clock that goes on; that of the day moves by `seed`, if given. */
async function history(steps: readonly number[], seed?: number): Promise<string[]> {
  vi.useFakeTimers({ toFake: ['Date'] })
  const draw = seed === undefined ? undefined : drawsOf(seed)
  const timers = new ManualTimers()
  const asked: string[] = []
  let refuses = false
  const server = createServer((request, response) => {
    const path = request.url?.replace('/v1/', '') ?? ''
    asked.push(`${timers.now()} ${path}`)
    request.resume()
    const isLogin = path.startsWith('auth/approle')
    const auth = { client_token: 'token', lease_duration: 600, renewable: true }
    const ok = !(isLogin && refuses)
    response.writeHead(ok ? 200 : 400, { 'content-type': 'application/json' })
    response.end(JSON.stringify(ok ? { auth, data: {} } : { errors: ['invalid role or secret'] }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const session = new Session({
    connection: new OpenBaoConnection({ url: `http://127.0.0.1:${port}` }),
    login: { method: 'approle', roleId: 'role', secretId: { read: async () => 'secret-id' } },
    timers,
    random: () => 0,
  })
  for (const [step, ms] of steps.entries()) {
    timers.pass(ms)
    if (draw) vi.setSystemTime(moved(Date.now(), 1.8e12, draw))
    refuses = step % 7 === 3
    const answer = await session.call({ method: 'GET', path: 'secret/data/x' })
    asked.push(`${timers.now()} ${answer.ok} ${session.status.tokenTtlMs}`)
  }
  await session.close()
  server.closeAllConnections()
  server.close()
  return asked
}

test.each(Array.from({ length: SEQUENCES }, (_, seed) => seed + 1))(
  'U1: logins, renewals and pauses come at the same moments with the clock moved: sequence %i',
  async (seed) => {
    const draw = drawsOf(seed)
    const steps = Array.from({ length: STEPS }, () =>
      Math.floor([100, 10_000, 250_000, 450_000, 2_000_000][Math.floor(draw() * 5)] ?? 0),
    )
    const expected = await history(steps)
    expect(expected.some((line) => line.includes('renew-self'))).toBe(true)
    expect(await history(steps, seed * 3 + 1)).toEqual(expected)
  },
)
