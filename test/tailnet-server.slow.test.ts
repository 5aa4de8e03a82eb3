/** The program as it is started on a tailnet, next to a stub of tailscaled: what it says, and that it serves. */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { initialise } from '../server/start/new-store.ts'
import { makePair } from './support/certificates.ts'
import { recorded, StubLocalApi } from './support/local-api.ts'
import { recordsIn } from './support/service.ts'
import { runSotto, startServerProcess, temporaryDirectory } from './support/sotto.ts'

let localApi: StubLocalApi
let scratch: ReturnType<typeof temporaryDirectory>
let state: string

beforeEach(async () => {
  localApi = await StubLocalApi.start()
  scratch = temporaryDirectory()
  state = join(scratch.path, 'state')
  await initialise({ stateDir: state, keyFile: undefined })
})

afterEach(async () => {
  await localApi[Symbol.asyncDispose]()
  scratch[Symbol.dispose]()
})

/** The settings of a server of this test. */
function settings(...more: string[]): string[] {
  return ['--state-dir', state, '--tailscaled-socket', localApi.path, ...more]
}

/** Files of a certificate and a key that do not belong together, as settings. */
function strangers(mode: number): string[] {
  const [certificate, key] = [join(scratch.path, 'tls.crt'), join(scratch.path, 'tls.key')]
  writeFileSync(certificate, makePair(['a.example']).certificate)
  writeFileSync(key, makePair(['a.example']).key)
  chmodSync(key, mode)
  return ['--tls-cert', certificate, '--tls-key', key]
}

test.runIf(process.platform === 'linux')(
  'a caller that tailscaled names does over HTTPS what the policy allows, and the log has its name',
  async () => {
    localApi.status = recorded('status-userspace')
    // In this mode callers come from loopback, and are known by their ports.
    localApi.whois.get = (address) =>
      address.startsWith('127.0.0.1:') ? recorded('whois-user') : undefined
    const pair = makePair(['localhost'])
    const files = [join(scratch.path, 'tls.crt'), join(scratch.path, 'tls.key')] as const
    writeFileSync(files[0], pair.certificate)
    writeFileSync(files[1], pair.key, { mode: 0o600 })
    const server = await startServerProcess(
      settings('--userspace', '--listen', ':0', '--tls-cert', files[0], '--tls-key', files[1]),
    )
    onTestFinished(() => server.kill())
    const { port } = new URL(server.url)
    const env = { SOTTO_SERVER: `https://localhost:${port}`, NODE_EXTRA_CA_CERTS: files[0] }
    const put = await runSotto(['put', 'dev/a'], { env, input: 'correct horse' })
    expect([put.code, put.stdout]).toEqual([0, expect.stringContaining('Secret saved')])
    expect(await runSotto(['get', 'dev/a'], { env })).toMatchObject({
      code: 0,
      stdout: 'correct horse',
    })
    expect(await runSotto(['get', 'prod/a'], { env })).toMatchObject({ code: 4 })
    expect(await server.stop()).toBe(0)
    const principal = { hostname: 'user.tail-test.ts.net', user: 'alice@example.com' }
    const reads = recordsIn(join(state, 'audit')).filter(({ action }) => action === 'get')
    expect(reads).toEqual([
      expect.objectContaining({ principal: expect.objectContaining(principal), authorized: true }),
      expect.objectContaining({ principal: expect.objectContaining(principal), authorized: false }),
    ])
  },
)

test('every refusal of a tailnet that the operations page lists is one that the program gives', async () => {
  const said: string[] = []
  const start = async (...args: string[]): Promise<void> => {
    const { code, stdout, stderr } = await runSotto(['server', ...settings(...args)])
    expect([code, stdout], stderr).toEqual([1, ''])
    said.push(stderr)
  }
  const well = { BackendState: 'Running' }
  const status = (fields: object): void => {
    const { Self, ...rest } = JSON.parse(recorded('status')) as { Self: object }
    const own = { ...Self, TailscaleIPs: ['127.0.0.1'] }
    localApi.status = JSON.stringify({ ...rest, Self: own, ...fields })
  }
  await localApi.stop()
  await start()
  await localApi.start()
  status({ BackendState: 'NeedsLogin' })
  await start()
  status({ TUN: false })
  await start()
  status(well)
  localApi.certificate = { status: 403, text: recorded('certificate-not-permitted') }
  await start()
  status({ CertDomains: null })
  await start()
  await start(...strangers(0o600))
  await start(...strangers(0o644))
  await start('--listen', '[::]:8443')
  await start('--plain-http', '--listen', '127.0.0.9:8443')
  const other = createServer()
  other.listen(0, '127.0.0.1')
  await once(other, 'listening')
  await start('--plain-http', '--listen', `:${(other.address() as AddressInfo).port}`)
  await other[Symbol.asyncDispose]()
  mkdirSync(join(scratch.path, 'open'), { mode: 0o755 })
  await start('--serve-socket', join(scratch.path, 'open/sotto.sock'))

  const operations = readFileSync(new URL('../docs/guides/runbook.md', import.meta.url), 'utf8')
  const rows =
    operations.slice(operations.indexOf('| On a tailnet it says |')).split('\n\n')[0] ?? ''
  const shown = rows
    .split('\n')
    .slice(2)
    .map((row) =>
      [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, each]) => each ?? ''),
    )
  expect(shown).toHaveLength(said.length)
  for (const [at, phrases] of shown.entries()) {
    for (const phrase of phrases) expect(said[at]).toContain(phrase)
    // Each says what to do.
    expect(said[at]).toMatch(/\nhint: /)
  }
})
