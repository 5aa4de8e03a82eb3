/** A server on a tailnet as its callers find it: HTTPS, who may stay connected, a socket behind serve. */
import { once } from 'node:events'
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Door } from '../../server/config/config.ts'
import { bind, bindUnix } from '../../server/http/bind.ts'
import type { World } from '../../server/start/server.ts'
import { makePair } from '../support/certificates.ts'
import { addressesIn, recorded, StubLocalApi, withFields } from '../support/local-api.ts'
import { TestProcess } from '../support/process.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import {
  loopbackDoor,
  startOnTailnet,
  type TailnetService,
  userspaceTailscaled,
} from '../support/tailnet-service.ts'
import { askOnce, RawConnection, requestText } from './raw.ts'

const NAME = 'server.tail-test.ts.net'
const whoami = { target: '/api/whoami', body: '{}' }
const [userAddress] = addressesIn('whois-user')

/** Has tailscaled answer `answer` about who is on the other end of `connection`. */
function name(service: TailnetService, connection: RawConnection, answer: string): void {
  const { localPort, localAddress } = connection.socket
  service.localApi.whois.set(`${localAddress}:${localPort}`, answer)
}

describe.runIf(process.platform === 'linux')('a connection of a node', () => {
  let service: TailnetService

  beforeEach(async () => {
    service = await startOnTailnet({
      localApi: await userspaceTailscaled(),
      door: loopbackDoor,
      tailscaled: { userspace: true },
    })
  })

  afterEach(async () => {
    await service[Symbol.asyncDispose]()
  })

  const openAs = async (answer: string): Promise<RawConnection> => {
    const { port } = new URL(service.url)
    const connection = await RawConnection.open(`http://127.0.0.1:${port}`)
    name(service, connection, answer)
    return connection
  }

  test('is kept, and its rules are asked for at every request', async () => {
    using connection = await openAs(recorded('whois-user'))
    expect((await connection.ask(whoami)).body).toContain('"User":"alice@example.com"')
    name(
      service,
      connection,
      withFields('whois-user', {
        CapMap: { 'tailscale.com/cap/secrets': [{ action: ['info'], secret: ['*'] }] },
      }),
    )
    expect((await connection.ask(whoami)).body).toContain('"action":["info"]')
    expect((await connection.ask()).status).toBe(403)
    expect((await connection.ask(whoami)).status).toBe(200)
  })

  test('that another node has now is refused and ends', async () => {
    using connection = await openAs(recorded('whois-user'))
    expect((await connection.ask(whoami)).status).toBe(200)
    name(service, connection, recorded('whois-tagged'))
    connection.send(requestText(whoami).repeat(3))
    const answers = await connection.answers()
    expect(answers.map(({ status }) => status)).toEqual([500])
    expect(answers[0]?.headers.get('connection')).toBe('close')
    expect(service.records()).toContainEqual(
      expect.objectContaining({
        kind: 'unidentified',
        reason: expect.stringMatching(/was the node nuserCNTRL, and is now n\w+CNTRL$/),
      }),
    )
  })

  test('whose rights are gone is refused and ends', async () => {
    using connection = await openAs(recorded('whois-user'))
    expect((await connection.ask({ body: '{"Name":"dev/a"}' })).status).toBe(404)
    name(service, connection, withFields('whois-user', { CapMap: null }))
    connection.send(requestText({ body: '{"Name":"dev/a"}' }).repeat(2))
    expect((await connection.answers()).map(({ status }) => status)).toEqual([403])
  })

  test('that never had rights is refused and stays', async () => {
    using connection = await openAs(recorded('whois-no-capabilities'))
    for (let round = 0; round < 3; round++) expect((await connection.ask()).status).toBe(403)
  })

  test('that is gone from the tailnet is cut without a request, the others stay', async () => {
    using user = await openAs(recorded('whois-user'))
    using tagged = await openAs(recorded('whois-tagged'))
    service.localApi.whois.set(addressesIn('whois-tagged')[0], recorded('whois-tagged'))
    for (const each of [user, tagged]) expect((await each.ask(whoami)).status).toBe(200)
    service.localApi.notify({ PeersRemoved: [1] })
    await user.closed
    expect((await tagged.ask(whoami)).status).toBe(200)
  })

  test('is cut with all others when tailscaled stops', async () => {
    using user = await openAs(recorded('whois-user'))
    expect((await user.ask(whoami)).status).toBe(200)
    service.localApi.notify({ State: 4 })
    await user.closed
  })
})

