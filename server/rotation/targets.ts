/** The targets that the settings allow: nothing else is ever connected to. */
import { quote, SottoError } from '../../client/api/errors.ts'
import type { RotationConfig } from '../../client/api/rotations.ts'
import { readTextFile } from '../../client/platform/text-file.ts'
import { isLoopbackHost } from '../platform/loopback.ts'

/** What the settings say. */
export interface TargetsSettings {
  /** Scheme, host and port of each. */
  readonly allowed: readonly string[]
  /** The file of the authorities of their certificates, PEM. Absent: those of Node. */
  readonly caFile?: string | undefined
  /** Whether a host is this machine, which is the one that is spoken to in the clear. */
  readonly isLocal?: (host: string) => boolean
}

/** How a target is reached. */
export interface Reached {
  /** As messages name it. */
  readonly server: string
  /** Without the brackets of an IPv6 address. */
  readonly host: string
  readonly port: number
  /** With its certificate and its name checked; false: in the clear, on this machine. */
  readonly tls: { readonly ca?: string } | false
}

/** The targets of one server. */
export class Targets {
  readonly #settings: TargetsSettings

  constructor(settings: TargetsSettings) {
    this.#settings = settings
  }

  /** Why `config` may not be: undefined where it may. */
  problemOf(config: RotationConfig): SottoError | undefined {
    const server = serversOf(config).find((each) => !this.#settings.allowed.includes(each))
    if (server === undefined) return undefined
    return new SottoError(
      'rotation_not_allowed',
      `The settings of the server allow no rotation at ${quote(server)}`,
      { hint: `Start the server with --rotation-target ${server}` },
    )
  }

  /** How the target of `config` is reached. Rejects with `rotation_not_allowed`, and where the authorities cannot be read. */
  async reach(config: Extract<RotationConfig, { server: string }>): Promise<Reached> {
    const [reached] = await this.reachAll(config)
    return reached as Reached
  }

  /** As `reach`, each server of `config`. */
  async reachAll(config: RotationConfig): Promise<Reached[]> {
    const problem = this.problemOf(config)
    if (problem) throw problem
    return Promise.all(serversOf(config).map((server) => this.#reach(server)))
  }

  async #reach(server: string): Promise<Reached> {
    const { hostname, port } = new URL(server)
    const { caFile, isLocal = isLoopbackHost } = this.#settings
    const at = { server, host: hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(port) }
    if (isLocal(hostname)) return { ...at, tls: false }
    const ca =
      caFile === undefined
        ? undefined
        : await readTextFile(caFile, 'CA file', {
            pem: true,
            code: 'rotation_unavailable',
          })
    return { ...at, tls: ca === undefined ? {} : { ca } }
  }
}

/** The logins that `config` changes, each with where it is. */
export function loginsOf(config: RotationConfig): readonly string[] {
  switch (config.kind) {
    case 'generated':
    case 'manual':
      return []
    case 'postgres-pair':
      return config.logins.map((login) => `${config.server} ${login}`)
    case 'postgres-single':
      return [`${config.server} ${config.login}`]
    case 'valkey-acl':
      break
  }
  return config.servers.map((server) => `${server} ${config.user}`)
}

function serversOf(config: RotationConfig): readonly string[] {
  if ('servers' in config) return config.servers
  return 'server' in config ? [config.server] : []
}
