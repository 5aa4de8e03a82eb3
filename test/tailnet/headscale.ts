/** headscale as the control server of a tailnet. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { requirePeer } from '../support/peers.ts'
import type { Finished } from '../support/process.ts'
import { type ControlServer, controlUrl, type Owner } from './control.ts'
import type { Grant } from './policy.ts'
import { control, controlAddress, type Program, type Underlay } from './underlay.ts'
import { until } from './until.ts'

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
    this.#program = underlay.start(control, [...this.#command, 'serve'])
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
  async run(...args: readonly string[]): Promise<Finished> {
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
