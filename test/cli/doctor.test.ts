/** What `sotto doctor` says of servers and tailnets that are well, or not. */
import fs, { chmodSync, mkdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { createServer } from 'node:net'
import { generateX25519Identity } from 'age-encryption'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { segmentName } from '../../audit/segment.ts'
import { diskFindings } from '../../cli/handlers/doctor-host.ts'
import type { Finding } from '../../cli/handlers/finding.ts'
import type { Io } from '../../cli/terminal/io.ts'
import { run } from '../../cli/run.ts'
import { bind } from '../../server/http/bind.ts'
import { initialise } from '../../server/start/new-store.ts'
import { defaultMounts } from '../../server/vault/mounts.ts'
import { makePair } from '../support/certificates.ts'
import { addressesIn, recorded, StubLocalApi, withNode } from '../support/local-api.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { loopbackDoor, startOnTailnet } from '../support/tailnet-service.ts'

const NAME = 'server.tail-test.ts.net'
const DAY = 86_400_000
const [userAddress] = addressesIn('whois-user')
const now = Date.now()
/** What time doctor takes it to be: always the same, so that days are counted alike on a machine that is slow. */
let clock = (): number => now

let localApi: StubLocalApi
let scratch: ReturnType<typeof temporaryDirectory>

beforeEach(async () => {
  localApi = await StubLocalApi.start()
  status({ TailscaleIPs: ['127.0.0.1'] })
  scratch = temporaryDirectory()
  certificateFor(90)
  clock = () => now
})

afterEach(async () => {
  clock = () => now
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
    now: () => clock(),
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
  // The log of the server is written by the clock of the system.
  clock = Date.now
  const door = { ...loopbackDoor, tls: 'tailnet' } as const
  const vault = { listen: { host: undefined, port: 0 }, mounts: defaultMounts }
  await using service = await startOnTailnet({ localApi, door, vault })
  localApi.whois.set(userAddress, recorded('whois-user'))
  const state = join(service.scratch, 'state')
  const port = new URL(service.url).port
  const { exit, text } = await doctor(
    '--state-dir',
    state,
    '--listen',
    `:${port}`,
    '--vault-listen',
    `:${new URL(service.server.vaultUrl ?? '').port}`,
    '--peer',
    userAddress,
  )
  const lines = text
    .split('\n')
    .filter((line) => !/^(?:\S+ +(?:user|clock|disk|time) | +do: )/.test(line))
  expect(lines).toEqual([
    expect.stringMatching(/^ok +version +\S+$/),
    expect.stringMatching(/^ok +tailscaled +1\.102\.3\S* at ".*", with a network device$/),
    expect.stringMatching(/^ok +control +tailscaled is connected to it$/),
    expect.stringMatching(/^ok +node key +does not expire$/),
    expect.stringMatching(/^ok +addresses +127\.0\.0\.1$/),
    expect.stringMatching(/^ok +name +server\.tail-test\.ts\.net$/),
    expect.stringMatching(
      /^ok +certificate +of server\.tail-test\.ts\.net ends at .*Z, in (?:89|90) days$/,
    ),
    expect.stringMatching(/^ok +server +at 127\.0\.0\.1:\d+ is ready$/),
    expect.stringMatching(/^ok +vault +at 127\.0\.0\.1:\d+ is ready$/),
    expect.stringMatching(
      /^ok +peer .*\(alice@example\.com\) may get, info, put, activate on dev\/\*$/,
    ),
    expect.stringMatching(
      /^ok +state +a store in ".*", which no other user can enter; process \d+ is using it$/,
    ),
    expect.stringMatching(/^ok +key +local key [0-9a-f]{16} opens the store$/),
    expect.stringMatching(/^warning +recovery key +none: /),
    expect.stringMatching(/^warning +backups +none are made$/),
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
      /failed +tailscaled +tailscaled is not running: there is no socket ".*"\n +do: Start it: `sudo systemctl start tailscaled`/,
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

  test('V7: is found by its name, in full or the first label', async () => {
    localApi.whois.set(userAddress, recorded('whois-user'))
    const all = JSON.parse(localApi.status as string) as object
    const Peer = { key: { DNSName: 'user.tail-test.ts.net.', TailscaleIPs: [userAddress] } }
    localApi.status = JSON.stringify({ ...all, Peer })
    for (const name of ['user', 'User.tail-test.ts.net', 'user.tail-test.ts.net.']) {
      const shown = await found('peer', '--peer', name, '--capability', 'example.com/cap/x')
      expect(shown?.message).toMatch(/^user.* has no rules: /)
    }
    expect(await found('peer', '--peer', 'use')).toMatchObject({
      state: 'failed',
      message: 'tailscaled has no node that is called "use"',
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
      message: `none is ready at 127.0.0.1:${port}: nothing is listening there`,
    })
  })

  test('U7: is looked at on each address, and starts where it can listen on one', async () => {
    status({ TailscaleIPs: ['127.0.0.1', '127.0.0.2'] })
    const silent = () => createServer((socket) => socket.destroy())
    await using second = silent()
    const port = await bind(second, { host: '127.0.0.2', port: 0 })
    const looked = () => doctor('--plain-http', '--listen', `:${port}`)
    const taken = `Cannot listen on 127.0.0.2:${port}: something else is listening there`
    const one = await looked()
    expect(one.text).toMatch(/^warning +server +none is ready at 127\.0\.0\.1:/m)
    expect(one.text).toMatch(new RegExp(`^warning +server +${taken}$`, 'm'))
    expect(one.exit).toBe(0)
    await using first = silent()
    await bind(first, { host: '127.0.0.1', port })
    const none = await looked()
    expect(none.text).toMatch(new RegExp(`^failed +server +${taken}$`, 'm'))
    expect(none.exit).toBe(1)
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
    chmodSync(join(stateDir, 'local.key'), 0o644)
    expect(await found('key', ...args)).toMatchObject({ state: 'failed' })
    chmodSync(stateDir, 0o750)
    expect(await found('state', ...args)).toMatchObject({ state: 'failed' })
  })
})

describe('U4: the folder of the audit log', () => {
  let stateDir: string
  let audit: string
  beforeEach(async () => {
    stateDir = join(scratch.path, 'state')
    audit = join(stateDir, 'audit')
    await initialise({ stateDir, keyFile: undefined })
    mkdirSync(audit, { mode: 0o700 })
  })
  const segment = (number: number): string => `${String(number).padStart(20, '0')}.jsonl`

  test('what is not of the log is not looked at', async () => {
    symlinkSync('gone', join(audit, 'latest'))
    symlinkSync('loop', join(audit, 'loop'))
    mkdirSync(join(audit, 'copies'))
    writeFileSync(join(audit, 'notes.txt'), 'mine')
    const ahead = new Date(now + DAY)
    utimesSync(join(audit, 'notes.txt'), ahead, ahead)
    expect(await found('disk', '--state-dir', stateDir)).toMatchObject({ state: 'ok' })
    expect(await found('audit log', '--state-dir', stateDir)).toMatchObject({ state: 'ok' })
    expect(await found('time', '--state-dir', stateDir)).toBeUndefined()
  })

  test('a segment that is moved away meanwhile is no fault', async () => {
    const path = join(audit, segment(7))
    writeFileSync(path, '')
    const { statSync } = fs
    vi.spyOn(fs, 'statSync').mockImplementation(((at: string, options?: object) => {
      if (at === path) rmSync(path)
      return statSync(at, options)
    }) as typeof statSync)
    syncBuiltinESMExports()
    onTestFinished(() => {
      vi.restoreAllMocks()
      syncBuiltinESMExports()
    })
    const { text } = await doctor('--state-dir', stateDir)
    expect(fs.existsSync(path)).toBe(false)
    expect(text).toMatch(/^ok +audit log +agrees with the store$/m)
    expect(text).toMatch(/^(?:ok|warning) +disk /m)
    expect(text).not.toMatch(/cannot look at/)
  })

  test.each([
    [
      'a link that leads nowhere',
      (path: string) => symlinkSync('gone', path),
      'there is no such file',
    ],
    [
      'a link to itself',
      (path: string) => symlinkSync(segment(7), path),
      'too many symbolic links',
    ],
  ])('a segment that is %s is named, and hides no other', async (_, make, reason) => {
    make(join(audit, segment(7)))
    writeFileSync(join(audit, segment(9)), '')
    const ahead = new Date(now + DAY)
    utimesSync(join(audit, segment(9)), ahead, ahead)
    const { text } = await doctor('--state-dir', stateDir)
    expect(text).toMatch(
      new RegExp(
        `^warning +audit log +cannot look at its segment ".*${segment(7)}": .*${reason}`,
        'm',
      ),
    )
    expect(text).toMatch(
      /^warning +time +the audit log was last written at .*, which is in the future$/m,
    )
    expect(text).toMatch(/^(?:ok|warning) +disk /m)
  })
})

test('doctor refuses settings that the server refuses', async () => {
  expect(await doctor('--listen', '0.0.0.0:443')).toMatchObject({
    exit: 1,
    text: expect.stringContaining(
      'Cannot use "0.0.0.0" as --listen: it means every address of this machine',
    ),
  })
  expect((await doctor('-o', 'yaml')).text).toContain('--output is text or json')
})

test.each([
  ['is missing', undefined, /the recovery identity ".*": there is no such file/],
  ['is no identity', 'hello', /the recovery identity ".*"/],
])(
  'U7: an identity that %s is named, also where the store has no recovery key',
  async (_, content, says) => {
    const stateDir = join(scratch.path, 'state')
    await initialise({ stateDir, keyFile: undefined })
    const path = join(scratch.path, 'identity')
    if (content !== undefined) writeFileSync(path, content, { mode: 0o600 })
    const given = ['--state-dir', stateDir, '--recovery-identity', path]
    expect(await found('identity', ...given)).toMatchObject({
      state: 'warning',
      message: expect.stringMatching(says) as string,
    })
  },
)

test('U7: an identity that opens nothing is said to', async () => {
  const stateDir = join(scratch.path, 'state')
  await initialise({ stateDir, keyFile: undefined })
  const path = join(scratch.path, 'identity')
  writeFileSync(path, await generateX25519Identity(), { mode: 0o600 })
  expect(
    await found('identity', '--state-dir', stateDir, '--recovery-identity', path),
  ).toMatchObject({
    state: 'warning',
    message: expect.stringContaining('opens nothing: the store has no recovery key') as string,
  })
  expect(await found('identity', '--state-dir', stateDir)).toBeUndefined()
})

describe('the audit log', () => {
  const segment = (id: number, ahead: number): void => {
    const path = join(scratch.path, 'audit', segmentName(id))
    writeFileSync(path, '')
    utimesSync(path, new Date(now), new Date(now + ahead))
  }
  const times = (at = () => new Date(now)): Finding[] =>
    diskFindings({ path: scratch.path, audit: join(scratch.path, 'audit') }, at).filter(
      ({ name }) => name === 'time',
    )

  test('U7: of a store that no server has used yet is not there, and nothing is wrong with that', async () => {
    const stateDir = join(scratch.path, 'state')
    await initialise({ stateDir, keyFile: undefined })
    expect(await found('audit log', '--state-dir', stateDir)).toMatchObject({ state: 'ok' })
  })

  test('U1: what a server writes while doctor looks is not from the future', () => {
    mkdirSync(join(scratch.path, 'audit'))
    segment(1, 0)
    const writes = (): Date => {
      segment(2, DAY)
      return new Date(now)
    }
    expect(times(writes)).toEqual([])
  })

  test('U1: a clock that was ahead once leaves no mark', () => {
    expect(times()).toEqual([])
    mkdirSync(join(scratch.path, 'audit'))
    expect(times()).toEqual([])
    segment(1, -DAY)
    segment(70, 365 * DAY)
    segment(1000, -1000)
    expect(times()).toEqual([])
  })

  test('U1: whose newest segment is from the future is told, since that may be the clock of now', () => {
    mkdirSync(join(scratch.path, 'audit'))
    segment(9, 0)
    segment(10, DAY)
    expect(times()).toEqual([
      expect.objectContaining({
        state: 'warning',
        message: `the audit log was last written at ${new Date(now + DAY).toISOString()}, which is in the future`,
      }),
    ])
  })
})
