/** What `sotto doctor` finds on the tailnet: tailscaled, the node, its certificate, a caller. */
import { get } from 'node:https'
import { createServer, isIP } from 'node:net'
import { get as getPlain, type IncomingMessage } from 'node:http'
import { quote, SottoError } from '../../client/api/errors.ts'
import type { DoctorConfig } from '../../server/config/config.ts'
import { isSystemError, reasonOf } from '../../client/platform/system-error.ts'
import { refuseForeignAddress } from '../../server/start/tailnet.ts'
import { type Address, addressText, bind, unixFault } from '../../server/http/bind.ts'
import { readPair } from '../../server/http/certificates/file-certificates.ts'
import { type CheckedPair, checkKeyPair } from '../../server/http/certificates/key-pair.ts'
import { callerOf } from '../../server/identity/tailscale/caller.ts'
import type { StatusAnswer } from '../../server/identity/tailscale/answers.ts'
import type { LocalApi } from '../../server/identity/tailscale/local-api.ts'
import { type OwnNode, ownNode } from '../../server/identity/tailscale/own-node.ts'
import { refuseExposedSocket } from '../../server/identity/tailscale/socket.ts'
import { failed, failure, type Finding, ok, warning } from './finding.ts'

const DAY_MS = 86_400_000
/** A certificate with less time left than this should have been renewed. */
const CERTIFICATE_DAYS = 10
/** The key of a node with less time left than this needs attention. */
const NODE_KEY_DAYS = 30
/** How long the server may take to report its state, in milliseconds. */
const READY_WAIT_MS = 5000

/** Looks at the tailnet through `localApi`. Never rejects. */
export async function networkFindings(
  config: DoctorConfig,
  localApi: LocalApi,
  now: Date,
): Promise<Finding[]> {
  try {
    refuseExposedSocket(localApi.path)
    const status = await localApi.status()
    const own = ownNode(status)
    return [
      daemonFinding(config, status, own),
      controlFinding(status),
      nodeKeyFinding(status, now),
      ok('addresses', own.addresses.join(', ')),
      nameFinding(own),
      await certificateFinding(config, localApi, own, now),
      ...(await serverFindings(config, own)),
      ...(config.peer === undefined ? [] : [await peerFinding(config, localApi, own, now)]),
    ]
  } catch (error) {
    // What is in files can be looked at without tailscaled.
    const { door } = config
    const own = door.kind === 'addresses' && typeof door.tls === 'object'
    const rest = own ? [await certificateFinding(config, localApi, undefined, now)] : []
    return [failure('tailscaled', error), ...rest]
  }
}

function daemonFinding(
  { tailscaled, door }: DoctorConfig,
  { Version }: StatusAnswer,
  { userspace }: OwnNode,
): Finding {
  const which = `${Version} at ${quote(tailscaled.socket)}`
  if (!userspace) return ok('tailscaled', `${which}, with a network device`)
  if (tailscaled.userspace || door.kind === 'socket') {
    return ok('tailscaled', `${which}, in userspace mode`)
  }
  const message = `${which}, in userspace mode, where a program on this host could pose as any node`
  const hint =
    'Run tailscaled with a network device, or serve behind `tailscale serve` with --serve-socket.'
  return failed('tailscaled', message, hint)
}

function controlFinding({ Self }: StatusAnswer): Finding {
  if (Self?.Online) return ok('control', 'tailscaled is connected to it')
  const message = 'tailscaled has lost its connection to it: the policy here may be out of date'
  const hint = 'Check the network of this machine, and `tailscale netcheck`.'
  return warning('control', message, hint)
}

function nodeKeyFinding({ Self }: StatusAnswer, now: Date): Finding {
  const name = 'node key'
  const end = Self?.KeyExpiry
  if (end === undefined) return ok(name, 'does not expire')
  const message = `expires at ${new Date(end).toISOString()}, ${remaining(end, now)}`
  if (end - now.getTime() > NODE_KEY_DAYS * DAY_MS) return ok(name, message)
  const hint =
    'No client reaches the server after that: turn key expiry off for this node, or give it a tag.'
  return (end > now.getTime() ? warning : failed)(name, message, hint)
}

