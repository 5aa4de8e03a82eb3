/** The listener of the surface: TLS as the API has it, its limits, and how it stops. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { RawConnection } from '../http/raw.ts'
import { makePair } from '../support/certificates.ts'
import { faultyFiles } from '../support/faulty-files.ts'
import { bytes, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { loopbackDoor, startOnTailnet, userspaceTailscaled } from '../support/tailnet-service.ts'

const mounts = [{ name: 'secret', prefix: '' }]
const head = ['Host: localhost']
const read = { method: 'GET', target: '/v1/secret/data/prod/a', head, body: undefined }
const health = { ...read, target: '/v1/sys/health' }

test('it is on the addresses of the node, with the certificate of the API, and knows its names', async () => {
  using scratch = temporaryDirectory()
  const { certificate, key } = makePair(['server.tail-test.ts.net'])
  const tls = { certificate: join(scratch.path, 'cert'), key: join(scratch.path, 'key') }
  writeFileSync(tls.certificate, certificate)
  writeFileSync(tls.key, key, { mode: 0o600 })
  await using service = await startOnTailnet({
    localApi: await userspaceTailscaled(),
    door: { ...loopbackDoor, tls },
    tailscaled: { userspace: true },
    vault: { listen: { host: undefined, port: 0 }, mounts },
  })
  const url = service.server.vaultUrl ?? ''
  expect(url).toMatch(/^https:\/\/server\.tail-test\.ts\.net:\d+$/)
  expect(url).not.toBe(service.url)
  const ask = async (text: string) => {
    using connection = await RawConnection.openTls(url, certificate, 'server.tail-test.ts.net')
    connection.send(text)
    const [answer] = await connection.answers()
    return [answer?.status, answer?.body]
  }
  const of = (line: string, host = 'server.tail-test.ts.net') =>
    `${line} HTTP/1.1\r\nHost: ${host}\r\n\r\n`
  expect(await ask(of('GET /v1/sys/init'))).toEqual([200, '{"initialized":true}\n'])
  expect((await ask(of('GET /v1/sys/init', 'evil.example')))[0]).toBe(421)
  // Nobody is known by the tailscaled of this test: LIST comes as far as every other request.
  const unknown = [500, '{"errors":["unable to identify caller"]}\n']
  expect(await ask(of('GET /v1/secret/data/prod/a'))).toEqual(unknown)
  expect(await ask(of('LIST /v1/secret/metadata/prod'))).toEqual(unknown)
})

test('a head is as long as for the API, and a connection counts among its connections', async () => {
  await using service = await startService(
    { load: { connections: 4, requests: 4, bytes: 1024 * 1024 } },
    { vault: mounts },
  )
  using long = await RawConnection.open(service.vaultUrl)
  const { status, body } = await long.ask({ ...health, more: [`X: ${'x'.repeat(20_000)}`] })
  expect([status, body]).toEqual([431, '{"errors":["request header fields too large"]}\n'])
  await long.closed
  using first = await RawConnection.open(service.url)
  using second = await RawConnection.open(service.vaultUrl)
  using third = await RawConnection.open(service.vaultUrl)
  expect((await third.ask(health)).status).toBe(503)
  expect((await second.ask(health)).status).toBe(200)
  first.socket.end()
})

test('a stop finishes what was accepted, and takes nothing new', async () => {
  const disk = faultyFiles()
  await using service = await startService({ auditFiles: disk.files }, { vault: mounts })
  await service.client().put('prod/a', bytes('{"a":1}'))
  using idle = await RawConnection.open(service.vaultUrl)
  using busy = await RawConnection.open(service.vaultUrl)
  const before = disk.writes()
  disk.set('hangs')
  const answer = busy.ask(read)
  await expect.poll(() => disk.writes(), { timeout: 15_000 }).toBeGreaterThan(before)
  const stopped = service.server.stop()
  await idle.closed
  disk.set('works')
  expect((await answer).status).toBe(200)
  await stopped
  await expect(RawConnection.open(service.vaultUrl)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
})

test('without the setting there is none', async () => {
  await using service = await startService()
  expect(service.server.vaultUrl).toBe(undefined)
})
