/** What the commands of the server's own machine run with, read from their flags and the environment. */
import { quote, SottoError } from '../../client/api/errors.ts'
import { type BackendsConfig, backendsConfig } from './backends.ts'
import type { BackupPlace } from '../backup/targets/target.ts'
import { type BackupsConfig, readBackups, readPlace } from './backups.ts'
import { type Address, refuseWildcard } from '../http/bind.ts'
import type { Tls } from '../http/certificates/tls.ts'
import { defaultCapabilities } from '../identity/tailscale/rules.ts'
import { tailscaledSocket } from '../identity/tailscale/socket.ts'
import { type KeysAtHand, keysAtHand } from './keys.ts'
import { type Environment, readSettings, withEnvironment } from './settings/given.ts'
import type { SettingValues } from './settings/setting.ts'

/** What `sotto server` runs with. */
export type ServerConfig = DevelopmentConfig | TailnetConfig

/** A server for trying things on loopback. */
export interface DevelopmentConfig extends KeysAtHand, BackendsConfig {
  readonly dev: true
  /** Undefined: the default development tailnet. */
  readonly tailnet: string | undefined
  /** Undefined: a temporary directory that is deleted with the process. */
  readonly stateDir: string | undefined
  /** Absent: none are made. */
  readonly backups?: BackupsConfig
  readonly listen: Address
}

/** A server on a tailnet. */
export interface TailnetConfig extends KeysAtHand, BackendsConfig {
  readonly dev: false
  readonly stateDir: string
  /** Absent: none are made. */
  readonly backups?: BackupsConfig
  readonly tailscaled: TailscaledConfig
  readonly door: Door
}

/** How callers are named. */
export interface TailscaledConfig {
  /** Path of the LocalAPI's socket. */
  readonly socket: string
  /** Names of the capability that holds rules; the first that has any counts. */
  readonly capabilities: readonly string[]
  /** Addresses of Tailscale Services. */
  readonly services: readonly string[]
  /** Undefined: however old the policy is, it counts. In milliseconds. */
  readonly staleAfterMs: number | undefined
  readonly userspace: boolean
}

/** Where callers come in. */
export type Door =
  | {
      readonly kind: 'addresses'
      /** Undefined: every tailnet address of the node. */
      readonly host: string | undefined
      readonly port: number
      readonly tls: Tls
    }
  /** A unix socket behind `tailscale serve`. */
  | { readonly kind: 'socket'; readonly path: string }

/** What the commands that change the keys of a store run with. */
export interface KeysConfig extends KeysAtHand {
  readonly stateDir: string
}

/**
 * What `sotto init` runs with. The store is sealed under each key service that is named, and under a local
 * key where a file is named, or nothing else is.
 */
export type InitConfig = Omit<KeysConfig, 'recoveryIdentity'>

/**
 * Reads the settings of `sotto server`. Throws `usage` for what does not fit, and `unsafe` for a
 * wildcard address and where the environment would make Node print what passes through it.
 */
export function readServerConfig(args: readonly string[], env: Environment): ServerConfig {
  if (env['NODE_DEBUG']) {
    throw new SottoError('unsafe', 'NODE_DEBUG is set: Node would print parts of requests', {
      hint: 'Start the server without it.',
    })
  }
  const given = readSettings('server', args, env)
  return given.on('dev') ? developmentConfig(given) : tailnetConfig(given)
}

/** What `sotto doctor` looks at. */
export interface DoctorConfig extends Omit<TailnetConfig, 'dev' | 'stateDir'> {
  /** Undefined: the state directory is not looked at. */
  readonly stateDir: string | undefined
  /** A tailnet address to ask about. */
  readonly peer: string | undefined
  readonly json: boolean
}

/** Reads the settings of `sotto doctor`, which are those of the server. Throws `usage`. */
export function readDoctorConfig(args: readonly string[], env: Environment): DoctorConfig {
  const given = readSettings('doctor', args, env)
  const output = given.value('output') ?? 'text'
  if (output !== 'text' && output !== 'json') {
    throw new SottoError('usage', `Cannot print as ${quote(output)}: --output is text or json`)
  }
  return {
    stateDir: given.value('state-dir'),
    ...keysAtHand(given),
    tailscaled: tailscaledConfig(given),
    door: doorOf(given),
    peer: given.value('peer'),
    json: output === 'json',
  }
}

/** Reads the settings of `sotto init`. Throws `usage` for what does not fit. */
export function readInitConfig(args: readonly string[], env: Environment): InitConfig {
  const given = readSettings('init', args, env)
  const stateDir = given.value('state-dir')
  if (stateDir === undefined) throw new SottoError('usage', 'sotto init needs --state-dir')
  return { stateDir, ...keysAtHand(given) }
}

/**
 * Fills in from the environment which store the key commands work on, and which keys are available.
 * `flags` are those of the command. Throws `usage` without a state directory.
 */
export function readKeysConfig(flags: SettingValues, env: Environment): KeysConfig {
  const { stateDir, ...openers } = readOpenersConfig(flags, env)
  if (stateDir !== undefined) return { stateDir, ...openers }
  throw new SottoError('usage', 'No state directory is named', {
    hint: 'Use --state-dir DIR, or set SOTTO_STATE_DIR. This is done where the store is, with no server running.',
  })
}

/** The available keys for something that is not in a state directory, such as a backup. */
export interface OpenersConfig extends KeysAtHand {
  /** Undefined: none is named. Its `local.key` is used if no key file is named. */
  readonly stateDir: string | undefined
}

