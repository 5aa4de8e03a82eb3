/** What the commands of the server's own machine run with, read from flags, environment and configuration file. */
import { quote, SottoError } from '../../client/api/errors.ts'
import type { Environment } from '../../client/api/given.ts'
import { durationOf } from '../../client/api/times.ts'
import { parseAddress } from './address.ts'
import { type BackendsConfig, backendsConfig } from './backends.ts'
import type { BackupPlace } from '../backup/targets/target.ts'
import { backupsAt, type BackupsConfig, readBackups, readPlace } from './backups.ts'
import { type Address, refuseWildcard } from '../http/bind.ts'
import type { Tls } from '../http/certificates/tls.ts'
import { defaultCapabilities } from '../identity/tailscale/rules.ts'
import { tailscaledSocket } from '../identity/tailscale/socket.ts'
import { type KeysAtHand, keysAtHand } from './keys.ts'
import { CONFIG_FILE } from './settings/file.ts'
import { allSettings, type Given, reading, readSettings } from './settings/given.ts'
import { rotationsConfig, type RotationsConfig } from './rotations.ts'
import type { SettingValues, Typed } from './settings/setting.ts'
import { vaultConfig, type WithVault } from './vault.ts'

/** What `sotto server` runs with. */
export type ServerConfig = DevelopmentConfig | TailnetConfig

/** How callers may call the server. */
interface HostsConfig {
  /** Names of its own that the network does not know, in small letters. Absent: none. */
  readonly hostNames?: readonly string[]
}

/** How many watches there may be. */
interface WatchersConfig {
  /** In all. Absent: the default. */
  readonly watchers?: number
  /** Of one node. Absent: the default. */
  readonly watchersPerNode?: number
}

