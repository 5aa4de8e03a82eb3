/**
 * The network under a tailnet: hosts that are network namespaces of their own, on one bridge, with no
 * way out. One process holds all of it; when that process ends, or this one does, everything that ran
 * there is killed by the kernel and nothing is left behind.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { connect as connectTo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { requirePeer } from '../support/peers.ts'
import { type Finished, TestProcess } from '../support/process.ts'
import { until } from './until.ts'

/** The address of the control server, on the bridge itself. */
export const controlAddress = '10.77.0.1'

/** Where every host has the repository. */
export const repository = '/run/repository'
const top = new URL('../..', import.meta.url).pathname

/** The whole environment of programs on the hosts. */
const environment: Readonly<Record<string, string>> = {
  PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`,
  HOME: process.env['HOME'] ?? '/',
  NO_COLOR: '1',
}

/** The name of the namespace that has the bridge and the control server. */
export const control = 'control'

/** A program that runs on a host. */
export interface Program {
  /** What it printed so far. */
  log(): string
  /** Sends a signal to the program itself. */
  signal(signal: NodeJS.Signals): void
  /** Resolves with its exit code, null when a signal ended it. */
  readonly ended: Promise<number | null>
}

/** How a program is run. */
export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  /** What it reads from stdin; nothing when absent. */
  readonly input?: string
}

/** How a connection is made. */
export interface ConnectOptions {
  /** Its source port, even when another connection has that towards somewhere else. */
  readonly from?: number
  /** The number of the user who makes it. Default: root. */
  readonly user?: number
}

/** Hosts and the wire between them. */
export class Underlay {
  /** A directory for the sockets and states of everything here; it goes with the underlay. */
  readonly directory: string
  readonly #hosts: readonly string[]
  readonly #holder: ChildProcess
  readonly #pid: number
  readonly #relays = new Map<string, Promise<string>>()

  private constructor(directory: string, hosts: readonly string[], holder: ChildProcess) {
    this.directory = directory
    this.#hosts = hosts
    this.#holder = holder
    this.#pid = onlyChildOf(holder.pid as number)
  }

  /** Makes a namespace for each of `hosts`. */
  static async open(hosts: readonly string[]): Promise<Underlay> {
    const directory = mkdtempSync(join(tmpdir(), 'sotto-tailnet-'))
    chmodSync(directory, 0o755)
    writeFileSync(join(directory, 'hosts'), '127.0.0.1 localhost\n')
    // No name server: other names fail at once.
    writeFileSync(join(directory, 'resolv.conf'), '')
    const flags = ['-n', '-m', '-p', '-f', '--kill-child', '--mount-proc']
    if (process.getuid?.() !== 0) flags.unshift('-r')
    const holder = spawn(
      requirePeer('unshare'),
      [...flags, 'sh', '-euc', setup(hosts), directory, top],
      // What ends us and our children at once leaves it the time to tidy up.
      { stdio: ['pipe', 'pipe', 'pipe'], detached: true },
    )
    let said = ''
    holder.stderr.setEncoding('utf8').on('data', (chunk: string) => (said += chunk))
    const ready = await Promise.race([
      once(holder.stdout, 'data').then(() => true),
      once(holder, 'exit').then(() => false),
    ])
    if (!ready) {
      rmSync(directory, { recursive: true, force: true })
      throw new Error(`The namespaces of a tailnet could not be made: ${said}`)
    }
    return new Underlay(directory, hosts, holder)
  }

  /** The address of a host on the bridge. */
  addressOf(host: string): string {
    return bridgeAddress(this.#hosts.indexOf(host))
  }

  /** Gives a name an address, for every host. */
  name(name: string, address: string): void {
    writeFileSync(join(this.directory, 'hosts'), `${address} ${name}\n`, { flag: 'a' })
  }

  /** Starts a program on `host`. */
  start(host: string, command: readonly string[], options: RunOptions = {}): Program {
    const started = this.#spawn(host, command, options)
    return {
      log: () => started.output,
      signal: (signal) => {
        if (started.isRunning) process.kill(onlyChildOf(started.pid), signal)
      },
      ended: started.exited,
    }
  }

  /** Runs a command on `host` to its end. */
  async run(host: string, command: readonly string[], options: RunOptions = {}): Promise<Finished> {
    const program = this.#spawn(host, command, { input: '', ...options })
    const code = await program.exited
    return { code, stdout: program.stdout, stderr: program.stderr }
  }

  /**
   * A connection from `host` to `target` (HOST:PORT). Rejects with what the system said when there
   * is none.
   */
  async connect(host: string, target: string, options: ConnectOptions = {}): Promise<Socket> {
    const { from, user } = options
    const key = user === undefined ? host : `${host}-${user}`
    let relay = this.#relays.get(key)
    if (!relay) {
      relay = this.#startRelay(host, key, user)
      this.#relays.set(key, relay)
    }
    const socket = connectTo(await relay)
    socket.write(from === undefined ? `${target}\n` : `${target} from ${from}\n`)
    const line = await readLine(socket)
    if (line.startsWith('ok ')) return socket
    socket.destroy()
    throw new Error(`${host} to ${target}: ${line}`)
  }

  /** A directory that belongs to `user`. */
  directoryOf(user: number | undefined): string {
    if (user === undefined) return this.directory
    const directory = join(this.directory, `user-${user}`)
    mkdirSync(directory, { recursive: true })
    chownSync(directory, user, user)
    return directory
  }

  /** Ends everything that runs on the hosts, and the hosts. */
  async close(): Promise<void> {
    const gone = once(this.#holder, 'exit')
    this.#holder.stdin?.end()
    await gone
    rmSync(this.directory, { recursive: true, force: true })
  }

  #spawn(host: string, command: readonly string[], options: RunOptions): TestProcess {
    const enter = ['-t', `${this.#pid}`, '-m', '-n', '-p', '--', requirePeer('ip')]
    const args = [...enter, 'netns', 'exec', host, ...command]
    return new TestProcess(requirePeer('nsenter'), args, { environment, ...options })
  }

  async #startRelay(host: string, key: string, user: number | undefined): Promise<string> {
    const path = join(this.directoryOf(user), `${key}.relay`)
    const command = [requirePeer('ctl'), 'relay', path]
    const relay = this.start(host, user === undefined ? command : asUser(user, command))
    await until(
      () => connects(path),
      `the relay on ${host}`,
      () => relay.log(),
    )
    return path
  }
}

