/**
 * Records what the LocalAPI of a released tailscaled answers, for the tests of the fast suite:
 *
 *   npm run fixtures
 *
 * Each file of test/identity/fixtures/tailscale holds one answer as it came: the request, the status,
 * the headers that matter, an empty line, and the body byte for byte.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import type { Rule } from '../../client/api/types.ts'
import type { Answer } from './local-api.ts'
import type { TailnetNode } from './node.ts'
import type { Grant } from './policy.ts'
import { type NodeName, Tailnet } from './tailnet.ts'
import { until } from './until.ts'

const fixtures = new URL('../identity/fixtures/tailscale/', import.meta.url).pathname
/** InitialState, InitialHealthState, PeerChanges. */
const BUS = 'watch-ipn-bus?mask=4226'
const headersThatMatter = ['content-type', 'tailscale-version', 'tailscale-cap', 'retry-after']

mkdirSync(fixtures, { recursive: true })
await recordControl()
await recordUserspace()
await recordHeadscale()

async function recordControl(): Promise<void> {
  const tailnet = await Tailnet.onControl()
  try {
    const { control, grants, capability } = tailnet
    const server = tailnet.node('server')
    const whois = async (file: string, name: NodeName) =>
      record(server, file, await whoisOf(tailnet, name))
    await record(server, 'status', 'status?peers=false')
    await whois('whois-user', 'user')
    await whois('whois-tagged', 'tagged')
    await whois('whois-no-capabilities', 'guest')
    await whois('whois-self', 'server')
    await record(server, 'whois-unknown', 'whois?addr=100.64.0.99')
    await record(server, 'whois-bad-address', 'whois?addr=nonsense')

    const odd = (values: readonly unknown[]): Grant => ({
      ...grants.user,
      app: { [capability]: values as Rule[] },
    })
    await control.setGrants([grants.network, odd([{ action: ['get'], secret: ['dev/*'] }, 'all'])])
    await seen(tailnet, 'user', (text) => text.includes('"all"'))
    await whois('whois-malformed-capability', 'user')
    await control.setGrants([grants.network, odd([])])
    await seen(tailnet, 'user', (text) => !text.includes('"all"'))
    await whois('whois-capability-without-values', 'user')
    await control.setGrants(Object.values(grants))
    await seen(tailnet, 'user', (text) => text.includes('dev/*'))

    await recordCertificates(tailnet)

    const bus = watch(server)
    await bus.said('"State":6')
    await control.setNode('user', { expired: true })
    await bus.said('"PeersChanged"')
    await whois('whois-expired', 'user')
    bus.record('bus-peer-expired')
    const address = await whoisOf(tailnet, 'tagged')
    await control.setNode('tagged', { removed: true })
    await bus.said('"PeersRemoved"')
    await until(async () => (await server.ask(address)).status === 404, 'the removal')
    await record(server, 'whois-removed', address)
    bus.record('bus-peer-removed')

    const later = watch(server)
    await later.said('"State":6')
    await control.setMapsInFull(true)
    await control.setNode('guest', { removed: true })
    const guest = await whoisOf(tailnet, 'guest')
    await until(async () => (await server.ask(guest)).status === 404, 'the second removal')
    await later.said('"SelfChange"')
    later.record('bus-peer-left-out')

    control.signal('SIGKILL')
    await until(async () => !(await server.status()).Self.Online, 'the loss of control')
    await record(server, 'status-control-lost', 'status?peers=false')
    await server.stop()
    await bus.ended
    bus.record('bus-daemon-stopped')
  } finally {
    await tailnet.close()
  }
}