/** A server for trying things on loopback. */
export interface DevelopmentConfig
  extends KeysAtHand,
    BackendsConfig,
    RotationsConfig,
    HostsConfig,
    WatchersConfig,
    WithVault {
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
export interface TailnetConfig
  extends KeysAtHand,
    BackendsConfig,
    RotationsConfig,
    HostsConfig,
    WatchersConfig,
    WithVault,
    FromFile {
  readonly dev: false
  readonly stateDir: string
  /** Absent: none are made. */
  readonly backups?: BackupsConfig
  readonly tailscaled: TailscaledConfig
  readonly door: Door
}

/** Which configuration file was read. */
interface FromFile {
  /** Absent: none. */
  readonly configFile?: { readonly path: string; readonly count: number }
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
 * Reads the settings of `sotto server`. Throws `usage` for what does not fit, `unsafe` for a wildcard address, and as
 * `findConfigFile`.
 */
export function readServerConfig(args: readonly string[], env: Environment): ServerConfig {
  return serverConfigOf(readSettings('server', args, env))
}

/** The same of what was given. */
export function serverConfigOf(from: Given): ServerConfig {
  logFormatOf(from)
  return reading(from, (given) =>
    given.on('dev') ? developmentConfig(given) : tailnetConfig(given),
  )
}

/** How lines of the log look. */
export type LogFormat = 'text' | 'json'

/** Reads how lines of the log are to look, of what was given. Throws `usage` for what it cannot be. */
export function logFormatOf(from: Given): LogFormat {
  return reading(from, ({ value }) => {
    const format = value('log-format') ?? 'text'
    if (format === 'text' || format === 'json') return format
    throw new SottoError(
      'usage',
      `Cannot use ${quote(format)} as --log-format: it is not text or json`,
    )
  })
}

/** What `sotto doctor` looks at. */
export interface DoctorConfig extends Omit<TailnetConfig, 'dev' | 'stateDir'> {
  /** Undefined: the state directory is not looked at. */
  readonly stateDir: string | undefined
  /** A tailnet address to ask about. */
  readonly peer: string | undefined
  readonly json: boolean
}

/** Reads the settings of `sotto doctor`, which are those of the server. Throws as `readServerConfig`. */
export function readDoctorConfig(args: readonly string[], env: Environment): DoctorConfig {
  return doctorConfigOf(readSettings('doctor', args, env))
}

/** The same of what was given. */
export function doctorConfigOf(from: Given): DoctorConfig {
  logFormatOf(from)
  return reading(from, (given) => {
    const output = given.value('output') ?? 'text'
    if (output !== 'text' && output !== 'json') {
      throw new SottoError('usage', `Cannot print as ${quote(output)}: --output is text or json`)
    }
    return {
      stateDir: given.value('state-dir'),
      ...serving(given),
      peer: given.value('peer'),
      json: output === 'json',
    }
  })
}

/** Reads the settings of `sotto init`. Throws `usage` for what does not fit, and as `findConfigFile`. */
export function readInitConfig(args: readonly string[], env: Environment): InitConfig {
  return reading(readSettings('init', args, env), (given) => {
    const stateDir = given.value('state-dir')
    if (stateDir !== undefined) return { stateDir, ...keysAtHand(given) }
    throw new SottoError('usage', 'sotto init needs --state-dir', {
      hint: `Such as \`sotto init --state-dir /var/lib/sotto\`, or state-dir in ${CONFIG_FILE}.`,
    })
  })
}

/**
 * Fills in which store the key commands work on, and which keys are available: `typed` are the flags of the command.
 * Throws `usage` without a state directory, and as `findConfigFile`.
 */
export function readKeysConfig(typed: Typed, env: Environment): KeysConfig {
  const { stateDir, ...openers } = readOpenersConfig(typed, env)
  if (stateDir !== undefined) return { stateDir, ...openers }
  throw new SottoError('usage', 'No state directory is named', {
    hint: `Use --state-dir DIR, set SOTTO_STATE_DIR, or write state-dir into ${CONFIG_FILE}. The command runs on the host that has the store.`,
  })
}

/** The available keys for something that is not in a state directory, such as a backup. */
export interface OpenersConfig extends KeysAtHand {
  /** Undefined: none is named. Its `local.key` is used if no key file is named. */
  readonly stateDir: string | undefined
}

/** As `readKeysConfig`, where no state directory is needed. */
export function readOpenersConfig(typed: Typed, env: Environment): OpenersConfig {
  return reading(allSettings(typed, env), (given) => ({
    stateDir: given.value('state-dir'),
    ...keysAtHand(given),
  }))
}

/** The state directory that flags, environment or configuration file name; undefined where none does. */
export function readStateDir(typed: Typed, env: Environment): string | undefined {
  return allSettings(typed, env).value('state-dir')
}

/**
 * The place that a command names as `where`, or else that settings have for backups; how a bucket is reached is filled
 * in from the settings. `typed` are the flags of the command. Throws `usage` for what does not fit, and where there is none.
 */
export function readBackupPlace(
  where: string | undefined,
  typed: Typed,
  env: Environment,
): BackupPlace {
  return reading(allSettings(typed, env), (given) => {
    const place = where ?? backupsAt(given)
    if (place === undefined) {
      throw new SottoError('usage', 'Nothing says where backups are', {
        hint: `Name a directory or s3://BUCKET/PREFIX, set SOTTO_BACKUP_TO, or write backup-to into ${CONFIG_FILE}.`,
      })
    }
    // What settings say of a bucket is not for a directory.
    return readPlace(place, place.startsWith('s3:') ? given : asTyped(typed))
  })
}

function asTyped(typed: Typed): SettingValues {
  const value = (flag: string): string | undefined => {
    const text = typed(flag)
    return typeof text === 'string' ? text : undefined
  }
  return { value, on: (flag) => typed(flag) === true, variable: () => undefined }
}

function developmentConfig(given: Given): DevelopmentConfig {
  const odd = ['tls-cert', 'plain-http', 'serve-socket', 'userspace', 'stale-after'].find(
    (flag) => given.value(flag) !== undefined || given.on(flag),
  )
  if (odd !== undefined) {
    throw new SottoError('usage', `--${odd} does not go with --dev`, {
      hint: 'A development server speaks plain HTTP on loopback and asks no tailscaled.',
    })
  }
  const { host = '127.0.0.1', port } = parseAddress(
    'listen',
    given.value('listen') ?? '127.0.0.1:0',
  )
  return {
    dev: true,
    tailnet: given.value('tailnet'),
    stateDir: given.value('state-dir'),
    ...keysAtHand(given),
    ...backendsConfig(given),
    ...rotationsConfig(given),
    ...backupsOf(given),
    ...hostsOf(given),
    ...watchersOf(given),
    ...vaultConfig(given),
    listen: { host, port },
  }
}

function tailnetConfig(given: Given): TailnetConfig {
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
  return { dev: false, stateDir, ...serving(given) }
}

/** What a server on a tailnet serves with. */
function serving(given: Given): Omit<TailnetConfig, 'dev' | 'stateDir'> {
  const file = given.file()
  return {
    ...keysAtHand(given),
    ...backendsConfig(given),
    ...rotationsConfig(given),
    ...backupsOf(given),
    ...hostsOf(given),
    ...watchersOf(given),
    ...vaultConfig(given),
    tailscaled: tailscaledConfig(given),
    door: doorOf(given),
    ...(file && { configFile: { path: file.path, count: file.settings.size } }),
  }
}

function hostsOf({ value }: SettingValues): HostsConfig {
  const hostNames = value('host-name')?.toLowerCase().split(',')
  const odd = hostNames?.find((name) => !/^[\da-z_-]+(?:\.[\da-z_-]+)*$/.test(name))
  if (odd === undefined) return hostNames === undefined ? {} : { hostNames }
  throw new SottoError('usage', `Cannot use ${quote(odd)} as --host-name: it is not a name`, {
    hint: 'Give it without a scheme, a port and a dot at its end, such as secrets.example.com.',
  })
}

/** More than there can be connections. */
const MOST_WATCHERS = 16_384

function watchersOf({ value }: SettingValues): WatchersConfig {
  const number = (flag: string): number | undefined => {
    const text = value(flag)
    if (text === undefined) return undefined
    if (/^[1-9]\d{0,4}$/.test(text) && Number(text) <= MOST_WATCHERS) return Number(text)
    throw new SottoError(
      'usage',
      `Cannot use ${quote(text)} as --${flag}: it is not a number from 1 to ${MOST_WATCHERS}`,
    )
  }
  const watchers = number('watchers')
  const watchersPerNode = number('watchers-per-node')
  return {
    ...(watchers !== undefined && { watchers }),
    ...(watchersPerNode !== undefined && { watchersPerNode }),
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
    staleAfterMs:
      staleAfter === undefined ? undefined : durationOf('stale-after', staleAfter, ['1s', '520w']),
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
  const { host, port } = parseAddress('listen', value('listen') ?? (plain ? ':80' : ':443'))
  if (host !== undefined) refuseWildcard(host, 'listen')
  const own = certificate !== undefined && key !== undefined ? { certificate, key } : 'tailnet'
  return { kind: 'addresses', host, port, tls: plain ? 'none' : own }
}
