/** Settings as they were given: by flags, which go before the environment, which goes before the configuration file. */
import { parseArgs } from 'node:util'
import { quote, SottoError } from '../../../client/api/errors.ts'
import { type Environment, given, type Variable, variableIn } from '../../../client/api/given.ts'
import { nearest } from '../../../client/api/nearest.ts'
import { type ConfigFile, findConfigFile } from './file.ts'
import {
  type RawVerb,
  readSwitch,
  type Setting,
  type SettingValues,
  type Typed,
} from './setting.ts'
import { setecFlags, settings } from './table.ts'

/** Where a setting was given. */
export type Source =
  | { readonly kind: 'flag' }
  | { readonly kind: 'environment'; readonly variable: string }
  | { readonly kind: 'file'; readonly path: string; readonly line: number }

/** The values that settings have, and where each was given. */
export interface Given extends SettingValues {
  readonly source: (flag: string) => Source | undefined
  /** The configuration file; undefined where none is read. */
  readonly file: () => ConfigFile | undefined
}

/** How settings are read. */
interface ReadOptions {
  /** The configuration file where none is named. */
  readonly usual?: string
  /** The command that was typed, where it reads the settings of another. */
  readonly command?: string
}

/** Reads the settings of `verb`. Throws `usage` for what does not fit, in any of them, and as `findConfigFile`. */
export function readSettings(
  verb: RawVerb,
  args: readonly string[],
  env: Environment,
  { usual, command = verb }: ReadOptions = {},
): Given {
  const mine = settings.filter(({ verbs }) => verbs.includes(verb))
  const flags = parseFlags(command, mine, args)
  const typed: Typed = (flag) => flags.get(flag)
  if (typed('dev') === true && typed('config') !== undefined) {
    throw new SottoError('usage', '--config does not go with --dev', {
      hint: 'A development server takes nothing from a configuration file: what is there is for production.',
    })
  }
  const settled =
    typed('dev') === true ? withoutFile(typed, env, mine) : withFile(typed, env, mine, usual)
  for (const { flag } of mine) settled.source(flag)
  return settled
}

/** What `typed`, the environment and the configuration file give. Its functions throw as `readSettings`. */
export function allSettings(typed: Typed, env: Environment, usual?: string): Given {
  return withFile(typed, env, settings, usual)
}

/**
 * Runs `read` on what was given. Where it refuses what the configuration file has, the error names the place in the
 * file instead of a flag.
 */
export function reading<T>(from: Given, read: (given: Given) => T): T {
  try {
    return read(from)
  } catch (error) {
    if (!(error instanceof SottoError)) throw error
    const message = error.message.replaceAll(/--([a-z][a-z-]*)/g, (flag, name: string) => {
      const source = from.source(name)
      return source?.kind === 'file'
        ? `${name} (line ${source.line} of ${quote(source.path)})`
        : flag
    })
    if (message === error.message) throw error
    throw new SottoError(error.code, message, { hint: error.hint, cause: error.cause })
  }
}

function withFile(typed: Typed, env: Environment, mine: readonly Setting[], usual?: string): Given {
  let read: { readonly file: ConfigFile | undefined } | undefined
  const named = typed('config')
  return settledOf(typed, env, mine, () => {
    read ??= { file: findConfigFile(typeof named === 'string' ? named : undefined, env, usual) }
    return read.file
  })
}

function withoutFile(typed: Typed, env: Environment, mine: readonly Setting[]): Given {
  return settledOf(typed, env, mine, () => undefined)
}

function settledOf(
  typed: Typed,
  env: Environment,
  mine: readonly Setting[],
  file: () => ConfigFile | undefined,
): Given {
  const find = (flag: string): { value: string | boolean; source: Source } | undefined => {
    const setting = mine.find((each) => each.flag === flag)
    const value = typed(flag)
    if (value !== undefined) return { value, source: { kind: 'flag' } }
    if (!setting) return undefined
    const variable = variableIn(env, setting.env, setting.value)
    if (variable) {
      const source = { kind: 'environment', variable: variable.name } as const
      return { value: setting.value === undefined ? isYes(variable) : variable.value, source }
    }
    const { path = '', settings: found } = (setting.inFile && file()) || {}
    const there = found?.get(flag)
    return there && { value: there.value, source: { kind: 'file', path, line: there.line } }
  }
  return {
    value: (flag) => {
      const found = find(flag)?.value
      return typeof found === 'string' ? found : undefined
    },
    on: (flag) => find(flag)?.value === true,
    variable: (names) => variableIn(env, names),
    source: (flag) => find(flag)?.source,
    file,
  }
}

