/** The control servers that a tailnet of these tests can have: ctl, of test/tailnet/go, and headscale. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { requirePeer } from '../support/peers.ts'
import { ask } from './local-api.ts'
import type { Grant } from './policy.ts'
import {
  connects,
  control,
  controlAddress,
  type Ended,
  type Program,
  type Underlay,
} from './underlay.ts'
import { until } from './until.ts'

/** Where nodes reach their control server. */
export const controlUrl: string = `http://${controlAddress}:8080`

/** Whose a node is: a user's, or nobody's but its tags'. */
export type Owner = { readonly user: string } | { readonly tags: readonly string[] }

/** What tells nodes of each other. */
export interface ControlServer {
  /** The domain that names of nodes end in. */
  readonly domain: string
  /** Makes a node known before it joins; resolves with the key that it joins with. */
  admit(name: string, owner: Owner): Promise<string>
  /** Sets the whole policy. */
  setGrants(grants: readonly Grant[]): Promise<void>
  /** What it printed. */
  log(): string
}

/** What ctl can be told of a node. */
export interface NodeSettings {
  readonly user?: string
  readonly tags?: readonly string[]
  readonly ip?: string
  readonly removed?: boolean
  readonly expired?: boolean
  readonly keyExpiry?: string
}

/** On which terms ctl issues certificates; times as Go writes them. */
export interface IssuerTerms {
  readonly validity?: string
  /** The ACME error type that orders are refused with; empty: none. */
  readonly refusal?: string
  readonly delay?: string
}

/** A control server of which everything can be set at once, with an issuer of certificates. */
export class Control implements ControlServer {
  readonly domain = 'tail-test.ts.net'
  /** The certificate of the issuer, as a file. */
  readonly ca: string
  readonly #socket: string
  readonly #program: Program
  readonly #nodes = new Map<string, NodeSettings>()