/**
 * The command that runs `command` as the user with the number `user`, who has no other rights than to
 * take ports below 1024. Files of the repository are named where that user can read them.
 */
export function asUser(user: number, command: readonly string[]): readonly string[] {
  const identity = [`--reuid=${user}`, `--regid=${user}`, '--clear-groups']
  const ports = ['--inh-caps=-all,+net_bind_service', '--ambient-caps=-all,+net_bind_service']
  const readable = command.map((word) =>
    word.startsWith(top) ? `${repository}/${word.slice(top.length)}` : word,
  )
  return ['setpriv', ...identity, ...ports, ...readable]
}

/** Whether something listens on the unix socket `path`. */
export function connects(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTo(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

function bridgeAddress(index: number): string {
  return `10.77.0.${11 + index}`
}

/**
 * What the holder does before it waits for its stdin to end, and after. `/run` is its own, so that
 * nothing is left in the real one.
 */
function setup(hosts: readonly string[]): string {
  const lines = [
    'mount -t tmpfs tmpfs /run',
    'mkdir /run/netns',
    'mount --bind "$0/hosts" /etc/hosts',
    // Wherever the repository is, other users can read it here.
    `mkdir ${repository}`,
    `mount --bind "$1" ${repository}`,
    'mount --bind "$0/resolv.conf" /etc/resolv.conf',
    `ip netns attach ${control} $$`,
    'ip link set lo up',
    'ip link add br0 type bridge',
    `ip addr add ${controlAddress}/24 dev br0`,
    'ip link set br0 up',
  ]
  for (const [index, host] of hosts.entries()) {
    const inside = `ip -n ${host}`
    lines.push(
      `ip netns add ${host}`,
      `${inside} link set lo up`,
      `ip link add v${index} type veth peer name eth0 netns ${host}`,
      `ip link set v${index} master br0 up`,
      `${inside} addr add ${bridgeAddress(index)}/24 dev eth0`,
      `${inside} link set eth0 up`,
      // Without a default route tailscaled closes its connections at every change of a link.
      `${inside} route add default via ${controlAddress}`,
    )
  }
  const end = ['cat >/dev/null', 'kill -KILL -1 || true', 'rm -rf --one-file-system "$0"']
  return [...lines, 'echo ready', ...end].join('\n')
}

/** nsenter and unshare wait for the program that they started: it is their only child. */
function onlyChildOf(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  if (!/^\d+$/.test(children)) throw new Error(`Process ${pid} has no single child: "${children}"`)
  return Number(children)
}

async function readLine(socket: Socket): Promise<string> {
  let read = Buffer.alloc(0)
  while (!read.includes('\n')) {
    const chunk = socket.read() as Buffer | null
    if (chunk) read = Buffer.concat([read, chunk])
    else if (socket.readableEnded || socket.destroyed) throw new Error('The relay said nothing')
    else await Promise.race([once(socket, 'readable'), once(socket, 'close')])
  }
  const end = read.indexOf('\n')
  if (end + 1 < read.length) socket.unshift(read.subarray(end + 1))
  return read.subarray(0, end).toString()
}