function nameFinding({ name: full }: OwnNode): Finding {
  if (full !== '') return ok('name', full)
  const hint = 'Turn MagicDNS on for the tailnet; clients need addresses without it.'
  return warning('name', 'the node has no name on the tailnet', hint)
}

async function certificateFinding(
  { door }: DoctorConfig,
  localApi: LocalApi,
  own: OwnNode | undefined,
  now: Date,
): Promise<Finding> {
  const full = own?.name ?? ''
  const domains = own?.domains ?? []
  const name = 'certificate'
  if (door.kind === 'socket') return ok(name, 'is handled by tailscaled')
  if (door.tls === 'none') {
    return warning(name, 'none: with --plain-http the tailnet alone encrypts')
  }
  try {
    if (door.tls !== 'tailnet') {
      const pair = await readPair(door.tls, now)
      if (!own || pair.covers(full))
        return lifeFinding(pair, `in ${quote(door.tls.certificate)}`, now)
      const hint = 'Clients must call the server by a name that is in the certificate.'
      return warning(name, `in ${quote(door.tls.certificate)} is not for ${quote(full)}`, hint)
    }
    const domain = domains.includes(full) ? full : domains[0]
    if (domain === undefined) {
      const hint =
        'Turn it on, give a certificate of your own with --tls-cert and --tls-key, or ask for --plain-http.'
      return failed(name, 'HTTPS is not on for this tailnet', hint)
    }
    const pair = await localApi.certificate(domain, { minValidityMs: 0 })
    const origin = 'that tailscaled gave'
    return lifeFinding(checkKeyPair(pair, { origin, now, name: domain }), `of ${domain}`, now)
  } catch (error) {
    return failure(name, error)
  }
}

function lifeFinding({ endsAt }: CheckedPair, which: string, now: Date): Finding {
  const end = endsAt.getTime()
  const message = `${which} ends at ${endsAt.toISOString()}, ${remaining(end, now)}`
  if (end - now.getTime() > CERTIFICATE_DAYS * DAY_MS) return ok('certificate', message)
  const hint =
    'It should have been renewed by now: the log of the server, or of tailscaled, says why not.'
  return warning('certificate', message, hint)
}

/** Looks at each place where the server listens. */
async function serverFindings(config: DoctorConfig, own: OwnNode): Promise<Finding[]> {
  const { door, vault } = config
  if (door.kind === 'socket') {
    const { path: socketPath } = door
    const found = await serverFinding(quote(socketPath), { socketPath, ...ofApi })
    const fault = found.state === 'warning' && (await unixFault(socketPath))
    return [fault ? failure('server', fault) : found]
  }
  const tls = door.tls !== 'none'
  return [
    ...(await listenerFindings(config, own, door, { tls, ...ofApi })),
    ...(vault ? await listenerFindings(config, own, vault.listen, { tls, ...ofVault }) : []),
  ]
}

/** What is asked of a listener, and what it is called. */
interface Listening {
  readonly tls: boolean
  readonly name: string
  readonly path: string
}

const ofApi = { name: 'server', path: '/readyz' }
const ofVault = { name: 'vault', path: '/v1/sys/health' }

async function listenerFindings(
  { tailscaled: { services } }: DoctorConfig,
  own: OwnNode,
  { host: only, port }: { readonly host: string | undefined; readonly port: number },
  listening: Listening,
): Promise<Finding[]> {
  const { name } = listening
  try {
    if (only !== undefined) refuseForeignAddress(only, [...own.addresses, ...services])
  } catch (error) {
    return [failure(name, error)]
  }
  const all = own.userspace ? ['127.0.0.1'] : [...own.addresses, ...services]
  const looked = await Promise.all(
    (only === undefined ? all : [only]).map(async (host) => {
      const address = { host, port }
      const found = await serverFinding(addressText(address), { ...address, ...listening })
      const fault = found.state === 'warning' ? await bindFault(address) : undefined
      return { found, ...(fault !== undefined && { fault: failure(name, fault) }) }
    }),
  )
  // A server that can listen on one of them starts, and tries the others again.
  const starts = looked.some(({ fault }) => fault === undefined)
  return looked.map(({ found, fault }) =>
    fault && starts ? warning(name, fault.message, fault.hint) : (fault ?? found),
  )
}