  private constructor(underlay: Underlay) {
    this.ca = join(underlay.directory, 'issuer.pem')
    this.#socket = join(underlay.directory, 'ctl.sock')
    const flags = ['-listen', `${controlAddress}:8080`, '-settings', this.#socket, '-ca', this.ca]
    const command = [requirePeer('ctl'), ...flags, '-domain', this.domain]
    this.#program = underlay.start(control, 'ctl', command)
  }

  static async start(underlay: Underlay): Promise<Control> {
    const started = new Control(underlay)
    await until(
      () => connects(started.#socket),
      'ctl',
      () => started.log(),
    )
    return started
  }

  async admit(name: string, owner: Owner): Promise<string> {
    await this.setNode(name, { ...owner, ip: `100.64.0.${this.#nodes.size + 1}` })
    return 'any-key'
  }

  /** Changes what is set for a node; what `settings` leaves out stays as it is. */
  async setNode(name: string, settings: NodeSettings): Promise<void> {
    const all = { ...this.#nodes.get(name), ...settings }
    this.#nodes.set(name, all)
    await this.#put(`/nodes/${name}`, all)
  }

  /** The IPv4 address of a node. */
  addressOf(name: string): string {
    return this.#nodes.get(name)?.ip ?? ''
  }

  async setGrants(grants: readonly Grant[]): Promise<void> {
    await this.#put('/grants', grants)
  }

  /** Sets whether nodes are told of a removal by a whole map without the node, not by name. */
  async setMapsInFull(inFull: boolean): Promise<void> {
    await this.#put('/maps', { inFull })
  }

  /** Sets the terms of certificates from now on; what is left out is as at the start. */
  async setIssuer(terms: IssuerTerms): Promise<void> {
    await this.#put('/issuer', { validity: '2160h', refusal: '', delay: '0s', ...terms })
  }

  log(): string {
    return this.#program.log()
  }

  /** Stops and continues the process: nodes hear nothing, and their connections stay open. */
  signal(signal: NodeJS.Signals): void {
    this.#program.signal(signal)
  }

  async #put(path: string, body: unknown): Promise<void> {
    const answer = await ask(this.#socket, 'PUT', path, body)
    if (answer.status !== 200) throw new Error(`ctl: PUT ${path}: ${answer.status} ${answer.body}`)
  }
}

/** headscale, as it was released. It issues no certificates. */
export class Headscale implements ControlServer {
  readonly domain = 'tail-test.internal'
  readonly #underlay: Underlay
  readonly #config: string
  readonly #program: Program
  readonly #users: string[] = []

  private constructor(underlay: Underlay) {
    this.#underlay = underlay
    const directory = join(underlay.directory, 'headscale')
    mkdirSync(directory)
    this.#config = join(directory, 'config.yaml')
    writeFileSync(this.#config, JSON.stringify(headscaleConfig(directory, this.domain)))
    this.#program = underlay.start(control, 'headscale', [...this.#command, 'serve'])
  }

  static async start(underlay: Underlay): Promise<Headscale> {
    const started = new Headscale(underlay)
    const socket = join(underlay.directory, 'headscale', 'headscale.sock')
    await until(
      () => existsSync(socket),
      'headscale',
      () => started.log(),
    )
    await until(
      async () => (await underlay.run(control, [...started.#command, 'users', 'list'])).code === 0,
      'headscale',
      () => started.log(),
    )
    return started
  }

  async admit(_name: string, owner: Owner): Promise<string> {
    if ('tags' in owner) return this.#key('--tags', owner.tags.join(','))
    if (!this.#users.includes(owner.user)) {
      const [name] = owner.user.split('@') as [string]
      await this.run('users', 'create', name, '--email', owner.user)
      this.#users.push(owner.user)
    }
    return this.#key('--user', `${this.#users.indexOf(owner.user) + 1}`)
  }

  async setGrants(grants: readonly Grant[]): Promise<void> {
    const tags = grants
      .flatMap(({ src, dst }) => [...src, ...dst])
      .filter((s) => s.startsWith('tag:'))
    const tagOwners = Object.fromEntries(tags.map((tag) => [tag, this.#users.slice(0, 1)]))
    const path = join(this.#underlay.directory, 'headscale', 'policy.json')
    writeFileSync(path, JSON.stringify({ tagOwners, grants }))
    await this.run('policy', 'set', '-f', path)
  }

  /** Runs a command of headscale; rejects when it fails. */
  async run(...args: readonly string[]): Promise<Ended> {
    const ended = await this.#underlay.run(control, [...this.#command, ...args])
    if (ended.code !== 0) throw new Error(`headscale ${args.join(' ')}: ${ended.stderr}`)
    return ended
  }

  log(): string {
    return this.#program.log()
  }

  get #command(): readonly string[] {
    return [requirePeer('headscale'), '-c', this.#config]
  }

  async #key(...owner: readonly string[]): Promise<string> {
    const { stdout } = await this.run('preauthkeys', 'create', ...owner)
    return stdout.trim().split('\n').at(-1) as string
  }
}

/** JSON is YAML. headscale wants a relay of its own, and groups changes for a while unless told not to. */
function headscaleConfig(directory: string, domain: string): unknown {
  const relay = {
    enabled: true,
    region_id: 999,
    region_code: 'test',
    region_name: 'test',
    verify_clients: true,
    stun_listen_addr: `${controlAddress}:3478`,
    private_key_path: join(directory, 'derp.key'),
    automatically_add_embedded_derp_region: true,
    ipv4: controlAddress,
    ipv6: 'none',
  }
  return {
    server_url: controlUrl,
    listen_addr: `${controlAddress}:8080`,
    metrics_listen_addr: '',
    grpc_listen_addr: '127.0.0.1:50443',
    noise: { private_key_path: join(directory, 'noise.key') },
    prefixes: { v4: '100.64.0.0/10', v6: 'fd7a:115c:a1e0::/48', allocation: 'sequential' },
    derp: { urls: [], paths: [], auto_update_enabled: false, server: relay },
    disable_check_updates: true,
    database: {
      type: 'sqlite',
      sqlite: { path: join(directory, 'db.sqlite'), write_ahead_log: true },
    },
    policy: { mode: 'database' },
    dns: {
      magic_dns: true,
      base_domain: domain,
      override_local_dns: false,
      nameservers: { global: [] },
    },
    unix_socket: join(directory, 'headscale.sock'),
    unix_socket_permission: '0770',
    logtail: { enabled: false },
    log: { level: 'info', format: 'text' },
    tuning: { batch_change_delay: '10ms', node_store_batch_timeout: '5ms' },
  }
}