/** What to say of variables of setec's server that are set, and that nothing here reads. */
export function setecNotes(env: Environment): string[] {
  return Object.entries(setecFlags).flatMap(([flag, advice]) => {
    const name = `SETEC_${flag.replaceAll('-', '_').toUpperCase()}`
    return env[name] ? [`${name} is set, and is not used here. ${advice}`] : []
  })
}

function isYes({ name, value }: Variable): boolean {
  const on = readSwitch(value)
  if (on !== undefined) return on
  throw new SottoError('usage', `Cannot read $${name}: it is neither true nor false`)
}

/** What was typed for `command`, by flag. */
function parseFlags(
  command: string,
  mine: readonly Setting[],
  args: readonly string[],
): Map<string, string | boolean> {
  const found = new Map<string, string | boolean>()
  const values = parsed(
    command,
    mine,
    args.filter((arg) => !isOff(arg, mine, found)),
  )
  for (const { flag, setec = flag, value } of mine) {
    const typed = values[flag] ?? values[setec]
    if (typeof typed === 'string') found.set(flag, given(`--${flag}`, typed, value))
    else if (typed === true) found.set(flag, true)
  }
  return found
}

/** Whether `arg` turns a switch off, which is noted in `found`: a file or a variable may have it on. */
function isOff(
  arg: string,
  mine: readonly Setting[],
  found: Map<string, string | boolean>,
): boolean {
  const [, flag] = /^--?([a-z][a-z-]*)=false$/.exec(arg) ?? []
  const isSwitch = mine.some((each) => each.flag === flag && each.value === undefined)
  if (flag === undefined || !isSwitch) return false
  found.set(flag, false)
  return true
}

function parsed(command: string, mine: readonly Setting[], args: readonly string[]) {
  try {
    return parseArgs({
      // Go's flags have one dash or two; all programs print as -o says.
      args: args.map((arg) =>
        arg === '-o'
          ? '--output'
          : arg.replace(/^-(?=[a-z][a-z-])/, '--').replace(/^-o=/, '--output='),
      ),
      options: Object.fromEntries(
        mine.flatMap(({ flag, setec = flag, value }) => {
          const option = { type: value ? 'string' : 'boolean' } as const
          return [flag, setec].map((name) => [name, option] as const)
        }),
      ),
      strict: true,
    }).values
  } catch (cause) {
    throw notUnderstood(command, mine, cause instanceof Error ? cause.message : '')
  }
}

/** What Node's parser says about arguments that it does not take, in our words. */
function notUnderstood(command: string, mine: readonly Setting[], reason: string): SottoError {
  const help = `See \`sotto help ${command}\`.`
  const [, unknown] = /^Unknown option '(-[^']*)'/.exec(reason) ?? []
  if (unknown !== undefined) {
    const typed = unknown.replace(/^-+/, '')
    const meant = nearest(
      typed,
      mine.map(({ flag }) => flag),
    )
    const hint = setecFlags[typed] ?? (meant === undefined ? help : `Did you mean --${meant}?`)
    return new SottoError('usage', `There is no such flag: ${unknown}`, { hint })
  }
  const [, flag] = /^Option '(?:-\w, )?--([a-z-]+) <value>' argument/.exec(reason) ?? []
  const shape = mine.find((each) => [each.flag, each.setec].includes(flag))?.value
  const message =
    shape === undefined
      ? `sotto ${command}: ${reason.split(/\.\s/)[0] ?? ''}`
      : `The flag --${flag} needs a value: ${shape}`
  return new SottoError('usage', message, { hint: help })
}