async function recordCertificates(
  tailnet: Awaited<ReturnType<typeof Tailnet.onControl>>,
): Promise<void> {
  const { control, serverName, underlay } = tailnet
  const server = tailnet.node('server')
  const pair = `cert/${serverName}?type=pair`
  await control.setIssuer({ refusal: 'rateLimited' })
  await record(server, 'certificate-rate-limited', pair)
  await control.setIssuer({ refusal: 'rejectedIdentifier' })
  await record(server, 'certificate-refused', pair)
  await control.setIssuer({})
  await record(server, 'certificate', pair)
  await record(server, 'certificate-other-name', 'cert/other.example.com?type=pair')

  // Asked by a user whom the daemon does not know.
  const path = `/localapi/v0/${pair}`
  const curl = [
    'curl',
    '-si',
    '--unix-socket',
    server.socket,
    `http://local-tailscaled.sock${path}`,
  ]
  const user = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
  const { stdout } = await underlay.run('server', [...user, ...curl])
  const [head = '', body = ''] = stdout.split('\r\n\r\n')
  const headers = Object.fromEntries(
    head
      .split('\r\n')
      .slice(1)
      .map((line) => [line.split(':')[0]?.toLowerCase(), line.replace(/^[^:]*: /, '')]),
  )
  write('certificate-not-permitted', pair, { status: Number(head.split(' ')[1]), headers, body })
}

async function recordUserspace(): Promise<void> {
  const tailnet = await Tailnet.onControl({ devices: ['user'], server: { userspace: true } })
  try {
    await record(tailnet.node('server'), 'status-userspace', 'status?peers=false')
  } finally {
    await tailnet.close()
  }
}

async function recordHeadscale(): Promise<void> {
  const tailnet = await Tailnet.onHeadscale()
  try {
    const server = tailnet.node('server')
    await record(server, 'headscale-status', 'status?peers=false')
    await record(server, 'headscale-whois-user', await whoisOf(tailnet, 'user'))
    await record(server, 'headscale-whois-tagged', await whoisOf(tailnet, 'tagged'))
    await record(server, 'headscale-certificate', `cert/${tailnet.serverName}?type=pair`)
  } finally {
    await tailnet.close()
  }
}

async function whoisOf(tailnet: Tailnet, name: NodeName): Promise<string> {
  const [address] = await tailnet.node(name).addresses()
  return `whois?addr=${address}`
}

/** Resolves when what the server's WhoIs says of `name` is as it should be. */
async function seen(
  tailnet: Tailnet,
  name: NodeName,
  isSo: (text: string) => boolean,
): Promise<void> {
  const path = await whoisOf(tailnet, name)
  const server = tailnet.node('server')
  await until(async () => isSo((await server.ask(path)).body), `a change of ${name}`)
}

async function record(node: TailnetNode, file: string, path: string): Promise<void> {
  write(file, path, await node.ask(path))
}

/** Everything that the bus says from now on, as one answer. */
function watch(node: TailnetNode) {
  let body = ''
  let answer: Answer = { status: 0, headers: {}, body }
  const asked = request({
    socketPath: node.socket,
    path: `/localapi/v0/${BUS}`,
    headers: { Host: 'local-tailscaled.sock' },
  })
  const ended = new Promise<void>((resolve, reject) => {
    asked.on('error', reject)
    asked.on('response', (response) => {
      answer = { status: response.statusCode ?? 0, headers: response.headers, body }
      response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk))
      response.on('error', () => resolve())
      response.on('close', resolve)
    })
  })
  asked.end()
  return {
    ended,
    said: (text: string) => until(() => body.includes(text), `${text} on the bus`),
    record: (file: string) => write(file, BUS, { ...answer, body }),
  }
}

function write(file: string, path: string, { status, headers, body }: Answer): void {
  const lines = headersThatMatter.flatMap((name) =>
    headers[name] ? [`${name}: ${String(headers[name])}`] : [],
  )
  const head = [`GET /localapi/v0/${path}`, `${status}`, ...lines].join('\n')
  const anyKernel = body.replaceAll(/("OSVersion": ?)"[^"]*"/g, '$1"6.12.0"')
  writeFileSync(join(fixtures, `${file}.http`), `${head}\n\n${anyKernel}`)
  console.log(`${status} ${file}`)
}