describe('HTTPS', () => {
  const pair = makePair([NAME])
  const start = async (
    tls: Extract<Door, { kind: 'addresses' }>['tls'] | 'files',
    headersTimeout = 300,
    world: World = {},
  ) => {
    const localApi = await StubLocalApi.start()
    localApi.status = withSelf({ TailscaleIPs: ['127.0.0.1'] })
    localApi.certificate = pair.key + pair.certificate
    const door = (scratch: string): Door => {
      const certificate = join(scratch, 'tls.crt')
      const key = join(scratch, 'tls.key')
      writeFileSync(certificate, pair.certificate)
      writeFileSync(key, pair.key, { mode: 0o600 })
      return { ...loopbackDoor, tls: tls === 'files' ? { certificate, key } : tls }
    }
    let look: (() => void)[] = []
    const waits: number[] = []
    const schedule = (ms: number, task: () => void) => {
      look.push(task)
      waits.push(ms)
      return () => void (look = look.filter((each) => each !== task))
    }
    const service = await startOnTailnet({
      localApi,
      door,
      world: { schedule, limits: { headersTimeout }, ...world },
    })
    return Object.assign(service, {
      /** How long each look was planned ahead, in milliseconds. */
      waits,
      /** Lets the time pass until the certificate is looked at. */
      look: () => {
        for (const task of look.splice(0)) task()
      },
    })
  }
  const ready = { method: 'GET', target: '/readyz', body: undefined }

  test.each(['tailnet', 'files'] as const)(
    'by the certificate of %s answers to its name, and tells when it ends',
    async (tls) => {
      await using service = await start(tls)
      expect(service.url).toMatch(new RegExp(`^https://${RegExp.escape(NAME)}:\\d+$`))
      using connection = await RawConnection.openTls(service.url, pair.certificate, NAME)
      const answer = await connection.ask(ready)
      expect([answer.status, JSON.parse(answer.body)]).toEqual([
        200,
        {
          store: 'ok',
          audit: 'ok',
          identity: 'ok',
          certificate: 'ok',
          certificateEnds: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
        },
      ])
      // A program of this host is no caller on the tailnet.
      expect((await connection.ask(whoami)).body).toBe('unable to identify caller\n')
    },
  )

  test('shows a new certificate to who connects, and drops nobody', async () => {
    await using service = await start('tailnet')
    using before = await RawConnection.openTls(service.url, pair.certificate, NAME)
    const renewed = makePair([NAME])
    service.localApi.certificate = renewed.key + renewed.certificate
    service.look()
    await expect.poll(() => service.said.join('\n')).toContain('info: the certificate was renewed')
    using after = await RawConnection.openTls(service.url, renewed.certificate, NAME)
    expect(after.certificate).toBe(renewed.certificate)
    expect(before.certificate).toBe(pair.certificate)
    for (const each of [before, after]) expect((await each.ask(ready)).status).toBe(200)
  })

  test('serves on by the old certificate while the issuer refuses', async () => {
    await using service = await start('tailnet')
    service.localApi.certificate = {
      status: 429,
      text: 'rate limited\n',
      headers: { 'Retry-After': '7200' },
    }
    service.look()
    await expect
      .poll(() => service.said.join('\n'))
      .toMatch(/^warn: .*the present certificate serves on/m)
    using connection = await RawConnection.openTls(service.url, pair.certificate, NAME)
    expect((await connection.ask(ready)).status).toBe(200)
    // Asked again when the refusal says, two hours later, and a little jitter.
    expect(service.waits.at(-1)).toBeGreaterThanOrEqual(7_200_000)
    expect(service.waits.at(-1)).toBeLessThan(7_300_000)
  })

  test('does not answer to what is no TLS, and waits for a handshake no longer than for a head', async () => {
    await using service = await start('tailnet')
    const port = Number(new URL(service.url).port)
    for (const said of ['GET /healthz HTTP/1.1\r\n\r\n', '']) {
      const socket = connect(port, '127.0.0.1')
      socket.on('error', () => {})
      socket.write(said)
      socket.resume()
      await once(socket, 'close')
    }
    using connection = await RawConnection.openTls(service.url, pair.certificate, NAME)
    expect((await connection.ask(ready)).status).toBe(200)
  })

  test('is not ready any more when its certificate has ended', async () => {
    let ahead = 0
    const clock = (): Date => new Date(Date.now() + ahead)
    await using service = await start('tailnet', 300, { clock })
    using connection = await RawConnection.openTls(service.url, pair.certificate, NAME)
    expect((await connection.ask(ready)).status).toBe(200)
    ahead = 91 * 86_400_000
    const answer = await connection.ask(ready)
    expect([answer.status, JSON.parse(answer.body)]).toEqual([
      503,
      expect.objectContaining({ identity: 'ok', certificate: 'failed' }),
    ])
  })

  test('counts handshakes: one address cannot take the places of all', async () => {
    const load = { connections: 4, requests: 100, bytes: 1_000_000 }
    await using service = await start('tailnet', 30_000, { load })
    const port = Number(new URL(service.url).port)
    const silent = Array.from({ length: 3 }, () =>
      connect({ host: '127.0.0.1', port, localAddress: '127.0.0.2' })
        .on('error', () => {})
        .resume(),
    )
    const [third] = await Promise.race(
      silent.map(async (socket) => {
        await once(socket, 'close')
        return [socket]
      }),
    )
    expect(silent.filter((socket) => socket !== third && !socket.destroyed)).toHaveLength(2)
    using connection = await RawConnection.openTls(service.url, pair.certificate, NAME)
    expect((await connection.ask(ready)).status).toBe(200)
    for (const socket of silent) socket.destroy()
  })

  test('is not held up in its stop by handshakes that do not come to their end', async () => {
    const service = await start('tailnet', 30_000)
    const socket = connect(Number(new URL(service.url).port), '127.0.0.1')
    socket.on('error', () => {})
    await once(socket, 'connect')
    const closed = once(socket.resume(), 'close')
    await service[Symbol.asyncDispose]()
    await closed
  })
})

