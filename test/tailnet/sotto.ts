/** Sotto and its clients on the hosts of a tailnet: the same command lines that people type. */
import { join } from 'node:path'
import { readLog } from '../../audit/reader.ts'
import type { AuditRecord } from '../../audit/record.ts'
import { requirePeer } from '../support/peers.ts'
import type { Finished } from '../support/process.ts'
import { cli } from '../support/sotto.ts'
import { Caller, type CallOptions, type Target } from './caller.ts'
import { Control } from './control.ts'
import type { NodeName, Tailnet } from './tailnet.ts'
import { asUser, type Program } from './underlay.ts'
import { until } from './until.ts'

/** How `sotto server` is started. */
export interface ServerOptions {
  /** Where it finds tailscaled. Default: at the node itself. */
  readonly socket?: string
  /** The name of its state directory, for a tailnet that has several servers. */
  readonly state?: string
  /** The number of the user who runs it. Default: root. */
  readonly user?: number
  /** Whether its timers run faster than the clock: hasty-server.ts. */
  readonly hasty?: boolean
  /** More settings. */
  readonly args?: readonly string[]
}

/** A program that speaks to a server. */
export type ClientName = 'setec' | 'sotto'

/** How long a server may take to start, in milliseconds: other suites may be under way. */
const START_MS = 45_000

const sotto = [process.execPath, cli]
const hastyServer = new URL('hasty-server.ts', import.meta.url).pathname

/** A running `sotto server` on the host of the node `server`. */
export class SottoServer {
  /** Where its API is, by its name on the tailnet. */
  readonly target: Target
  readonly #tailnet: Tailnet
  readonly #state: string
  readonly #program: Program
  readonly #doctor: readonly string[]

  private constructor(
    tailnet: Tailnet,
    state: string,
    program: Program,
    target: Target,
    doctor: readonly string[],
  ) {
    this.#tailnet = tailnet
    this.#state = state
    this.#program = program
    this.target = target
    this.#doctor = doctor
  }

  /**
   * Makes a store and serves it: with the certificate that tailscaled has for the node, or with
   * files of our own where the control server issues none.
   */
  static async start(tailnet: Tailnet, options: ServerOptions = {}): Promise<SottoServer> {
    const { control, capability, serverName, underlay } = tailnet
    const { socket = tailnet.node('server').socket, user, args = [] } = options
    const state = join(underlay.directoryOf(user), options.state ?? 'sotto')
    const as = (command: readonly string[]) =>
      user === undefined ? command : asUser(user, command)
    const made = await underlay.run('server', as([...sotto, 'init', '--state-dir', state]))
    if (made.code !== 0) throw new Error(`sotto init: ${made.stderr}`)
    const issued = control instanceof Control
    const pair = join(underlay.directory, 'certificate.pem')
    const key = join(underlay.directory, 'key.pem')
    if (!issued) {
      await underlay.run('server', [requirePeer('ctl'), 'pair', underlay.directory, serverName])
    }
    const target = {
      name: serverName,
      port: 443,
      ca: issued ? control.ca : join(underlay.directory, 'ca.pem'),
    }
    const settings = [
      '--state-dir',
      state,
      '--tailscaled-socket',
      socket,
      '--capability',
      capability,
      ...(issued ? [] : ['--tls-cert', pair, '--tls-key', key]),
      ...args,
    ]
    const start = options.hasty ? [process.execPath, hastyServer] : [...sotto, 'server']
    const program = underlay.start('server', as([...start, ...settings]))
    const doctor = as([...sotto, 'doctor', ...settings])
    const server = new SottoServer(tailnet, state, program, target, doctor)
    await server.#awaitListening()
    return server
  }

  /** Opens a connection from a host, to `address` when that is not where the name leads. */
  connect(
    host: string,
    { address, ...options }: CallOptions & { readonly address?: string } = {},
  ): Promise<Caller> {
    const target = { ...this.target, ...(address !== undefined && { address }) }
    return Caller.open(this.#tailnet.underlay, host, target, options)
  }

  /** Runs a client on a node's host to its end. */
  run(client: ClientName, name: NodeName, args: readonly string[], input = ''): Promise<Finished> {
    const command = client === 'setec' ? [requirePeer('setec')] : sotto
    const { name: host, port, ca = '' } = this.target
    const url = port === 443 ? `https://${host}` : `https://${host}:${port}`
    const env = { SETEC_SERVER: url, SSL_CERT_FILE: ca, NODE_EXTRA_CA_CERTS: ca }
    return this.#tailnet.underlay.run(name, [...command, ...args], { env, input })
  }

  /** Runs `sotto doctor` with the settings of the server, as the same user. */
  doctor(...args: readonly string[]): Promise<Finished> {
    return this.#tailnet.underlay.run('server', [...this.#doctor, ...args])
  }

  /** Puts secrets into the store, from the device of an admin. */
  async putAll(secrets: Readonly<Record<string, string>>): Promise<void> {
    for (const [name, value] of Object.entries(secrets)) {
      const { code, stderr } = await this.run('setec', 'admin', ['put', name], value)
      if (code !== 0) throw new Error(`Cannot put ${name}: ${stderr}\n${this.log()}`)
    }
  }

  /** The records of its audit log, so far. */
  async records(): Promise<AuditRecord[]> {
    const records: AuditRecord[] = []
    for await (const { record } of readLog(join(this.#state, 'audit'))) records.push(record)
    return records
  }

  /** How many TCP connections of a node the server's host has. */
  async connectionsOf(name: NodeName): Promise<number> {
    const [ipv4 = ''] = await this.#tailnet.node(name).addresses()
    const hex = ipv4.split('.').map((part) => Number(part).toString(16).padStart(2, '0'))
    const remote = hex.toReversed().join('').toUpperCase()
    const { stdout } = await this.#tailnet.underlay.run('server', ['cat', '/proc/net/tcp'])
    const established = stdout.split('\n').map((line) => line.trim().split(/\s+/))
    return established.filter(([, , to, state]) => to?.startsWith(remote) && state === '01').length
  }

  /** What it printed. */
  log(): string {
    return this.#program.log()
  }

  /** Asks it to stop and resolves with its exit code. */
  async stop(): Promise<number | null> {
    this.#program.signal('SIGTERM')
    return this.#program.ended
  }

  async #awaitListening(): Promise<void> {
    let ended = false
    void this.#program.ended.then(() => (ended = true))
    const isListening = () => ended || /^listening on /m.test(this.log())
    await until(isListening, 'sotto server', () => this.log(), START_MS)
    if (ended) throw new Error(`sotto server ended: ${this.log()}`)
  }
}
