/** A node of a tailnet: a released tailscaled on a host of its own. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { requirePeer } from '../support/peers.ts'
import { controlUrl } from './control.ts'
import { type Answer, askLocalApi } from './local-api.ts'
import type { Program, Underlay } from './underlay.ts'
import { until } from './until.ts'

/** What of a daemon's status matters here. */
export interface Status {
  readonly BackendState: string
  readonly TailscaleIPs: readonly string[] | null
  readonly Self: {
    readonly ID: string
    readonly DNSName: string
    readonly Relay: string
    readonly Online: boolean
  }
  readonly Peer?: Readonly<Record<string, { readonly Relay: string }>> | null
}

/** What of a WhoIs answer matters here. */
export interface WhoIs {
  readonly Node: { readonly StableID: string; readonly Tags?: readonly string[] }
  readonly CapMap: Readonly<Record<string, unknown>> | null
}

/** How a node takes part. */
export interface NodeOptions {
  /** No network interface: connections to it come out on loopback, by the daemon's hand. */
  readonly userspace?: boolean
  /** The only capabilities that the daemon has, as setpriv names them. Default: all. */
  readonly capabilities?: readonly string[]
  /** More for the daemon's environment. */
  readonly env?: Readonly<Record<string, string>>
}

/** Of every node: nothing leaves the underlay, and nothing is waited for that is not there. */
export const nodeEnvironment: Readonly<Record<string, string>> = {
  TS_NO_LOGS_NO_SUPPORT: 'true',
  TS_PANIC_IF_HIT_MAIN_CONTROL: '1',
  TS_ASSUME_NETWORK_UP_FOR_TEST: '1',
  TS_DISABLE_PORTMAPPER: '1',
  TS_DEBUG_USE_DERP_HTTP: '1',
  TS_DEBUG_ACME_DIRECTORY_URL: `${controlUrl}/acme/directory`,
}

/** A node; its name is that of its host. */
export class TailnetNode {
  readonly name: string
  /** Where its LocalAPI is. */
  readonly socket: string
  readonly #underlay: Underlay
  readonly #options: NodeOptions
  readonly #config: string
  #daemon: Program | undefined

  constructor(underlay: Underlay, name: string, key: string, options: NodeOptions = {}) {
    this.name = name
    this.#underlay = underlay
    this.#options = options
    this.socket = join(underlay.directory, `${name}.sock`)
    this.#config = join(underlay.directory, `${name}.json`)
    const config = {
      Version: 'alpha0',
      Locked: false,
      ServerURL: controlUrl,
      AuthKey: key,
      Hostname: name,
      acceptDNS: false,
      NetfilterMode: 'off',
    }
    writeFileSync(this.#config, JSON.stringify(config))
  }

  /** Starts the daemon; `awaitPeers` tells when it is ready. */
  start(): void {
    const { userspace = false, capabilities, env = {} } = this.#options
    const state = join(this.#underlay.directory, `${this.name}.state`)
    const command = [
      requirePeer('tailscaled'),
      `--config=${this.#config}`,
      `--statedir=${state}`,
      `--socket=${this.socket}`,
      '--port=0',
      '--no-logs-no-support',
      `--tun=${userspace ? 'userspace-networking' : 'tailscale0'}`,
    ]
    const kept = capabilities?.map((each) => `,+${each}`).join('')
    const bounded = kept === undefined ? [] : ['setpriv', `--bounding-set=-all${kept}`]
    this.#daemon = this.#underlay.start(this.name, [...bounded, ...command], {
      env: { ...nodeEnvironment, ...env },
    })
  }

  /** Ends the daemon; resolves when it is gone. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.#running.signal(signal)
    await this.#running.ended
  }

  /**
   * Resolves when the node runs and knows the relays of `count` peers. Earlier a first packet would
   * be lost, and sent again after five seconds.
   */
  async awaitPeers(count: number): Promise<void> {
    const isReady = async () => {
      const { BackendState, Self, Peer } = await this.status()
      const peers = Object.values(Peer ?? {}).filter(({ Relay }) => Relay !== '')
      return BackendState === 'Running' && Self.Relay !== '' && peers.length >= count
    }
    await until(isReady, `${this.name} with ${count} peers`, () => this.log(), 30_000)
  }

  /** Asks the LocalAPI; `path` follows `/localapi/v0/`. */
  ask(path: string, method?: string): Promise<Answer> {
    return askLocalApi(this.socket, path, method)
  }

  async status(): Promise<Status> {
    return JSON.parse((await this.ask('status')).body) as Status
  }

  /** Its addresses, IPv4 first. */
  async addresses(): Promise<readonly string[]> {
    return (await this.status()).TailscaleIPs ?? []
  }

  /** Whom this node takes `address` for; undefined for nobody. */
  async whois(address: string): Promise<WhoIs | undefined> {
    const { status, body } = await this.ask(`whois?addr=${encodeURIComponent(address)}`)
    if (status === 404) return undefined
    if (status !== 200) throw new Error(`whois of ${address} on ${this.name}: ${status} ${body}`)
    return JSON.parse(body) as WhoIs
  }

  /** What the daemon printed. */
  log(): string {
    return this.#running.log()
  }

  get #running(): Program {
    if (!this.#daemon) throw new Error(`${this.name} was not started`)
    return this.#daemon
  }
}