describe('behind tailscale serve', () => {
  const served = (scratch: string): Door => ({
    kind: 'socket',
    path: join(scratch, 'run/sotto.sock'),
  })
  const ask = (service: TailnetService, headers: Record<string, string | string[]>) =>
    new Promise<[number, string]>((resolve, reject) => {
      const asked = request({
        socketPath: join(service.scratch, 'run/sotto.sock'),
        path: '/api/whoami',
        method: 'POST',
        headers: {
          'Content-Type': 'application/json',
          'Sec-X-Tailscale-No-Browsers': 'setec',
          ...headers,
        },
      })
      asked.on('response', (answer) => {
        let text = ''
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
        answer.on('end', () => resolve([answer.statusCode ?? 0, text]))
      })
      asked.on('error', reject).end('{}')
    })

  test('the one address that the proxy tells is asked about', async () => {
    await using service = await startOnTailnet({
      localApi: await StubLocalApi.start(),
      door: served,
    })
    service.localApi.whois.set(userAddress, recorded('whois-user'))
    const path = join(service.scratch, 'run/sotto.sock')
    expect([statSync(join(path, '..')).mode & 0o777, statSync(path).mode & 0o777]).toEqual([
      0o700, 0o600,
    ])
    expect(await ask(service, { 'X-Forwarded-For': userAddress })).toEqual([
      200,
      expect.stringContaining('"User":"alice@example.com"'),
    ])
    const forged = { 'Tailscale-User-Login': 'alice@example.com' }
    for (const headers of [
      {},
      forged,
      { ...forged, 'X-Forwarded-For': '127.0.0.1' },
      { 'X-Forwarded-For': `${userAddress}, 100.64.0.9` },
      { 'X-Forwarded-For': [userAddress, userAddress] },
    ]) {
      expect(await ask(service, headers)).toEqual([500, 'unable to identify caller\n'])
    }
  })

  test('a directory that others can enter is refused', async () => {
    const localApi = await StubLocalApi.start()
    const door = (scratch: string): Door => {
      mkdirSync(join(scratch, 'run'), { mode: 0o755 })
      return served(scratch)
    }
    await expect(startOnTailnet({ localApi, door })).rejects.toThrow(
      /Others could reach a socket in ".*run": it has mode 0755/,
    )
  })

  test('U2, U11: a socket that a server left behind is replaced; one that is answered, or a file, is not, and is told', async () => {
    using scratch = temporaryDirectory()
    const path = join(scratch.path, 'run/sotto.sock')
    mkdirSync(join(scratch.path, 'run'), { mode: 0o700 })
    const script = 'require("net").createServer().listen(process.argv[1], () => console.log())'
    const killed = new TestProcess(process.execPath, ['-e', script, path])
    await killed.firstLine()
    const taken = (place: string) => ({
      message: `Cannot listen on "${place}": something else is listening there`,
      hint: 'End that, or name another place.',
    })
    await expect(bindUnix(createServer(), path)).rejects.toMatchObject(taken(path))
    await killed.kill()
    expect(statSync(path).isSocket()).toBe(true)
    await using server = createServer()
    await bindUnix(server, path)
    const file = join(scratch.path, 'run/file')
    writeFileSync(file, 'kept')
    await expect(bindUnix(createServer(), file)).rejects.toMatchObject(taken(file))
    expect(readFileSync(file, 'utf8')).toBe('kept')
  })
})

