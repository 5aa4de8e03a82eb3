/** What `sotto doctor` says of servers and tailnets that are well, or not. */
import { chmodSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Finding } from '../../cli/handlers/finding.ts'
import type { Io } from '../../cli/terminal/io.ts'
import { run } from '../../cli/run.ts'
import { bind } from '../../server/http/bind.ts'
import { initialise } from '../../server/start/new-store.ts'
import { makePair } from '../support/certificates.ts'
import { addressesIn, recorded, StubLocalApi, withNode } from '../support/local-api.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { loopbackDoor, startOnTailnet } from '../support/tailnet-service.ts'

const NAME = 'server.tail-test.ts.net'
const DAY = 86_400_000
const [userAddress] = addressesIn('whois-user')
const now = Date.now()

let localApi: StubLocalApi
let scratch: ReturnType<typeof temporaryDirectory>

beforeEach(async () => {
  localApi = await StubLocalApi.start()
  status({ TailscaleIPs: ['127.0.0.1'] })
  scratch = temporaryDirectory()
  certificateFor(90)
})

afterEach(async () => {
  await localApi[Symbol.asyncDispose]()
  scratch[Symbol.dispose]()
})

/** Sets fields of the server's own node, and of the state of the daemon. */
function status(self: object, fields: object = {}): void {
  const all = JSON.parse(recorded('status')) as { Self: object }
  localApi.status = JSON.stringify({ ...all, ...fields, Self: { ...all.Self, ...self } })
}

/** Has tailscaled give a certificate that ends in so many days. */
function certificateFor(days: number): void {
  const pair = makePair([NAME], { until: new Date(now + days * DAY) })
  localApi.certificate = pair.key + pair.certificate
}

async function doctor(...args: string[]): Promise<{ exit: number; text: string }> {
  let text = ''
  const output = {
    isTTY: false,
    write: async (data: string | Uint8Array) => void (text += String(data)),
  }
  const io: Io = {
    stdin: { isTTY: false, chunks: async function* chunks() {} },
    stdout: output,
    stderr: output,
    now: () => now,
    onInterrupt: () => ({ [Symbol.dispose]: () => {} }),
  }
  const exit = await run(['doctor', '--tailscaled-socket', localApi.path, ...args], io, {})
  return { exit, text }
}

/** What was found of one thing. */
async function found(name: string, ...args: string[]): Promise<Finding | undefined> {
  const { text } = await doctor('-o', 'json', ...args)
  return (JSON.parse(text) as { findings: Finding[] }).findings.find((each) => each.name === name)
}

test('a server that is well is told so, line by line, and the exit code is 0', async () => {
  const door = { ...loopbackDoor, tls: 'tailnet' } as const
  await using service = await startOnTailnet({ localApi, door })
  localApi.whois.set(userAddress, recorded('whois-user'))
  const state = join(service.scratch, 'state')
  const port = new URL(service.url).port
  const { exit, text } = await doctor(
    '--state-dir',
    state,
    '--listen',
    `:${port}`,
    '--peer',
    userAddress,
  )
  const lines = text
    .split('\n')
    .filter((line) => !/^(?:\S+ +(?:user|clock|disk) | +do: )/.test(line))
  expect(lines).toEqual([
    expect.stringMatching(/^ok +tailscaled +1\.102\.3\S* at ".*", with a network device$/),
    expect.stringMatching(/^ok +control +tailscaled is connected to it$/),
    expect.stringMatching(/^ok +node key +does not expire$/),
    expect.stringMatching(/^ok +addresses +127\.0\.0\.1$/),
    expect.stringMatching(/^ok +name +server\.tail-test\.ts\.net$/),
    expect.stringMatching(
      /^ok +certificate +of server\.tail-test\.ts\.net ends at .*Z, in (?:89|90) days$/,
    ),
    expect.stringMatching(/^ok +server +at 127\.0\.0\.1:\d+ is ready$/),
    expect.stringMatching(
      /^ok +peer .*\(alice@example\.com\) may get, info, put, activate on dev\/\*$/,
    ),
    expect.stringMatching(/^ok +state +a store in ".*", which no other user can enter$/),
    expect.stringMatching(/^ok +key +".*local\.key", which no other user can read$/),
    '',
  ])
  expect(exit).toBe(0)
})

describe('tailscaled', () => {
  test('that is not there fails, with its socket and what to do', async () => {
    await localApi.stop()
    const { exit, text } = await doctor()
    expect(exit).toBe(1)
    expect(text).toMatch(
      /failed +tailscaled +tailscaled at ".*" is not there when asked for status\n +do: Start it/,
    )
  })

  test('that needs a login fails', async () => {
    status({}, { BackendState: 'NeedsLogin' })
    expect(await found('tailscaled')).toMatchObject({
      state: 'failed',
      hint: 'Join the tailnet with `tailscale up`.',
    })
  })

  test('in userspace mode fails, unless the server is behind serve', async () => {
    status({}, { TUN: false })
    expect(await found('tailscaled')).toMatchObject({ state: 'failed' })
    const socket = join(scratch.path, 'sotto.sock')
    expect(await found('tailscaled', '--serve-socket', socket)).toMatchObject({ state: 'ok' })
  })

  test('out of touch with control, or with a key that ends, is warned of', async () => {
    const KeyExpiry = new Date(now + 20 * DAY).toISOString()
    status({ TailscaleIPs: ['127.0.0.1'], Online: false, KeyExpiry })
    expect(await found('control')).toMatchObject({ state: 'warning' })
    expect(await found('node key')).toMatchObject({
      state: 'warning',
      message: `expires at ${KeyExpiry}, in 20 days`,
    })
    status({ TailscaleIPs: ['127.0.0.1'], KeyExpiry: new Date(now - DAY).toISOString() })
    expect(await found('node key')).toMatchObject({ state: 'failed' })
  })
})

