/** Settings as they were given: by flags, which go before the environment. */
import { parseArgs } from 'node:util'
import { SottoError } from '../../../client/api/errors.ts'
import type { RawVerb, Setting, SettingValues } from './setting.ts'
import { setecFlags, settings } from './table.ts'

/** The environment, as Node gives it. */
export type Environment = Readonly<Record<string, string | undefined>>

/** Reads the settings of `verb`. Throws `usage` for what does not fit. */
export function readSettings(
  verb: RawVerb,
  args: readonly string[],
  env: Environment,
): SettingValues {
  const mine = settings.filter(({ verbs }) => verbs.includes(verb))
  const flags = parseFlags(verb, mine, args)
  const values = new Map<string, string>()
  const on = new Set<string>()
  for (const { flag, setec = flag, env: names, value } of mine) {
    const name = names.find((each) => env[each])
    const given = flags[flag] ?? flags[setec] ?? (name && env[name])
    if (given === undefined) continue
    if (value !== undefined) values.set(flag, String(given))
    else if (given === true || isYes(name ?? '', String(given))) on.add(flag)
  }
  return { value: (flag) => values.get(flag), on: (flag) => on.has(flag) }
}

/** `flags`, and what the environment gives where they give nothing. Its `on` throws `usage`. */
export function withEnvironment(flags: SettingValues, env: Environment): SettingValues {
  const variable = (flag: string): string | undefined =>
    (settings.find((setting) => setting.flag === flag)?.env ?? []).find((name) => env[name])
  return {
    value: (flag) => flags.value(flag) ?? env[variable(flag) ?? ''],
    on: (flag) => {
      const name = variable(flag)
      return flags.on(flag) || (name !== undefined && isYes(name, env[name] ?? ''))
    },
  }
}

/** What to say of variables of setec's server that are set, and that nothing here reads. */
export function setecNotes(env: Environment): string[] {
  return Object.entries(setecFlags).flatMap(([flag, advice]) => {
    const name = `SETEC_${flag.replaceAll('-', '_').toUpperCase()}`
    return env[name] ? [`${name} is set, and is not used here. ${advice}`] : []
  })
}

function isYes(name: string, text: string): boolean {
  if (/^(?:1|true|yes|on)$/i.test(text)) return true
  if (/^(?:0|false|no|off)$/i.test(text)) return false
  throw new SottoError('usage', `Cannot read $${name}: it is neither true nor false`)
}

function parseFlags(verb: string, mine: readonly Setting[], args: readonly string[]) {
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
    const reason = cause instanceof Error ? (cause.message.split('. ')[0] ?? '') : ''
    const setec = Object.keys(setecFlags).find((flag) => reason.includes(`'--${flag}'`))
    throw new SottoError('usage', `sotto ${verb}: ${reason}`, {
      hint: (setec && setecFlags[setec]) ?? `See \`sotto help ${verb}\`.`,
    })
  }
}
