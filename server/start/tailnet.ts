/** Callers from a tailnet: tailscaled names them, and the server listens on the addresses of its node. */
import { quote, SottoError } from '../../client/api/errors.ts'
import type { TailnetConfig } from '../config/config.ts'
import { addressText } from '../http/bind.ts'
import type { Certificates } from '../http/certificates/certificates.ts'
import { openCertificates } from '../http/certificates/tls.ts'
import type { Listener } from '../http/listener.ts'
import { Listeners } from '../http/listeners.ts'
import { TailscaleIdentity } from '../identity/tailscale/identity.ts'
import { LocalApi } from '../identity/tailscale/local-api.ts'
import type { Identity } from '../identity/identity.ts'
import type { WhoIsMetrics } from '../identity/tailscale/metrics.ts'
import { processTimers, type Timers } from '../platform/timers.ts'

/** Where callers come from. */
export interface Network {
  readonly identity: Identity
  readonly certificates?: Certificates
  /** Lets callers in, and resolves with the URL that they use. */
  readonly open: (listener: Listener, undo: AsyncDisposableStack) => Promise<string>
}

/** What surrounds a network; each part has a default. */
export interface NetworkWorld {
  /** Receives lines for the operator's log. Default: they are dropped. */
  readonly say?: (line: string) => void
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
  { say = () => {}, clock = () => new Date(), schedule = processTimers.after, whoIs }: NetworkWorld,
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
    log: say,
  })
  undo.defer(() => identity.close())
  if (door.kind === 'socket') {
    const { path } = door
    const open = async (listener: Listener): Promise<string> => {
      await listener.listenUnix(path)
      return `unix:${path}`
    }
    return { identity, open }
  }
  const { host, port, tls } = door
  if (host !== undefined) refuseForeignAddress(host, [...identity.addresses, ...services])
  const certificates = await openCertificates(tls, identity, localApi, { say, clock, schedule })
  if (certificates) undo.defer(() => certificates.close())
  const addresses = (): readonly string[] => {
    if (host !== undefined) return [host]
    const own = identity.addresses
    return own.length === 0 ? [] : [...own, ...services]
  }
  const open = async (listener: Listener, opened: AsyncDisposableStack): Promise<string> => {
    const listeners = new Listeners({ listener, addresses, port, certificates, schedule, say })
    opened.defer(() => listeners.close())
    const bound = await listeners.open()
    identity.onChange(() => listeners.follow())
    const scheme = certificates ? 'https' : 'http'
    const at = { host: identity.name || (addresses()[0] ?? ''), port: bound }
    return `${scheme}://${bound === (certificates ? 443 : 80) ? at.host : addressText(at)}`
  }
  return { identity, ...(certificates && { certificates }), open }
}

function refuseForeignAddress(host: string, addresses: readonly string[]): void {
  if (addresses.includes(host)) return
  throw new SottoError('unsafe', `${quote(host)} is not an address of this node on its tailnet`, {
    hint: `Only there can callers be identified: ${addresses.join(', ')}. Leave the host out of --listen for all of them.`,
  })
}
