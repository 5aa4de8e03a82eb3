/** How connections end over HTTPS: as they do without it. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makePair } from '../support/certificates.ts'
import { recorded, StubLocalApi, withFields } from '../support/local-api.ts'
import { loopbackDoor, startOnTailnet, type TailnetService } from '../support/tailnet-service.ts'
import { RawConnection, type RequestParts, requestText } from './raw.ts'

const NAME = 'server.tail-test.ts.net'
const pair = makePair([NAME])
let service: TailnetService

beforeAll(async () => {
  const localApi = await StubLocalApi.start()
  const self = JSON.parse(recorded('status')) as { Self: object }
  localApi.status = withFields('status', { Self: { ...self.Self, TailscaleIPs: ['127.0.0.1'] } })
  service = await startOnTailnet({
    localApi,
    door: (scratch) => {
      const tls = { certificate: join(scratch, 'tls.crt'), key: join(scratch, 'tls.key') }
      writeFileSync(tls.certificate, pair.certificate)
      writeFileSync(tls.key, pair.key, { mode: 0o600 })
      return { ...loopbackDoor, tls }
    },
    world: { limits: { headersTimeout: 300, requestTimeout: 500 } },
  })
})

afterAll(() => service[Symbol.asyncDispose]())

const open = (): Promise<RawConnection> =>
  RawConnection.openTls(service.url, pair.certificate, NAME)
const ready: RequestParts = { method: 'GET', target: '/readyz', body: undefined }
const large = ' '.repeat(4 * 1024 * 1024)

async function statuses(connection: RawConnection): Promise<number[]> {
  return (await connection.answers()).map(({ status }) => status)
}

test('a caller that sends nothing more still has its answers', async () => {
  using connection = await open()
  connection.send(requestText(ready).repeat(2))
  connection.socket.end()
  expect(await statuses(connection)).toEqual([200, 200])
})

test.each<[string, RequestParts, number]>([
  ['a body too large', { body: large }, 413],
  ['an unknown method', { target: '/api/none', body: large }, 404],
])('the last answer arrives though the body is not read: %s', async (_, parts, status) => {
  using connection = await open()
  connection.socket.pause()
  const text = requestText({ ...parts, more: ['Connection: close'] })
  await new Promise((sent) => connection.socket.write(text, sent))
  connection.socket.resume()
  expect(await statuses(connection)).toEqual([status])
})

test.each([
  ['what is no HTTP', 'GARBAGE\r\n\r\n', 400],
  ['a body that stalls', requestText({ more: ['Content-Length: 9'], body: undefined }), 408],
  ['a head that stalls', 'POST /api/get HTTP', 408],
])('%s is told and ends', async (_, text, status) => {
  using connection = await open()
  connection.send(text)
  expect(await statuses(connection)).toEqual([status])
})