/** As `readKeysConfig`, where no state directory is needed. Throws `usage` for what does not fit. */
export function readOpenersConfig(flags: SettingValues, env: Environment): OpenersConfig {
  const given = withEnvironment(flags, env)
  return { stateDir: given.value('state-dir'), ...keysAtHand(given) }
}

/**
 * The place that a command names as `where`; how a bucket is reached is filled in from the environment.
 * `flags` are those of the command. Throws `usage` for what does not fit.
 */
export function readBackupPlace(
  where: string,
  flags: SettingValues,
  env: Environment,
): BackupPlace {
  // What the environment says of a bucket is not for a directory.
  return readPlace(where, where.startsWith('s3:') ? withEnvironment(flags, env) : flags)
}

function developmentConfig(given: SettingValues): DevelopmentConfig {
  const odd = [
    'kms-key',
    'transit-key',
    'tls-cert',
    'plain-http',
    'serve-socket',
    'userspace',
    'stale-after',
  ].find((flag) => given.value(flag) !== undefined || given.on(flag))
  if (odd !== undefined) {
    throw new SottoError('usage', `--${odd} does not go with --dev`, {
      hint: 'A development server speaks plain HTTP on loopback and asks no tailscaled.',
    })
  }
  const { host = '127.0.0.1', port } = parseAddress(given.value('listen') ?? '127.0.0.1:0')
  return {
    dev: true,
    tailnet: given.value('tailnet'),
    stateDir: given.value('state-dir'),
    ...keysAtHand(given),
    ...backendsConfig(given),
    ...backupsOf(given),
    listen: { host, port },
  }
}

function tailnetConfig(given: SettingValues): TailnetConfig {
  const stateDir = given.value('state-dir')
  if (stateDir === undefined) {
    throw new SottoError('usage', 'sotto server needs --state-dir', {
      hint: 'Make a store with `sotto init --state-dir DIR`, or try Sotto with `sotto server --dev`.',
    })
  }
  if (given.value('tailnet') !== undefined) {
    throw new SottoError('usage', '--tailnet goes with --dev alone', {
      hint: 'A development tailnet never decides who is calling in production.',
    })
  }
  return {
    dev: false,
    stateDir,
    ...keysAtHand(given),
    ...backendsConfig(given),
    ...backupsOf(given),
    tailscaled: tailscaledConfig(given),
    door: doorOf(given),
  }
}

function backupsOf(given: SettingValues): { backups?: BackupsConfig } {
  const backups = readBackups(given)
  return backups === undefined ? {} : { backups }
}

function tailscaledConfig({ value, on }: SettingValues): TailscaledConfig {
  const capability = value('capability')
  const staleAfter = value('stale-after')
  return {
    socket: value('tailscaled-socket') ?? tailscaledSocket(),
    capabilities: capability === undefined ? defaultCapabilities : [capability],
    services: value('service-address')?.split(',') ?? [],
    staleAfterMs: staleAfter === undefined ? undefined : parseTime('stale-after', staleAfter),
    userspace: on('userspace'),
  }
}

function doorOf({ value, on }: SettingValues): Door {
  const path = value('serve-socket')
  const certificate = value('tls-cert')
  const key = value('tls-key')
  const plain = on('plain-http')
  if ((certificate === undefined) !== (key === undefined)) {
    throw new SottoError('usage', '--tls-cert and --tls-key go together')
  }
  if (plain && certificate !== undefined) {
    throw new SottoError('usage', '--plain-http does not go with --tls-cert')
  }
  if (path !== undefined) {
    const odd = ['listen', 'tls-cert', 'service-address'].find((flag) => value(flag) !== undefined)
    if (odd === undefined && !plain && !on('userspace')) return { kind: 'socket', path }
    const flag = odd ?? (plain ? 'plain-http' : 'userspace')
    throw new SottoError('usage', `--${flag} does not go with --serve-socket`, {
      hint: 'Behind `tailscale serve`, tailscaled listens and has the certificate.',
    })
  }
  const { host, port } = parseAddress(value('listen') ?? (plain ? ':80' : ':443'))
  if (host !== undefined) refuseWildcard(host)
  const own = certificate !== undefined && key !== undefined ? { certificate, key } : 'tailnet'
  return { kind: 'addresses', host, port, tls: plain ? 'none' : own }
}

/** An address to listen on; without a host where the text has none. Throws `usage`. */
function parseAddress(text: string): { host: string | undefined; port: number } {
  const found = /^(?:\[([0-9a-f:]+)\]|([^:[\]]*)):(\d{1,5})$/i.exec(text)
  const host = found?.[1] ?? found?.[2]
  const port = Number(found?.[3])
  if (host === undefined || port > 65_535) {
    throw new SottoError('usage', `${quote(text)} is not an address such as :443 or 127.0.0.1:8080`)
  }
  return { host: host === '' ? undefined : host, port }
}

/** A length of time in milliseconds. Throws `usage`. */
function parseTime(flag: string, text: string): number {
  const [, count, unit] = /^(\d{1,6})(s|m|h|d)$/.exec(text) ?? []
  const ms = Number(count) * ({ s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[unit ?? ''] ?? 0)
  if (ms > 0) return ms
  throw new SottoError(
    'usage',
    `Cannot use ${quote(text)} as --${flag}: it is not a time such as 10m`,
  )
}
