/** What `sotto/testing` gives: a real server for the tests of programs that use one. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { quote, SottoError } from '../../client/api/errors.ts'
import { actions, type Rule } from '../../client/api/types.ts'
import { Client } from '../../client/client.ts'
import type { Timers } from '../../client/platform/timers.ts'
import type { StoreOptions } from '../../client/store/options.ts'
import { openStore, type Store } from '../../client/store/store.ts'
import type { TailnetFile } from '../identity/development.ts'
import { removedAtExit } from '../platform/at-exit.ts'
import { makeTemporaryNow } from '../platform/temporary.ts'
import { type RunningServer, startServer } from '../start/server.ts'
import { ManualTimers } from './manual-timers.ts'

/** The longest from one poll of a store to the next, where it says nothing else. */
const POLL_MS = 66 * 60_000
/** As many as have an address of 127.0.0.0/24. */
const MAX_NODES = 250
const everything: Rule = { action: [...actions], secret: ['*'] }

/** A caller of the server. */
export interface TestNode {
  /** The login name of the person whose node it is. NAME@example.com when absent, unless there are tags. */
  readonly user?: string
  /** The tags of a tagged node, each with `tag:` in front. */
  readonly tags?: readonly string[]
  /** What it may do. Everything when absent. */
  readonly rules?: readonly Rule[]
}

/** How a server is started. */
export interface TestServerOptions {
  /** Who calls, by name. `developer`, who may do everything, need not be named. At most 250. */
  readonly nodes?: Readonly<Record<string, TestNode>>
  /** The time that it begins at. Now when absent. */
  readonly startsAt?: Date
}

/** Which node calls. */
export interface AsNode {
  /** The name of a node. `developer` when absent. */
  readonly as?: string
}

/** A server with its files in a temporary directory, on loopback, in this process. `startTestServer` makes one. */
export interface TestServer extends AsyncDisposable {
  /** What a program is given as its server. A program in another process calls as `developer`. */
  readonly url: string
  /** The time of the server, of its jobs, and of the stores that `openStore` opens. It stands still but for `tick`. */
  readonly clock: () => Date
  readonly timers: Timers
  /** A client that calls as a node. Throws `usage` for a node that is not there. */
  client(options?: AsNode): Client
  /** Adds a version, activates it, and resolves with its number. A text becomes UTF-8. */
  put(name: string, value: string | Uint8Array): Promise<number>
  /** What a node may do from now on. Throws `usage` for a node that is not there. */
  allow(node: string, rules: readonly Rule[]): void
  /**
   * Opens a store that polls when `tick` says, and is not told of changes unless `watch` is set: what it holds changes
   * at a `tick` alone. Waiting for a secret that is not there ends with a `tick` after it was put. Closed with the server.
   */
  openStore(options: Omit<StoreOptions, 'server'> & AsNode): Promise<Store>
  /**
   * Lets time pass, at least a second, or else as much as lies between two polls; and resolves when each store asked
   * the server and holds the answers. How they came out, their `health` says. Throws `usage` for less than a second.
   */
  tick(ms?: number): Promise<void>
  /** Stops the server: from now on nothing listens at its URL. */
  stop(): Promise<void>
  /** Starts it again after `stop`, at the same URL, with what it had. */
  start(): Promise<void>
}

/** Starts a server with an empty store. Rejects as a server does that cannot start. Disposing stops it and removes its files. */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  if (Object.keys(options.nodes ?? {}).length > MAX_NODES) {
    throw new SottoError('usage', `Cannot start a test server: it has more than ${MAX_NODES} nodes`)
  }
  const server = new TemporaryServer(options)
  try {
    await server.start()
    return server
  } catch (error) {
    await server[Symbol.asyncDispose]()
    throw error
  }
}

class TemporaryServer implements TestServer {
  readonly timers: ManualTimers = new ManualTimers()
  readonly #startsAt: number
  readonly #nodes: Map<string, TestNode>
  readonly #directory: string = makeTemporaryNow('sotto-test-server-')
  readonly #atExit: Disposable = removedAtExit(this.#directory)
  readonly #clients = new Map<string, Client>()
  readonly #stores = new Set<Store>()
  #running: RunningServer | undefined
  #port = 0

  constructor({ nodes = {}, startsAt = new Date() }: TestServerOptions) {
    this.#startsAt = startsAt.getTime()
    this.#nodes = new Map(Object.entries({ developer: {}, ...nodes }))
    this.#writeTailnet()
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  clock = (): Date => new Date(this.#startsAt + this.timers.now())

  client({ as = 'developer' }: AsNode = {}): Client {
    const localAddress = this.#addressOf(as)
    const client = this.#clients.get(as) ?? new Client({ server: this.url, localAddress })
    this.#clients.set(as, client)
    return client
  }

  async put(name: string, value: string | Uint8Array): Promise<number> {
    const bytes = typeof value === 'string' ? Buffer.from(value) : value
    const version = await this.client().put(name, bytes)
    await this.client().activate(name, version)
    return version
  }

  allow(node: string, rules: readonly Rule[]): void {
    this.#addressOf(node)
    this.#nodes.set(node, { ...this.#nodes.get(node), rules })
    this.#writeTailnet()
  }

  async openStore({ as, ...options }: Omit<StoreOptions, 'server'> & AsNode): Promise<Store> {
    const { timers, clock } = this
    const server = this.client(as === undefined ? {} : { as })
    const store = await openStore({ watch: false, timers, clock, ...options, server })
    this.#stores.add(store)
    return store
  }

  async tick(ms: number = POLL_MS): Promise<void> {
    if (!(ms >= 1_000)) {
      throw new SottoError('usage', `Cannot let ${ms} ms pass: it must be a second at least`)
    }
    this.timers.advance(ms)
    // A refusal is in the health of the store.
    await Promise.all([...this.#stores].map((store) => store.refresh().catch(() => {})))
  }

  async stop(): Promise<void> {
    const running = this.#running
    this.#running = undefined
    await running?.stop()
  }

  async start(): Promise<void> {
    if (this.#running) return
    this.#running = await startServer(
      {
        dev: true,
        tailnet: this.#tailnet,
        stateDir: join(this.#directory, 'state'),
        keyFile: undefined,
        listen: { host: '127.0.0.1', port: this.#port },
      },
      { clock: this.clock, timers: this.timers },
    )
    this.#port = Number(new URL(this.#running.url).port)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#stores].map((store) => store.close()))
    for (const client of this.#clients.values()) client.close()
    await this.stop()
    rmSync(this.#directory, { recursive: true, force: true })
    this.#atExit[Symbol.dispose]()
  }

  get #tailnet(): string {
    return join(this.#directory, 'tailnet.json')
  }

  #addressOf(node: string): string {
    const at = [...this.#nodes.keys()].indexOf(node)
    if (at === -1) {
      throw new SottoError('usage', `The test server has no node ${quote(node)}`, {
        hint: 'Name it in `nodes` when the server is started.',
      })
    }
    return `127.0.0.${at + 1}`
  }

  #writeTailnet(): void {
    const nodes = [...this.#nodes].map(([name, { user, tags, rules = [everything] }]) => {
      const owner = tags ? { tags } : { user: user ?? `${name}@example.com` }
      return [this.#addressOf(name), { name, ...owner, rules }]
    })
    const file = { nodes: Object.fromEntries(nodes) as TailnetFile['nodes'] }
    writeFileSync(this.#tailnet, JSON.stringify(file))
  }
}
