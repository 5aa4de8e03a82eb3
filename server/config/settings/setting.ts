/** What a setting is, and the values that are given for settings. */
import { quote, SottoError } from '../../../client/api/errors.ts'

/** The commands that read settings. */
export type RawVerb = 'server' | 'init' | 'doctor'

/** One setting. A flag on the command line goes before the environment. */
export interface Setting {
  /** The flag, without its dashes. */
  readonly flag: string
  /** The name that setec's server has for it, where that is another. */
  readonly setec?: string
  /** Environment variables, the first one set counts. None for settings of one run. */
  readonly env: readonly string[]
  /** What a value looks like, for help; undefined for a switch. */
  readonly value: string | undefined
  readonly verbs: readonly RawVerb[]
  readonly help: string
}

/** Gives the value of a setting by its flag, undefined where it is not set; `on` for switches. */
export interface SettingValues {
  readonly value: (flag: string) => string | undefined
  readonly on: (flag: string) => boolean
}

/** The values that are set: `flags` says under which name each goes. */
export function setOf<Name extends string>(
  { value }: Pick<SettingValues, 'value'>,
  flags: Readonly<Record<Name, string>>,
): { [N in Name]?: string } {
  const found = Object.entries<string>(flags).map(([name, flag]) => [name, value(flag)] as const)
  return Object.fromEntries(found.filter(([, text]) => text !== undefined)) as {
    [N in Name]?: string
  }
}

/** Throws `usage` when the setting `flag` is set, and not to a URL of HTTP. */
export function refuseNoUrl({ value }: SettingValues, flag: string): void {
  const text = value(flag)
  if (text === undefined || /^https?:$/.test(URL.parse(text)?.protocol ?? '')) return
  throw new SottoError('usage', `Cannot use ${quote(text)} as --${flag}: it is not a URL`, {
    hint: 'It begins with https://.',
  })
}
