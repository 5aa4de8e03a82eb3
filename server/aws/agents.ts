/** Connections to services of AWS: their certificates are checked, and they lead through the proxy that is set for them. */
import { Agent as ClearAgent } from 'node:http'
import { Agent, type RequestOptions } from 'node:https'
import type { Duplex } from 'node:stream'
import { type Proxies, proxyFor } from '../platform/proxies.ts'

/** As many connections as the SDK makes, kept as it keeps them. */
const KEPT = { keepAlive: true, maxSockets: 50 } as const
/** Said explicitly, so that no variable of the environment says otherwise. */
const CHECKED = { ...KEPT, rejectUnauthorized: true, minVersion: 'TLSv1.2' } as const

/**
 * The agents of a client. They are made here, since the SDK connects by agents of its own, which are told nothing, where a
 * large body goes out.
 */
export function agentsFor(
  endpoint: string | undefined,
  proxies: Proxies = {},
): { readonly httpsAgent: Agent; readonly httpAgent?: ClearAgent } {
  const url = URL.parse(endpoint ?? '')
  const forwards = url?.protocol === 'http:' ? proxyFor(url, proxies) : undefined
  return {
    httpsAgent: new SecureAgent(proxies),
    // Nothing but an endpoint with http:// is called so.
    ...(forwards !== undefined && {
      httpAgent: new ClearAgent({ ...KEPT, proxyEnv: { http_proxy: forwards } }),
    }),
  }
}

type Connected = Parameters<Agent['createConnection']>[1]

/**
 * Decides for each host: a client also calls where its credentials come from. Closes at its end also what never became a
 * connection: Node forgets a tunnel that a proxy, or what is behind it, does not answer.
 */
class SecureAgent extends Agent {
  readonly #proxies: Proxies
  readonly #direct = new Agent(CHECKED)
  readonly #made = new Set<Duplex>()

  constructor(proxies: Proxies) {
    super({ ...CHECKED, proxyEnv: { https_proxy: proxies.https } })
    this.#proxies = proxies
  }

  override createConnection(options: RequestOptions, connected?: Connected) {
    const { host, port } = options
    const to = { protocol: 'https:', hostname: host ?? undefined, port }
    const made =
      proxyFor(to, this.#proxies) === undefined
        ? this.#direct.createConnection(options, connected)
        : super.createConnection(options, connected)
    if (made) this.#made.add(made.once('close', () => this.#made.delete(made)))
    return made
  }

  override destroy(): void {
    super.destroy()
    for (const socket of this.#made) socket.destroy()
  }
}
