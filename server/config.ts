/** The settings of the server: one table that makes the parser, the help and the docs. */
import { parseArgs } from 'node:util'
import { quote, SottoError } from '../client/api/errors.ts'
import type { Address } from './http/bind.ts'

/** One setting. A flag on the command line goes before the environment. */
export interface Setting {
  /** The flag, without its dashes. */
  readonly flag: string
  /** Environment variables, the first one set counts. None for settings of one run. */
  readonly env: readonly string[]
  /** What a value looks like, for help; undefined for a switch. */
  readonly value: string | undefined
  readonly verbs: readonly ('server' | 'init')[]
  readonly help: string
}

/** Every setting, in the order in which help shows them. */
const settings: readonly Setting[] = [
  {
    flag: 'dev',
    env: [],
    value: undefined,
    verbs: ['server'],
    help: 'Serve a development tailnet on loopback. Not for production.',
  },
  {
    flag: 'tailnet',
    env: ['SOTTO_TAILNET'],
    value: 'FILE',
    verbs: ['server'],
    help: 'With --dev: the callers and their rules. Without it 127.0.0.1 may do everything.',
  },
  {
    flag: 'state-dir',
    env: ['SOTTO_STATE_DIR', 'SETEC_STATE_DIR'],
    value: 'DIR',
    verbs: ['server', 'init'],
    help: 'Where the store and the audit log are. With --dev alone: a temporary directory.',
  },
  {
    flag: 'key-file',
    env: ['SOTTO_KEY_FILE'],
    value: 'FILE',
    verbs: ['server', 'init'],
    help: 'The local key that the store is sealed under. Default: local.key in the state directory.',
  },
  {
    flag: 'listen',
    env: ['SOTTO_LISTEN'],
    value: 'HOST:PORT',
    verbs: ['server'],
    help: 'Where to listen; port 0 lets the system choose. Default: 127.0.0.1:0.',
  },
]

/** What `sotto server` runs with. */
export interface ServerConfig {
  readonly dev: boolean
  /** Undefined: the default development tailnet. */
  readonly tailnet: string | undefined
  /** Undefined, with `dev` only: a temporary directory that goes with the process. */
  readonly stateDir: string | undefined
  /** Undefined: `local.key` in the state directory. */
  readonly keyFile: string | undefined
  readonly listen: Address
}

/** What `sotto init` runs with. */
export interface InitConfig {
  readonly stateDir: string
  readonly keyFile: string | undefined
}

/** The environment, as Node gives it. */
export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Reads the settings of `sotto server`. Throws `usage` for what does not fit, and `unsafe` where the
 * environment would make Node print what passes through it.
 */
export function readServerConfig(args: readonly string[], env: Environment): ServerConfig {
  if (env['NODE_DEBUG']) {
    throw new SottoError('unsafe', 'NODE_DEBUG is set: Node would print parts of requests', {
      hint: 'Start the server without it.',
    })
  }
  const { dev, values } = read('server', args, env)
  const stateDir = values.get('state-dir')
  const tailnet = values.get('tailnet')
  if (!dev && stateDir === undefined) {
    throw new SottoError('usage', 'sotto server needs --state-dir', {
      hint: 'Make a store with `sotto init --state-dir DIR`, or try Sotto with `sotto server --dev`.',
    })
  }
  if (!dev && tailnet !== undefined) {
    throw new SottoError('usage', '--tailnet goes with --dev alone', {
      hint: 'A development tailnet never decides who is calling in production.',
    })
  }
  const listen = parseAddress(values.get('listen') ?? '127.0.0.1:0')
  return { dev, tailnet, stateDir, keyFile: values.get('key-file'), listen }
}

/** Reads the settings of `sotto init`. Throws `usage` for what does not fit. */
export function readInitConfig(args: readonly string[], env: Environment): InitConfig {
  const { values } = read('init', args, env)
  const stateDir = values.get('state-dir')
  if (stateDir === undefined) throw new SottoError('usage', 'sotto init needs --state-dir')
  return { stateDir, keyFile: values.get('key-file') }
}

/** The settings of `verb`, as lines for help. */
export function settingsHelp(verb: 'server' | 'init'): string {
  return settings
    .filter(({ verbs }) => verbs.includes(verb))
    .map(({ flag, env, value, help }) => {
      const names = [`--${flag}${value ? ` ${value}` : ''}`, ...env.map((name) => `$${name}`)]
      return `  ${names.join(', ')}\n      ${help}\n`
    })
    .join('')
}

function read(verb: 'server' | 'init', args: readonly string[], env: Environment) {
  const mine = settings.filter(({ verbs }) => verbs.includes(verb))
  const flags = parseFlags(verb, mine, args)
  const values = new Map<string, string>()
  for (const { flag, env: names } of mine) {
    const fromEnv = names.map((name) => env[name]).find((value) => value)
    const value = flags[flag] ?? fromEnv
    if (typeof value === 'string') values.set(flag, value)
  }
  return { dev: flags['dev'] === true, values }
}

function parseFlags(verb: string, mine: readonly Setting[], args: readonly string[]) {
  try {
    return parseArgs({
      // Go's flags have one dash or two.
      args: args.map((arg) => arg.replace(/^-(?=[a-z][a-z-])/, '--')),
      options: Object.fromEntries(
        mine.map(({ flag, value }) => [flag, { type: value ? 'string' : 'boolean' } as const]),
      ),
      strict: true,
    }).values
  } catch (cause) {
    const reason = cause instanceof Error ? (cause.message.split('. ')[0] ?? '') : ''
    throw new SottoError('usage', `sotto ${verb}: ${reason}`, {
      hint: `See \`sotto help ${verb}\`.`,
    })
  }
}

function parseAddress(text: string): Address {
  const found = /^(?:\[([0-9a-f:]+)\]|([^:[\]]+)):(\d{1,5})$/i.exec(text)
  const host = found?.[1] ?? found?.[2]
  const port = Number(found?.[3])
  if (host === undefined || port > 65_535) {
    throw new SottoError('usage', `${quote(text)} is not an address such as 127.0.0.1:8080`)
  }
  return { host, port }
}