/** Asks a server for its state, which every caller may know. A warning: none answers. */
async function serverFinding(at: string, asked: Asked): Promise<Finding> {
  const { name } = asked
  try {
    const [status, text] = await ask(asked)
    if (status === 200) return ok(name, `at ${at} is ready`)
    if (status === 503) {
      return failed(name, `at ${at} is not ready: ${text.trim()}`, 'Its log says why.')
    }
    const hint = 'Stop that one, or give the server another port with --listen or --vault-listen.'
    return failed(name, `another program answers at ${at}`, hint)
  } catch (error) {
    const hint = 'Start it, or give doctor the settings that it runs with.'
    const reason = isSystemError(error) ? reasonOf(error) : 'no answer'
    return warning(name, `none is ready at ${at}: ${reason}`, hint)
  }
}

/** Why a server could not listen there; undefined where it could. */
async function bindFault(address: Address): Promise<unknown> {
  await using server = createServer()
  try {
    await bind(server, address)
    return undefined
  } catch (error) {
    return error
  }
}

/** Where a server is asked. */
type Asked = (Address | { readonly socketPath: string }) &
  Pick<Listening, 'name' | 'path'> & { readonly tls?: boolean }

function ask({ tls = false, ...at }: Omit<Asked, 'name'>): Promise<[number, string]> {
  const options = { ...at, signal: AbortSignal.timeout(READY_WAIT_MS) }
  return new Promise((resolve, reject) => {
    const take = (answer: IncomingMessage): void => {
      let text = ''
      answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      answer.on('end', () => resolve([answer.statusCode ?? 0, text])).on('error', reject)
    }
    // Only whether there is an answer counts here; the certificate has a finding of its own.
    const asked = tls
      ? get({ ...options, rejectUnauthorized: false }, take)
      : getPlain(options, take)
    asked.on('error', reject)
  })
}

async function peerFinding(
  { peer = '', tailscaled }: DoctorConfig,
  localApi: LocalApi,
  own: OwnNode,
  now: Date,
): Promise<Finding> {
  const { capabilities } = tailscaled
  try {
    const isName = isIP(peer) === 0 && !peer.includes(':')
    const address = isName ? await addressOf(peer, localApi) : peer
    const answer = address === undefined ? undefined : await localApi.whois(address)
    if (address === undefined || !answer) {
      const hint =
        'Take a name or an address from `tailscale status`; the policy must let the node see this one.'
      const what = isName ? 'that is called' : 'at'
      return failed('peer', `tailscaled has no node ${what} ${quote(peer)}`, hint)
    }
    const at = { address, self: own.id, capabilities, now }
    const { principal, rules } = callerOf(answer, at)
    const who = `${principal.hostname} (${principal.user ?? principal.tags?.join(', ')})`
    const may = rules.map(({ action, secret }) => `${action.join(', ')} on ${secret.join(', ')}`)
    if (may.length > 0) return ok('peer', `${who} may ${may.join('; ')}`)
    const message = `${who} has no rules: no grant gives it ${quote(capabilities[0] ?? '')} on this node`
    return warning('peer', message, 'Grant it in the policy: see docs/guides/policy.md.')
  } catch (error) {
    if (error instanceof SottoError) return failure('peer', error)
    const reason = error instanceof Error ? error.message : 'unknown'
    const message = `who calls from ${quote(peer)} is refused: ${reason}`
    return failed('peer', message, 'Check the node and the policy of the tailnet.')
  }
}

/** An address of the node that is called `name`, in full or without the name of the tailnet. */
async function addressOf(name: string, localApi: LocalApi): Promise<string | undefined> {
  const { Self, Peer } = await localApi.nodes()
  const wanted = name.toLowerCase().replace(/\.$/, '')
  const node = [Self, ...Object.values(Peer ?? {})].find((each) => {
    const full = each?.DNSName.toLowerCase().replace(/\.$/, '') ?? ''
    return full !== '' && (full === wanted || full.split('.')[0] === wanted)
  })
  return node?.TailscaleIPs[0]
}

function remaining(end: number, now: Date): string {
  const days = Math.floor((end - now.getTime()) / DAY_MS)
  return days < 0 ? 'which is past' : days === 1 ? 'in 1 day' : `in ${days} days`
}
