/** C1: the server answers by its own names alone, so that no other site's name leads a browser to it. */
import { writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makePair } from '../support/certificates.ts'
import { StubLocalApi, withFields } from '../support/local-api.ts'
import { type Service, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { loopbackDoor, startOnTailnet, userspaceTailscaled } from '../support/tailnet-service.ts'
import { askOnce, goodHead, RawConnection } from './raw.ts'

const rest = goodHead.slice(1)
const paths = ['/metrics', '/healthz', '/readyz', '/api/openapi.json', '/none', '/']
const attacker = [
  'evil.example',
  'evil.example:8443',
  'localhost.evil.example',
  '127.0.0.1.evil.example',
]

/** The statuses of GET for each of `hosts` at `path`. */
async function statuses(url: string, path: string, hosts: readonly string[]): Promise<number[]> {
  const found: number[] = []
  for (const host of hosts) {
    const parts = { method: 'GET', target: path, head: [`Host: ${host}`], body: undefined }
    found.push((await askOnce(url, parts)).status)
  }
  return found
}

describe('C1: on a development tailnet', () => {
  let service: Service
  beforeAll(async () => {
    service = await startService()
  })
  afterAll(() => service[Symbol.asyncDispose]())

  test.each(paths)('C1: %s is for addresses and localhost', async (path) => {
    expect(await statuses(service.url, path, attacker)).toEqual(attacker.map(() => 421))
    const own = ['localhost', 'LOCALHOST.', 'localhost:1', '127.0.0.1', '127.0.0.1:9', '[::1]:80']
    const answered = await statuses(service.url, path, own)
    expect(new Set(answered)).toEqual(new Set([path === '/none' ? 404 : 200]))
  })

  test('C1: the API is, too, and says why', async () => {
    const head = ['Host: evil.example', ...rest]
    for (const target of ['/api/get', '/api/whoami', '/api/audit-query', '/api/get?x']) {
      const { status, body, headers } = await askOnce(service.url, { target, head })
      expect([status, body]).toEqual([421, 'this server does not have that name\n'])
      expect(headers.get('sotto-error')).toBe('wrong_host')
      expect(headers.get('sotto-detail')).toMatch(/evil\.example.*--host-name/)
    }
  })

  test('C1: a host in the target counts too, and two are none', async () => {
    const asked = async (target: string, ...hosts: string[]): Promise<number> => {
      const head = hosts.map((each) => `Host: ${each}`)
      return (await askOnce(service.url, { method: 'GET', target, head, body: undefined })).status
    }
    expect(await asked('http://localhost/metrics', 'localhost')).toBe(200)
    expect(await asked('http://evil.example/metrics', 'localhost')).toBe(421)
    expect(await asked('HTTPS://evil.example', '127.0.0.1')).toBe(421)
    expect(await asked('http://localhost@evil.example/metrics', 'localhost')).toBe(421)
    expect(await asked('http://localhost/metrics', 'evil.example')).toBe(421)
    expect(await asked('/metrics', 'localhost', 'evil.example')).toBe(400)
    expect(await asked('/metrics', 'localhost', 'localhost')).toBe(400)
  })

  test.each(['', 'a b', '[::1', '[evil]', 'localhost:', 'user@localhost', '127.0.0.1.', '0x7f.1'])(
    'C1: %j is no name of ours',
    async (host) => {
      expect(await statuses(service.url, '/metrics', [host])).toEqual([
        host === '127.0.0.1.' ? 200 : 421,
      ])
    },
  )
})

describe('C1: on a tailnet', () => {
  test('C1: the names of the node count, and those of its operator', async () => {
    const localApi = await userspaceTailscaled()
    localApi.status = withFields('status-userspace', { CertDomains: ['alias.tail-test.ts.net'] })
    await using service = await startOnTailnet({
      localApi,
      door: loopbackDoor,
      tailscaled: { userspace: true },
      hostNames: ['secrets.example.com'],
    })
    const name = 'server.tail-test.ts.net'
    const own = [name, `${name}.`, name.toUpperCase(), name.split('.')[0] ?? '', '100.64.0.1:80']
    own.push('alias.tail-test.ts.net', 'secrets.example.com:80')
    const { port } = new URL(service.url)
    const url = `http://127.0.0.1:${port}`
    expect(await statuses(url, '/healthz', own)).toEqual(own.map(() => 200))
    const others = [`x${name}`, `other.${name}`, 'other.tail-test.ts.net', 'example.com']
    expect(await statuses(url, '/healthz', others)).toEqual(others.map(() => 421))
    // A tailscaled that is away takes no name from its node.
    await localApi.stop()
    expect(await statuses(url, '/healthz', own)).toEqual(own.map(() => 200))
  })

  test('C1: the names of a certificate of its own count', async () => {
    using scratch = temporaryDirectory()
    const { certificate, key } = makePair(['*.corp.example'])
    const tls = { certificate: join(scratch.path, 'cert'), key: join(scratch.path, 'key') }
    writeFileSync(tls.certificate, certificate)
    writeFileSync(tls.key, key, { mode: 0o600 })
    await using service = await startOnTailnet({
      localApi: await userspaceTailscaled(),
      door: { ...loopbackDoor, tls },
      tailscaled: { userspace: true },
    })
    const status = async (host: string): Promise<number> => {
      using connection = await RawConnection.openTls(service.url, certificate, 'a.corp.example')
      const head = [`Host: ${host}`]
      return (await connection.ask({ method: 'GET', target: '/healthz', head, body: undefined }))
        .status
    }
    expect(await status('secrets.corp.example')).toBe(200)
    expect(await status('secrets.evil.example')).toBe(421)
  })

  test('C1: behind tailscale serve they are the names that it serves', async () => {
    await using service = await startOnTailnet({
      localApi: await StubLocalApi.start(),
      door: (scratch) => ({ kind: 'socket', path: join(scratch, 'run/sotto.sock') }),
    })
    const status = (Host: string) =>
      new Promise<number | undefined>((resolve, reject) => {
        const socketPath = join(service.scratch, 'run/sotto.sock')
        const asked = request({ socketPath, path: '/healthz', headers: { Host } }, (answer) =>
          resolve(answer.resume().statusCode),
        )
        asked.on('error', reject).end()
      })
    expect(await status('server.tail-test.ts.net')).toBe(200)
    expect(await status('server')).toBe(200)
    expect(await status('evil.example')).toBe(421)
  })
})