describe('where it listens', () => {
  test.each(['0.0.0.0', '::', '0', '0:0:0:0:0:0:0:0', '::ffff:0.0.0.0', '*'])(
    'is never %s',
    async (host) => {
      await expect(bind(createServer(), { host, port: 0 })).rejects.toMatchObject({
        code: 'unsafe',
      })
    },
  )

  test('is every address that the node has, as these come and go', async () => {
    const localApi = await StubLocalApi.start()
    localApi.status = withSelf({ TailscaleIPs: ['127.0.0.1'] })
    await using service = await startOnTailnet({ localApi, door: loopbackDoor })
    const port = Number(new URL(service.url).port)
    using first = await RawConnection.open(`http://127.0.0.1:${port}`)
    localApi.status = withSelf({ TailscaleIPs: ['127.0.0.2', '127.0.0.3'] })
    await first.ask({ method: 'GET', target: '/readyz', body: undefined }).catch(() => {})
    await first.closed
    await expect
      .poll(() => service.said)
      .toEqual(
        expect.arrayContaining([
          `info: serving on 127.0.0.3:${port}`,
          `info: no longer serving on 127.0.0.1:${port}`,
        ]),
      )
    for (const host of ['127.0.0.2', '127.0.0.3']) {
      using next = await RawConnection.open(`http://${host}:${port}`)
      expect((await next.ask({ method: 'GET', target: '/healthz', body: undefined })).status).toBe(
        200,
      )
    }
    // While tailscaled is away nothing is known to be another's. Who was connected is cut.
    await localApi.stop()
    const ready = { method: 'GET', target: '/readyz', body: undefined }
    const asked = (): Promise<string | undefined> =>
      askOnce(`http://127.0.0.2:${port}`, ready).then(
        ({ status, body }) => `${status} ${body}`,
        () => undefined,
      )
    await expect.poll(asked).toMatch(/^503 .*"identity":"failed"/)
  })

  test('must be an address of the node', async () => {
    const localApi = await StubLocalApi.start()
    const door = { ...loopbackDoor, host: '127.0.0.1' }
    await expect(startOnTailnet({ localApi, door })).rejects.toThrow(
      '"127.0.0.1" is not an address of this node on its tailnet',
    )
  })
})

/** The state of a tailscaled whose own node has other fields. */
function withSelf(fields: object): string {
  const status = JSON.parse(recorded('status')) as { Self: object }
  return JSON.stringify({ ...status, Self: { ...status.Self, ...fields } })
}
