/** The control server of a tailnet, and ctl of test/tailnet/go, of which everything can be set. */
import { join } from 'node:path'
import { requirePeer } from '../support/peers.ts'
import { ask } from './local-api.ts'
import type { Grant } from './policy.ts'
import { connects, control, controlAddress, type Program, type Underlay } from './underlay.ts'
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
    this.#program = underlay.start(control, command)
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
