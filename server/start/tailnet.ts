/** Callers from a tailnet: tailscaled names them, and the server listens on the addresses of its node. */
import { quote, SottoError } from '../../client/api/errors.ts'
import type { TailnetConfig } from '../config/config.ts'
import { addressText } from '../http/bind.ts'
import type { Certificates } from '../http/certificates/certificates.ts'
import { openCertificates } from '../http/certificates/tls.ts'
import type { Listener } from '../http/listener.ts'
import type { IsOwnName } from '../http/hosts.ts'
import { Listeners } from '../http/listeners.ts'
import { TailscaleIdentity } from '../identity/tailscale/identity.ts'
import { LocalApi } from '../identity/tailscale/local-api.ts'
import type { Identity } from '../identity/identity.ts'
import type { WhoIsMetrics } from '../identity/tailscale/metrics.ts'
import { type Logger, silentLogger } from '../platform/logger.ts'
import { processTimers, type Timers } from '../../client/platform/timers.ts'

/** Where callers come from. */
export interface Network {
  readonly identity: Identity
  readonly certificates?: Certificates
  /** Whether the network calls the server by that name. */
  readonly isOwnName: IsOwnName
  /** The StableID of the node that callers call; absent where there is none. */
  readonly node?: string
  /** Lets callers in, and resolves with the URL that they use. */
  readonly open: (listener: Listener, undo: AsyncDisposableStack) => Promise<string>
  /** As `open`, for another listener at another port. Absent: behind a proxy there is none. */
  readonly openMore?: (
    listener: Listener,
    at: Listening,
    undo: AsyncDisposableStack,
  ) => Promise<string>
}

/** Where to listen; without a host on every address of the node. */
export interface Listening {
  readonly host: string | undefined
  readonly port: number
}

/** What surrounds a network; each part has a default. */
export interface NetworkWorld {
  /** Receives lines for the operator's log. Default: they are dropped. */
  readonly logger?: Logger
  readonly clock?: () => Date
  /** Timers of certificates and of addresses. */
  readonly schedule?: Timers['after']
  /** The metrics of questions to tailscaled. */
  readonly whoIs?: WhoIsMetrics
}

/**
 * The network of a server on a tailnet. What has to be closed in the end is left to `undo`. Rejects with the
 * SottoError of what is in the way.
 */
export async function tailnetNetwork(
  { tailscaled, door }: TailnetConfig,
  {
    logger = silentLogger,
    clock = () => new Date(),
    schedule = processTimers.after,
    whoIs,
  }: NetworkWorld,
  undo: AsyncDisposableStack,
): Promise<Network> {
  const localApi = new LocalApi({ path: tailscaled.socket, ...(whoIs && { metrics: whoIs }) })
  undo.defer(() => localApi.close())
  const { capabilities, services, staleAfterMs, userspace } = tailscaled
  const identity = await TailscaleIdentity.open({
    localApi,
    capabilities,
    services,
    userspace,
    served: door.kind === 'socket',
    ...(staleAfterMs !== undefined && { staleAfterMs }),
    clock,
    logger,
  })
  undo.defer(() => identity.close())
  if (door.kind === 'socket') {
    const { path } = door
    const open = async (listener: Listener): Promise<string> => {
      await listener.listenUnix(path)
      return `unix:${path}`
    }
    return { identity, node: identity.node, isOwnName: ownNames(identity, services), open }
  }
  const { tls } = door
  const refuseForeign = (host: string | undefined): void => {
    if (host !== undefined) refuseForeignAddress(host, [...identity.addresses, ...services])
  }
  refuseForeign(door.host)
  const certificates = await openCertificates(tls, identity, localApi, { logger, clock, schedule })
  if (certificates) undo.defer(() => certificates.close())
  const openMore: Network['openMore'] = async (listener, { host, port }, opened) => {
    refuseForeign(host)
    const addresses = (): readonly string[] => {
      if (host !== undefined) return [host]
      const own = identity.addresses
      return own.length === 0 ? [] : [...own, ...services]
    }
    const listeners = new Listeners({ listener, addresses, port, certificates, schedule, logger })
    opened.defer(() => listeners.close())
    const bound = await listeners.open()
    identity.onChange(() => listeners.follow())
    const scheme = certificates ? 'https' : 'http'
    const at = { host: identity.name || (addresses()[0] ?? ''), port: bound }
    return `${scheme}://${bound === (certificates ? 443 : 80) ? at.host : addressText(at)}`
  }
  const isTailnetName = ownNames(identity, services)
  const isOwnName: IsOwnName = (name) =>
    isTailnetName(name) || certificates?.current.covers(name) === true
  const { node } = identity
  const open: Network['open'] = (listener, opened) => openMore(listener, door, opened)
  return { identity, node, ...(certificates && { certificates }), isOwnName, open, openMore }
}

/**
 * Full and short name of the node, those of its certificates, and where it answers for Services, whose names
 * tailscaled does not say, all of its domain. They count on while tailscaled does not answer.
 */
function ownNames(identity: TailscaleIdentity, services: readonly string[]): IsOwnName {
  const read = (): string[] =>
    [identity.name, ...identity.domains].map((each) => each.toLowerCase())
  let names = read()
  identity.onChange(() => {
    if (identity.name !== '') names = read()
  })
  return (name) => {
    const [full = ''] = names
    const dot = full.indexOf('.')
    const isService = services.length > 0 && dot > 0 && name.endsWith(full.slice(dot))
    return names.includes(name) || (dot > 0 && name === full.slice(0, dot)) || isService
  }
}

/** Throws `unsafe` where `host` is not one of the addresses of the node. */
export function refuseForeignAddress(host: string, addresses: readonly string[]): void {
  if (addresses.includes(host)) return
  throw new SottoError('unsafe', `${quote(host)} is not an address of this node on its tailnet`, {
    hint: `Only there can callers be identified: ${addresses.join(', ')}. Leave the host out of --listen for all of them.`,
  })
}
