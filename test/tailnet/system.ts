/**
 * A host as an operator finds it: a copy of this system that is gone with the underlay, in which pages are followed
 * as they are written. It has the program of the checkout; systemctl.sh stands for systemd.
 */
import { realpathSync } from 'node:fs'
import { join } from 'node:path'
import { requirePeer } from '../support/peers.ts'
import type { Finished } from '../support/process.ts'
import { controlUrl } from './control.ts'
import { nodeEnvironment } from './node.ts'
import { repository, type Underlay } from './underlay.ts'
import { until } from './until.ts'

const top = new URL('../..', import.meta.url).pathname

/** A host of an underlay, with a system of its own. */
export class System {
  readonly #underlay: Underlay
  readonly #host: string
  readonly #root: string

  private constructor(underlay: Underlay, host: string) {
    this.#underlay = underlay
    this.#host = host
    this.#root = `/run/system-of-${host}`
  }

  /** Makes the system of `host`, with a tailscaled that is on no tailnet yet and will join with `key`. */
  static async open(underlay: Underlay, host: string, key: string): Promise<System> {
    const system = new System(underlay, host)
    // `ip netns exec` gives each program mounts of its own: these are made where all have them.
    const enter = ['nsenter', '-t', '1', '-m', 'sh', '-euc', mounts(), system.#root]
    const mounted = await underlay.run(host, enter)
    if (mounted.code !== 0) throw new Error(`The system of ${host}: ${mounted.stderr}`)
    const made = await system.run(stock(key))
    if (made.code !== 0) throw new Error(`The system of ${host}: ${made.stderr}`)
    return system
  }

  /** Runs lines of shell as root, in a folder that is root's own. Stops at the first that fails. */
  run(script: string): Promise<Finished> {
    // The path that root has where systemd starts nothing: no Node, and nothing of the checkout.
    const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
    const inside = `mkdir -p /home/operator; cd /home/operator; ${script}`
    const shell = ['env', '-i', path, 'HOME=/home/operator', 'sh', '-euc', inside]
    return this.#underlay.run(this.#host, ['chroot', `${this.#root}/root`, ...shell])
  }

  /** Resolves when the server serves. */
  async awaitListening(): Promise<void> {
    const log = async (): Promise<string> => (await this.run('cat /var/log/sotto.log')).stdout
    let said = ''
    await until(
      async () => /^listening on /m.test((said = await log())),
      'sotto server',
      () => said,
      45_000,
    )
  }

  /** Resolves when its node knows `count` peers, with the address that it has. */
  async awaitPeers(count: number): Promise<string> {
    interface Status {
      readonly BackendState: string
      readonly TailscaleIPs: readonly string[] | null
      readonly Peer?: Readonly<Record<string, { readonly Relay: string }>> | null
    }
    let status: Status | undefined
    await until(
      async () => {
        const { stdout } = await this.run('tailscale status --json')
        status = JSON.parse(stdout) as Status
        const peers = Object.values(status.Peer ?? {}).filter(({ Relay }) => Relay !== '')
        return status.BackendState === 'Running' && peers.length >= count
      },
      `${this.#host} with ${count} peers`,
      () => JSON.stringify(status),
      30_000,
    )
    return status?.TailscaleIPs?.[0] ?? ''
  }
}

/**
 * A copy of this system at $0, that keeps what is written to itself. It lies in the /run of the underlay, which nobody
 * deletes: it goes with the mounts. What is shared with the real system can be read alone.
 */
function mounts(): string {
  const shared = [
    repository,
    ...['node_modules', '.peers'].map((name) => realpathSync(join(top, name))),
  ]
  const devices = ['null', 'zero', 'full', 'random', 'urandom', 'tty', 'net/tun']
  return [
    // Only the underlay has it: these mounts are never made anywhere else.
    `test -d ${repository}`,
    'mkdir -p "$0"',
    'mount -t tmpfs tmpfs "$0"',
    'cd "$0"',
    'mkdir upper work root',
    'mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root',
    'mount -t proc proc root/proc',
    'mount -t tmpfs tmpfs root/run',
    'mount -t tmpfs tmpfs root/dev',
    'mkdir root/dev/net root/dev/shm',
    'ln -s /proc/self/fd root/dev/fd',
    ...devices.flatMap((name) => [
      `touch root/dev/${name}`,
      `mount --bind /dev/${name} root/dev/${name}`,
    ]),
    ...[...shared, '/etc/hosts', '/etc/resolv.conf'].flatMap((path) => [
      `[ -e root${path} ] || mkdir -p root${path}`,
      `mount --bind ${path} root${path}`,
      `mount -o remount,bind,ro root${path}`,
    ]),
  ].join('\n')
}

/** What is there before an operator comes. */
function stock(key: string): string {
  const main = `${repository}/cli/main.ts`
  const login = `--login-server=${controlUrl} --auth-key=${key}`
  const tailscale = requirePeer('tailscale')
  const programs: Readonly<Record<string, string>> = {
    sotto: `exec ${inRepository(process.execPath)} ${main} "$@"`,
    systemctl: `exec ${repository}/test/tailnet/systemctl.sh "$@"`,
    tailscaled: `exec ${inRepository(requirePeer('tailscaled'))} "$@"`,
    // Nobody can log in with a browser here, and the network of the host is not the node's to change.
    tailscale: `[ "$1" != up ] || set -- "$@" --accept-dns=false --netfilter-mode=off --timeout=60s
case $* in *--auth-key=* | [!u]*) ;; *) set -- "$@" ${login} ;; esac
exec ${inRepository(tailscale)} "$@"`,
    sudo: 'SUDO_USER=alice exec "$@"',
  }
  const written = Object.entries(programs).map(
    ([name, lines]) =>
      `printf '#!/bin/sh\\n%s\\n' '${lines}' > /usr/local/bin/${name}; chmod 755 /usr/local/bin/${name}`,
  )
  const settings = Object.entries(nodeEnvironment).map(([name, value]) => `${name}=${value}`)
  return [
    ...written,
    'mkdir -p /var/lib/tailscale /etc/default',
    `printf '%s\\n' ${settings.join(' ')} > /etc/default/tailscaled`,
    'systemctl restart tailscaled',
  ].join('\n')
}

/** Where everybody may read it, for what is in the repository. */
function inRepository(path: string): string {
  return path.startsWith(top) ? join(repository, path.slice(top.length)) : path
}
