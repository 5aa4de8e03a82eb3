import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { RawConnection } from '../http/raw.ts'
import { addressesIn, recorded } from '../support/local-api.ts'
import {
  loopbackDoor,
  startOnTailnet,
  type TailnetService,
  userspaceTailscaled,
} from '../support/tailnet-service.ts'

const [web] = addressesIn('whois-tagged')

/** Real sockets to a real server need a tailnet address, or userspace mode, which Linux alone has. */
describe.runIf(process.platform === 'linux')('on TCP', () => {
  let service: TailnetService
  let connection: RawConnection

  beforeAll(async () => {
    service = await startOnTailnet({
      localApi: await userspaceTailscaled(),
      door: loopbackDoor,
      tailscaled: { userspace: true },
    })
    connection = await RawConnection.open(`http://127.0.0.1:${new URL(service.url).port}`)
    const { localAddress, localPort } = connection.socket
    service.localApi.whois.set(`${localAddress}:${localPort}`, recorded('whois-user'))
    // Whoever believed a header would find somebody else there.
    service.localApi.whois.set(web, recorded('whois-tagged'))
  })

  afterAll(async () => {
    connection[Symbol.dispose]()
    await service[Symbol.asyncDispose]()
  })

  const ask = async (more: readonly string[], Name = 'dev/a') => {
    const body = JSON.stringify({ Name })
    const answer = await connection.ask({ target: '/api/whoami', body, more })
    return JSON.parse(answer.body) as unknown
  }

  test('whoami tells the node, the user, the rules, and which of them allow what', async () => {
    expect(await ask([])).toEqual({
      Hostname: 'user.tail-test.ts.net',
      IP: addressesIn('whois-user')[0],
      NodeID: 'nuserCNTRL',
      User: 'alice@example.com',
      Rules: [{ action: ['get', 'info', 'put', 'activate'], secret: ['dev/*'] }],
      Allowed: ['get', 'info', 'put', 'activate'],
      AllowedBy: ['get', 'info', 'put', 'activate'].map((Action) => ({
        Action,
        Rule: 0,
        Pattern: 'dev/*',
      })),
    })
    expect(await ask([], 'prod/a')).toMatchObject({ Allowed: [], AllowedBy: [] })
  })

  test.each([
    ['X-Forwarded-For', web],
    ['Forwarded', `for=${web}`],
    ['X-Real-IP', web],
    ['Tailscale-User-Login', 'mallory@example.com'],
    [
      'Tailscale-App-Capabilities',
      '{"tailscale.com/cap/secrets":[{"action":["get"],"secret":["*"]}]}',
    ],
    ['Tailscale-Funnel-Request', '?1'],
    ['Authorization', 'Bearer nuserCNTRL'],
  ])('a forged identity header changes nothing: %s', async (name, value) => {
    const questions = service.localApi.asked.length
    expect(await ask([`${name}: ${value}`])).toEqual(await ask([]))
    const asked = service.localApi.asked.slice(questions).filter((url) => url.includes('/whois'))
    expect(asked.filter((url) => !url.includes('addr=127.0.0.1'))).toEqual([])
  })
})