describe('the certificate', () => {
  test('that ends in a few days is warned of', async () => {
    certificateFor(8)
    expect(await found('certificate')).toMatchObject({
      state: 'warning',
      message: expect.stringMatching(/ends at \S+Z, in [78] days$/),
    })
  })

  test('that our user may not have: the one setting is named', async () => {
    localApi.certificate = { status: 403, text: recorded('certificate-not-permitted') }
    expect(await found('certificate')).toMatchObject({
      state: 'failed',
      hint: expect.stringContaining('TS_PERMIT_CERT_UID'),
    })
  })

  test('of a tailnet without HTTPS: what else there is is named', async () => {
    status({ TailscaleIPs: ['127.0.0.1'] }, { CertDomains: null })
    expect(await found('certificate')).toMatchObject({
      state: 'failed',
      hint: expect.stringMatching(/--tls-cert .* --plain-http/),
    })
    expect(await found('certificate', '--plain-http')).toMatchObject({ state: 'warning' })
  })

  test('in files is read, and compared with the name', async () => {
    const [certificate, key] = [join(scratch.path, 'tls.crt'), join(scratch.path, 'tls.key')]
    const files = ['--tls-cert', certificate, '--tls-key', key]
    const write = (names: string[]): void => {
      const pair = makePair(names)
      writeFileSync(certificate, pair.certificate)
      writeFileSync(key, pair.key, { mode: 0o600 })
    }
    write([NAME])
    expect(await found('certificate', ...files)).toMatchObject({ state: 'ok' })
    write(['vault.example.com'])
    expect(await found('certificate', ...files)).toMatchObject({ state: 'warning' })
    chmodSync(key, 0o644)
    expect(await found('certificate', ...files)).toMatchObject({ state: 'failed' })
  })
})

describe('a peer', () => {
  test('without rules is warned of, with the name of the capability', async () => {
    localApi.whois.set(userAddress, recorded('whois-user'))
    expect(
      await found('peer', '--peer', userAddress, '--capability', 'example.com/cap/x'),
    ).toMatchObject({
      state: 'warning',
      message: expect.stringContaining('no grant gives it "example.com/cap/x" on this node'),
    })
  })

  test('that is refused, or unknown, fails', async () => {
    expect(await found('peer', '--peer', '100.64.0.9')).toMatchObject({ state: 'failed' })
    localApi.whois.set(userAddress, withNode('whois-user', { Expired: true }))
    expect(await found('peer', '--peer', userAddress)).toMatchObject({
      state: 'failed',
      message: expect.stringContaining('has an expired key'),
    })
  })
})

describe('the server', () => {
  test('that does not answer is warned of; another program in its place fails', async () => {
    const other = createServer((socket) => socket.resume().end('HTTP/1.1 404 Not Found\r\n\r\n'))
    const port = await bind(other, { host: '127.0.0.1', port: 0 })
    const args = ['--plain-http', '--listen', `:${port}`]
    expect(await found('server', ...args)).toMatchObject({
      state: 'failed',
      message: `another program answers at 127.0.0.1:${port}`,
    })
    await other[Symbol.asyncDispose]()
    expect(await found('server', ...args)).toMatchObject({
      state: 'warning',
      message: `nothing is ready at 127.0.0.1:${port} (ECONNREFUSED)`,
    })
  })

  test('that is not ready fails, with the part that is not', async () => {
    await using service = await startOnTailnet({ localApi, door: loopbackDoor })
    status({ TailscaleIPs: ['127.0.0.1'] }, { CertDomains: null })
    const port = new URL(service.url).port
    const before = localApi.status
    localApi.status = (_, outgoing) => {
      // The server is told one thing and doctor, who asks first, another.
      localApi.status = { status: 500, text: 'broken\n' }
      outgoing.end(before)
    }
    expect(await found('server', '--plain-http', '--listen', `:${port}`)).toMatchObject({
      state: 'failed',
      message: expect.stringContaining('"identity":"failed"'),
    })
  })
})

describe('the state directory', () => {
  test('that is open to others, missing, or without its key fails', async () => {
    const stateDir = join(scratch.path, 'state')
    const args = ['--state-dir', stateDir]
    expect(await found('state', ...args)).toMatchObject({ state: 'failed' })
    await initialise({ stateDir, keyFile: undefined })
    expect(await found('state', ...args)).toMatchObject({ state: 'ok' })
    expect(await found('key', ...args, '--key-file', join(scratch.path, 'none'))).toMatchObject({
      state: 'failed',
    })
    chmodSync(join(stateDir, 'local.key'), 0o640)
    expect(await found('key', ...args)).toMatchObject({ state: 'failed' })
    chmodSync(stateDir, 0o750)
    expect(await found('state', ...args)).toMatchObject({ state: 'failed' })
  })
})

test('doctor refuses settings that the server refuses', async () => {
  expect(await doctor('--listen', '0.0.0.0:443')).toMatchObject({
    exit: 1,
    text: expect.stringContaining('"0.0.0.0" means every address of this machine'),
  })
  expect((await doctor('-o', 'yaml')).text).toContain('--output is text or json')
})
