/** A program hears of a rotation, whatever happened to it, to its server and to the network between them. */
import { once } from 'node:events'
import { cpSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { Server as TlsServer } from 'node:tls'
import { expect, test } from 'vitest'
import { Client } from '../../client/client.ts'
import type { TailnetFile } from '../../server/identity/development.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import type { TestProcess } from '../support/process.ts'
import { fourCallers } from '../support/service.ts'
import { type Running, startSotto, temporaryDirectory } from '../support/sotto.ts'
import { startWire } from '../support/wire.ts'

/** The secret that programs follow. */
export const NAME = 'prod/web/key'
/** The address that programs call from whose rights change. */
const APP = '127.0.0.2'
const TIMEOUT_MS = 300_000

/** A program that follows `prod/web/key`, and the lines that it prints. */
export interface Follower {
  /** Starts it, with its cache in the file at `cache`. */
  readonly start: (url: string, cache: string) => TestProcess
  readonly holds: (value: string) => RegExp
  readonly changed: (value: string) => RegExp
  /** The server was asked in vain. Absent: it says nothing of that. */
  readonly failed?: RegExp
  readonly denied: RegExp
}

/** A server whose state stays when it ends, and programs that follow its secret. */
export class Following implements AsyncDisposable {
  readonly #scratch = temporaryDirectory()
  readonly #state = join(this.#scratch.path, 'state')
  readonly #tailnet = join(this.#scratch.path, 'tailnet.json')
  readonly #programs: TestProcess[] = []
  readonly #fronts: Front[] = []
  readonly #follower: Follower
  readonly cache = join(this.#scratch.path, 'cache/sotto.json')
  server!: Running

  private constructor(follower: Follower) {
    this.#follower = follower
  }

  /** Starts a server that has the value `one`. */
  static async start(follower: Follower): Promise<Following> {
    const following = new Following(follower)
    following.allow('prod/*')
    await following.#startAt('127.0.0.1:0')
    await following.put('one')
    return following
  }

  /** Starts it again after it ended, where it was. */
  async startAgain(): Promise<void> {
    await this.#startAt(`127.0.0.1:${this.server.port}`)
  }

  async #startAt(listen: string): Promise<void> {
    const args = ['--state-dir', this.#state, '--tailnet', this.#tailnet, '--listen', listen]
    this.server = await startSotto({ args })
  }

  /** Keeps a copy of the state; resolves with what puts it in place. The server is down meanwhile, and each time. */
  async copy(): Promise<() => Promise<void>> {
    const copied = `${this.#state}.copy`
    await this.server.stop()
    cpSync(this.#state, copied, { recursive: true, preserveTimestamps: true })
    await this.startAgain()
    return async () => {
      await this.server.stop()
      rmSync(this.#state, { recursive: true })
      renameSync(copied, this.#state)
      await this.startAgain()
    }
  }

  /** What may be had from APP. */
  allow(pattern: string): void {
    const app = { name: 'app', tags: ['tag:app'], rules: [{ action: ['get'], secret: [pattern] }] }
    const file = { nodes: { ...fourCallers.nodes, [APP]: app } } as TailnetFile
    writeFileSync(this.#tailnet, JSON.stringify(file))
  }

  /** Makes `value` the active version. */
  async put(value: string): Promise<void> {
    const client = new Client({ server: this.server.url, keepAlive: false })
    await client.activate(NAME, await client.put(NAME, Buffer.from(value)))
  }

  /** Starts a program that holds `value`, and calls the server by `url`. */
  async follow(value = 'one', url = this.server.url): Promise<TestProcess> {
    const started = this.#follower.start(url, this.cache)
    this.#programs.push(started)
    await started.line(this.#follower.holds(value))
    return started
  }

  /** Where the server can be called from the address APP. `server` makes what takes the connections. */
  async front(server: Server = createServer()): Promise<number> {
    const front = new Front(server, () => this.server.port)
    this.#fronts.push(front)
    return front.listen()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of this.#programs) await each.kill()
    for (const each of this.#fronts) each.close()
    await this.server.kill()
    this.#scratch[Symbol.dispose]()
  }
}

/** Passes connections on, from the address APP. */
class Front {
  readonly #server: Server
  readonly #open = new Set<Socket>()

  constructor(server: Server, port: () => number) {
    this.#server = server
    // Of TLS, what is to be passed on comes with an event of its own.
    const event = server instanceof TlsServer ? 'secureConnection' : 'connection'
    server.on(event, (socket: Socket) => {
      const behind = connect({ port: port(), host: '127.0.0.1', localAddress: APP })
      socket.pipe(behind).pipe(socket)
      for (const end of [socket, behind]) {
        this.#open.add(end)
        end.on('error', () => {}).on('close', () => void [socket.destroy(), behind.destroy()])
      }
    })
  }

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return (this.#server.address() as AddressInfo).port
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#open) socket.destroy()
  }
}

/** The tests of `follower`. */
export function followerTests(follower: Follower): void {
  const { changed, failed, denied } = follower
  const lost = async (program: TestProcess): Promise<void> => {
    if (failed) await program.line(failed)
  }

  test(
    'after its server was killed and started again',
    async () => {
      await using following = await Following.start(follower)
      const program = await following.follow()
      await following.server.kill()
      await lost(program)
      await following.startAgain()
      await following.put('two')
      await program.line(changed('two'))
    },
    TIMEOUT_MS,
  )

  test(
    'after it started from its cache while the server was down',
    async () => {
      await using following = await Following.start(follower)
      await (await following.follow()).kill()
      expect(await following.server.stop()).toBe(0)
      const program = await following.follow()
      await lost(program)
      await following.startAgain()
      await following.put('two')
      await program.line(changed('two'))
    },
    TIMEOUT_MS,
  )

  test(
    'through connections that are cut in the middle of an answer',
    async () => {
      await using following = await Following.start(follower)
      await using proxy = await startFaultProxy(following.server.url, {
        operationOf: ({ url }) => url.slice('/api/'.length),
        read: (operation) => operation,
        refuse: () => ({ status: 500, type: 'text/plain', body: 'internal error\n' }),
      })
      const program = await following.follow('one', proxy.url)
      proxy.fail({ kind: 'cut' }, 2, 'watch')
      proxy.fail({ kind: 'cut' }, 1, 'get')
      await following.put('two')
      await program.line(changed('two'))
      await lost(program)
    },
    TIMEOUT_MS,
  )

  test(
    'after a right was taken, and given again',
    async () => {
      await using following = await Following.start(follower)
      const program = await following.follow('one', `http://127.0.0.1:${await following.front()}`)
      following.allow('other')
      await program.line(denied)
      await following.put('two')
      following.allow('prod/*')
      await program.line(changed('two'))
    },
    TIMEOUT_MS,
  )

  test(
    'and not of one back, where an older copy of the server answers',
    async () => {
      await using following = await Following.start(follower)
      const putBack = await following.copy()
      await following.put('two')
      const program = await following.follow('two')
      await following.put('three')
      await program.line(changed('three'))
      await putBack()
      await lost(program)
      // What is newer than all that it was told is taken again.
      for (const value of ['four', 'five', 'six']) await following.put(value)
      await program.line(changed('six'))
      const older = changed('one')
      expect(program.output.split('\n').filter((line) => older.test(line))).toEqual([])
    },
    TIMEOUT_MS,
  )

  test(
    'after it was paused',
    async () => {
      await using following = await Following.start(follower)
      const program = await following.follow()
      await program.freeze()
      await following.put('two')
      program.signal('SIGCONT')
      await program.line(changed('two'))
    },
    TIMEOUT_MS,
  )

  test(
    'after its server was paused',
    async () => {
      await using following = await Following.start(follower)
      const program = await following.follow()
      following.server.process.kill('SIGSTOP')
      await lost(program)
      following.server.process.kill('SIGCONT')
      await following.put('two')
      await program.line(changed('two'))
    },
    TIMEOUT_MS,
  )

  test(
    'after its connections were lost, and neither end heard of it',
    async () => {
      await using following = await Following.start(follower)
      await using wire = await startWire(following.server.port)
      const program = await following.follow('one', wire.url)
      await following.put('two')
      await program.line(changed('two'))
      await expect.poll(() => wire.lose()).toBeGreaterThan(0)
      await following.put('three')
      await program.line(changed('three'))
    },
    TIMEOUT_MS,
  )
}
