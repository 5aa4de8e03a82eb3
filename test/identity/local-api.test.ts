import { spawnSync } from 'node:child_process'
import { rmSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { BusLine } from '../../server/identity/tailscale/bus.ts'
import { LocalApi, notRunning } from '../../server/identity/tailscale/local-api.ts'
import { recorded, StubLocalApi, withNode } from '../support/local-api.ts'

/** A wait that a test can afford to see end. */
const SHORT_MS = 150

let stub: StubLocalApi
let api: LocalApi
/** Has no patience. */
let hasty: LocalApi

beforeEach(async () => {
  stub = await StubLocalApi.start()
  api = new LocalApi({ path: stub.path, times: { answer: 10_000 } })
  hasty = new LocalApi({ path: stub.path, times: { answer: SHORT_MS } })
})

afterEach(async () => {
  await Promise.all([api.close(), hasty.close()])
  await stub[Symbol.asyncDispose]()
})

/** Expects a refusal of tailscaled's that names its socket. */
async function expectUnavailable(asking: Promise<unknown>, message: RegExp): Promise<void> {
  const error = await asking.then(
    () => undefined,
    (reason: unknown) => reason as Error,
  )
  expect(error).toMatchObject({ code: 'tailscaled_unavailable', hint: expect.any(String) })
  expect(error?.message).toMatch(message)
  expect(error?.message).toContain(JSON.stringify(stub.path))
}

describe('status', () => {
  test('tells of the node itself', async () => {
    expect(await api.status()).toMatchObject({
      TUN: true,
      BackendState: 'Running',
      Self: {
        ID: 'nserverCNTRL',
        TailscaleIPs: ['100.64.0.1', 'fd7a:115c:a1e0:ab12:4843:cd96:6240:1'],
        Online: true,
      },
      CertDomains: ['server.tail-test.ts.net'],
    })
    expect(stub.asked).toEqual(['GET /localapi/v0/status?peers=false'])
  })

  test('of a daemon that has joined no tailnet has no node', async () => {
    stub.status = '{"TUN":true,"BackendState":"NeedsLogin","Self":null,"CertDomains":null}'
    expect(await api.status()).toMatchObject({
      BackendState: 'NeedsLogin',
      Self: null,
      CertDomains: [],
    })
  })
})

describe('whois', () => {
  test('asks for a bare address, with no destination', async () => {
    stub.whois.set('fd7a:115c:a1e0::3', recorded('whois-user'))
    const who = await api.whois('fd7a:115c:a1e0::3')
    expect(who?.UserProfile.LoginName).toBe('alice@example.com')
    expect(stub.asked).toEqual(['GET /localapi/v0/whois?addr=fd7a%3A115c%3Aa1e0%3A%3A3'])
  })

  test('knows nobody at an address without a node', async () => {
    expect(await api.whois('100.64.9.9')).toBeUndefined()
  })

  test('reads a key that never expires, as old and new daemons write it', async () => {
    stub.whois.set('100.64.0.2', recorded('whois-tagged'))
    expect((await api.whois('100.64.0.2'))?.Node.KeyExpiry).toBeUndefined()
    const old = withNode('whois-tagged', { KeyExpiry: '0001-01-01T00:00:00Z' })
    stub.whois.set('100.64.0.2', old)
    expect((await api.whois('100.64.0.2'))?.Node.KeyExpiry).toBeUndefined()
  })

  test('refuses a time that is none, rather than taking it for no expiry', async () => {
    const odd = withNode('whois-user', { KeyExpiry: 'soon' })
    stub.whois.set('100.64.0.3', odd)
    await expectUnavailable(api.whois('100.64.0.3'), /wrong at "Node.KeyExpiry": is not a time/)
  })

  test('with a destination is refused when the daemon does not know it', async () => {
    stub.whois.set('100.64.0.3', recorded('whois-user'))
    const destination = '100.100.1.1'
    expect(await api.whois('100.64.0.3', { destination })).toBeDefined()
    expect(stub.asked.at(-1)).toContain('dst_ip=100.100.1.1')
    for (const old of ['138', undefined, 'new']) {
      stub.capability = old
      await expectUnavailable(api.whois('100.64.0.3', { destination }), /older than 1\.100/)
    }
  })
})

describe('a certificate', () => {
  test('is told apart from its key', async () => {
    const { key, certificate } = issued()
    stub.certificate = recorded('certificate')
    const pair = await api.certificate('server.tail-test.ts.net', { minValidityMs: 3_600_000 })
    expect(pair).toEqual({ key, certificate })
    expect(stub.asked).toEqual([
      'GET /localapi/v0/cert/server.tail-test.ts.net?type=pair&min_validity=3600s',
    ])
  })

  test.each([
    ['nothing', () => ''],
    ['two keys', (key: string, certificate: string) => key + key + certificate],
    ['a key alone', (key: string) => key],
    ['a chain alone', (_: string, certificate: string) => certificate],
    ['a pair and something more', (key: string, certificate: string) => `${key}${certificate}!`],
    [
      'a pair and half a key',
      (key: string, certificate: string) => key + certificate + key.slice(0, 60),
    ],
  ])('is refused when it is %s', async (_, text) => {
    const { key, certificate } = issued()
    stub.certificate = text(key, certificate)
    await expectUnavailable(api.certificate('a.b'), /is not one key and a chain/)
  })

  test('that may not be had says what to do', async () => {
    stub.certificate = { status: 403, text: 'cert access denied\n' }
    await expect(api.certificate('a.b')).rejects.toMatchObject({
      code: 'certificate_unavailable',
      message: expect.stringContaining('403: "cert access denied"') as string,
      hint: expect.stringContaining('TS_PERMIT_CERT_UID') as string,
    })
  })

  test('that the issuer refuses tells when to ask again', async () => {
    stub.certificate = { status: 429, text: 'rate limited', headers: { 'Retry-After': '1200' } }
    await expect(api.certificate('a.b')).rejects.toMatchObject({
      code: 'certificate_unavailable',
      message: expect.stringContaining('try again after "1200" seconds') as string,
    })
  })

  test('that never comes is given up, and keeps no whois waiting', async () => {
    const patient = new LocalApi({ path: stub.path, times: { certificate: 3 * SHORT_MS } })
    stub.certificate = () => {}
    stub.whois.set('100.64.0.3', recorded('whois-user'))
    let givenUp = 0
    const asking = Array.from({ length: 20 }, async () => {
      await expectUnavailable(patient.certificate('a.b'), /did not answer within 450 ms/)
      givenUp++
    })
    expect(await patient.whois('100.64.0.3')).toBeDefined()
    expect(givenUp).toBe(0)
    await Promise.all(asking)
    await patient.close()
  })
})

describe('the bus', () => {
  test('tells what happened, however its lines are cut', async () => {
    const lines: BusLine[] = []
    const stop = new AbortController()
    const watching = api.watch((line) => lines.push(line), stop.signal)
    await expect.poll(() => lines).toEqual([{ running: true, self: false, peers: false }])
    expect(stub.asked.at(-1)).toBe('GET /localapi/v0/watch-ipn-bus?mask=4226')
    stub.notify('{"State":4}\n{"SelfCha')
    stub.notify('nge":{"ID":1}}\n\n{"PeersRemoved":[9007199254740993]}\n')
    stub.notify({ PeersChanged: [{ StableID: 'n1' }] })
    stub.notify({ PeersChanged: [{ StableID: 'n1' }, { StableID: 'n2', Expired: true }] })
    await expect
      .poll(() => lines.slice(1))
      .toEqual([
        { running: false, self: false, peers: false },
        { self: true, peers: true },
        { self: false, peers: true },
        { self: false, peers: false },
        { self: false, peers: true },
      ])
    stop.abort()
    await watching
  })

  test('of an old daemon is asked for without peers', async () => {
    stub.capability = '138'
    const stop = new AbortController()
    const watching = api.watch(() => stop.abort(), stop.signal)
    await watching
    expect(stub.asked.at(-1)).toBe('GET /localapi/v0/watch-ipn-bus?mask=130')
  })

  test('takes a line that is too long for news of everything', async () => {
    const lines: BusLine[] = []
    const stop = new AbortController()
    const watching = api.watch((line) => lines.push(line), stop.signal)
    await expect.poll(() => stub.watchers).toBe(1)
    for (let at = 0; at < 5; at++) stub.notify(' '.repeat(1024 * 1024))
    stub.notify('\n{"State":6}\n')
    await expect
      .poll(() => lines.slice(1))
      .toEqual([
        { self: true, peers: true },
        { running: true, self: false, peers: false },
      ])
    stop.abort()
    await watching
  })

  test('resolves when the daemon ends it, and is silent for as long as nothing happens', async () => {
    const watching = api.watch(() => {}, new AbortController().signal)
    await expect.poll(() => stub.watchers).toBe(1)
    // Longer than an answer may take: silence is no failure.
    await new Promise((resolve) => setTimeout(resolve, 2 * SHORT_MS))
    expect(stub.watchers).toBe(1)
    stub.endBus()
    await watching
  })

  test('that is refused is given up, without waiting for the end of the reason', async () => {
    stub.bus = (_, outgoing) => void outgoing.writeHead(403).write('inv')
    await expectUnavailable(
      api.watch(() => {}, new AbortController().signal),
      /refused the bus with 403/,
    )
  })

  test.each([
    ['no JSON', 'hello\n', /is not JSON/],
    ['another shape', '{"State":"up"}\n', /wrong at "State"/],
    ['an error', '{"ErrMessage":"fell behind"}\n', /reports "fell behind"/],
  ])('that tells %s is given up', async (_, line, message) => {
    const watching = api.watch(() => {}, new AbortController().signal)
    const refused = expectUnavailable(watching, message)
    await expect.poll(() => stub.watchers).toBe(1)
    stub.notify(line)
    await refused
  })
})

describe('tailscaled', () => {
  test('that is stopped is told as not running, and how to start it', async () => {
    await stub.stop()
    const stopped = /^tailscaled is not running: there is no socket ".*"$/
    await expectUnavailable(api.status(), stopped)
    await expectUnavailable(
      api.watch(() => {}, new AbortController().signal),
      stopped,
    )
    await expect(api.status()).rejects.toMatchObject({
      hint: expect.stringContaining('systemctl start tailscaled'),
    })
  })

  test('that crashed, and left its socket, is not running either', async () => {
    await stub.stop()
    // The file of a socket stays where the process that listened is killed.
    const script = `require('net').createServer().listen(${JSON.stringify(api.path)}, () => process.kill(process.pid, 'SIGKILL'))`
    spawnSync(process.execPath, ['-e', script])
    expect(statSync(api.path).isSocket()).toBe(true)
    await expectUnavailable(
      api.status(),
      /^tailscaled is not running: nothing listens on ".*tailscaled.*"$/,
    )
    rmSync(api.path)
  })

  test.each(['EACCES', 'EPERM'])('that this user may not ask may be running: %s', (code) => {
    const error = notRunning('/run/x.sock', Object.assign(new Error(code), { code }))
    expect(error).toMatchObject({
      code: 'tailscaled_unavailable',
      message:
        'Cannot tell whether tailscaled is running: this user may not use its socket "/run/x.sock"',
      hint: expect.stringContaining('`sudo systemctl start tailscaled` starts it'),
    })
    expect(notRunning('/run/x.sock', new Error('reset'))).toBeUndefined()
  })

  test('that was restarted is asked again at once', async () => {
    await api.status()
    await stub.stop()
    await stub.start()
    expect((await api.status()).BackendState).toBe('Running')
  })

  test('that closed a kept connection without a word is asked again once', async () => {
    let asked = 0
    stub.status = (_, outgoing) => {
      if (asked++ === 0) outgoing.socket?.destroy()
      else outgoing.end(recorded('status'))
    }
    expect((await api.status()).BackendState).toBe('Running')
    stub.status = (_, outgoing) => void outgoing.socket?.destroy()
    await expectUnavailable(api.status(), /closed the connection/)
  })

  test('that is slow is given up within the bound', async () => {
    stub.status = () => {}
    await expectUnavailable(hasty.status(), /did not answer within 150 ms when asked for status/)
    stub.status = (_, outgoing) => void outgoing.write('{"TUN":')
    await expectUnavailable(hasty.status(), /did not answer within 150 ms/)
  })

  test('that accepts and is frozen is given up, however many ask', async () => {
    stub.status = () => {}
    const asking = Array.from({ length: 50 }, () =>
      expectUnavailable(hasty.status(), /did not answer within 150 ms/),
    )
    await Promise.all(asking)
  })

  test.each([
    ['no JSON', '<html>', /is not JSON/],
    ['half of one', recorded('status').slice(0, 200), /is not JSON/],
    ['another shape', '{"TUN":"yes"}', /is wrong at "TUN"/],
    ['null', 'null', /is wrong at ""/],
    ['a refusal', { status: 403, text: 'invalid localapi request\n' }, /refused status with 403/],
  ])('that answers %s is refused', async (_, answer, message) => {
    stub.status = answer
    await expectUnavailable(api.status(), message)
  })

  test('that answers without end is cut off', async () => {
    stub.status = (_, outgoing) => {
      outgoing.on('error', () => {})
      const more = (): void => {
        while (outgoing.writable && outgoing.write('x'.repeat(65_536)));
      }
      outgoing.on('drain', more)
      more()
    }
    await expectUnavailable(api.status(), /answered more than 4194304 bytes/)
  })

  test('that does not speak HTTP is refused', async () => {
    await stub.stop()
    const server = createServer((socket) =>
      socket
        .on('error', () => {})
        .resume()
        .end('SSH-2.0-x\r\n'),
    )
    await new Promise<void>((resolve) => server.listen(stub.path, resolve))
    await expectUnavailable(api.status(), /did not answer in HTTP/)
    await new Promise((resolve) => server.close(resolve))
  })
})

/** The key and the chain that a released tailscaled gave, told apart by hand. */
function issued(): { key: string; certificate: string } {
  const pair = recorded('certificate')
  const at = pair.indexOf('-----BEGIN CERTIFICATE-----')
  return { key: pair.slice(0, at), certificate: pair.slice(at) }
}
