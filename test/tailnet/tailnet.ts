/** A closed tailnet: its underlay, a control server, and the nodes that the tests need. */
import { Control, type ControlServer, type Owner } from './control.ts'
import { Headscale } from './headscale.ts'
import { type NodeOptions, TailnetNode } from './node.ts'
import { adminGrant, alice, bob, type Grant, network, taggedGrant, userGrant } from './policy.ts'
import { Underlay } from './underlay.ts'

/** The nodes: where Sotto runs, devices with and without rights, and one that fills the store. */
const owners = {
  server: { tags: ['tag:secrets'] },
  user: { user: alice },
  tagged: { tags: ['tag:web'] },
  guest: { user: bob },
  admin: { tags: ['tag:admin'] },
} as const satisfies Record<string, Owner>

/** The name of a node, and of its host. */
export type NodeName = keyof typeof owners

/** How a tailnet is made. */
export interface TailnetOptions {
  /** The nodes beside the server. Default: all. */
  readonly devices?: readonly NodeName[]
  /** How the server takes part. */
  readonly server?: NodeOptions
  /** Hosts on the underlay that are no nodes. */
  readonly strangers?: readonly string[]
}

/** A tailnet that is up: every device reaches the server, and nothing has been asked of it. */
export class Tailnet<C extends ControlServer = ControlServer> {
  readonly underlay: Underlay
  readonly control: C
  /** The name of the capability in its policy. */
  readonly capability: string
  readonly #nodes: ReadonlyMap<string, TailnetNode>

  private constructor(
    underlay: Underlay,
    control: C,
    capability: string,
    nodes: ReadonlyMap<string, TailnetNode>,
  ) {
    this.underlay = underlay
    this.control = control
    this.capability = capability
    this.#nodes = nodes
  }

  /** A tailnet on ctl. */
  static onControl(options?: TailnetOptions): Promise<Tailnet<Control>> {
    return make((underlay) => Control.start(underlay), 'tailscale.com/cap/secrets', options)
  }

  /** A tailnet on headscale, whose policies may not use the names of Tailscale's own capabilities. */
  static onHeadscale(options?: TailnetOptions): Promise<Tailnet<Headscale>> {
    return make((underlay) => Headscale.start(underlay), 'example.com/cap/secrets', options)
  }

  /** For `make` alone. */
  static of<C extends ControlServer>(
    ...parts: [Underlay, C, string, ReadonlyMap<string, TailnetNode>]
  ): Tailnet<C> {
    return new Tailnet(...parts)
  }

  /** A node of this tailnet. */
  node(name: NodeName): TailnetNode {
    const node = this.#nodes.get(name)
    if (!node) throw new Error(`This tailnet has no ${name}`)
    return node
  }

  /** The grants of the usual policy: each of the devices may do what the tests expect of it. */
  get grants(): { network: Grant; user: Grant; tagged: Grant; admin: Grant } {
    return {
      network,
      user: userGrant(this.capability),
      tagged: taggedGrant(this.capability),
      admin: adminGrant(this.capability),
    }
  }

  /** The name of the server on the tailnet. */
  get serverName(): string {
    return `server.${this.control.domain}`
  }

  async close(): Promise<void> {
    await this.underlay.close()
  }
}

async function make<C extends ControlServer>(
  startControl: (underlay: Underlay) => Promise<C>,
  capability: string,
  {
    devices = ['user', 'tagged', 'guest', 'admin'],
    server = {},
    strangers = [],
  }: TailnetOptions = {},
): Promise<Tailnet<C>> {
  const names: NodeName[] = ['server', ...devices]
  const underlay = await Underlay.open([...names, ...strangers])
  try {
    const control = await startControl(underlay)
    const nodes = new Map<string, TailnetNode>()
    for (const name of names) {
      const key = await control.admit(name, owners[name])
      nodes.set(name, new TailnetNode(underlay, name, key, name === 'server' ? server : {}))
    }
    const tailnet = Tailnet.of(underlay, control, capability, nodes)
    await control.setGrants(Object.values(tailnet.grants))
    for (const node of nodes.values()) node.start()
    // headscale shows a node only the peers that the policy lets it reach: the server, for a device.
    await Promise.all(
      names.map((name) => tailnet.node(name).awaitPeers(name === 'server' ? devices.length : 1)),
    )
    for (const name of names) {
      const [address] = await tailnet.node(name).addresses()
      if (address) underlay.name(`${name}.${control.domain}`, address)
    }
    return tailnet
  } catch (error) {
    await underlay.close()
    throw error
  }
}
