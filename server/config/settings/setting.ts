/** What a setting is, and the values that are given for settings. */
import type { Variable } from '../../../client/api/given.ts'

/** The commands that read settings. */
export type RawVerb = 'server' | 'init' | 'doctor'

/** One setting. A flag on the command line goes before the environment, and that before the configuration file. */
export interface Setting {
  /** The heading that help has it under. */
  readonly section: string
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
  /** Whether it may have several values, which are separated by commas. */
  readonly many?: true
  /** Whether it may be in a configuration file. Absent for settings of one run. */
  readonly inFile?: true
}

/** What was typed for a flag; a boolean for a switch, undefined where it was not typed. */
export type Typed = (flag: string) => string | boolean | undefined

/** Gives the value of a setting by its flag, undefined where it is not set; `on` for switches. */
export interface FlagValues {
  readonly value: (flag: string) => string | undefined
  readonly on: (flag: string) => boolean
}

/** The same, with the environment. */
export interface SettingValues extends FlagValues {
  /** The first of these variables of other programs that is set. Throws `usage` for one that ends in a line break. */
  readonly variable: (names: readonly string[]) => Variable | undefined
}

/** The values that are set: `flags` says under which name each goes. */
export function setOf<Name extends string>(
  { value }: FlagValues,
  flags: Readonly<Record<Name, string>>,
): { [N in Name]?: string } {
  const found = Object.entries<string>(flags).map(([name, flag]) => [name, value(flag)] as const)
  return Object.fromEntries(found.filter(([, text]) => text !== undefined)) as {
    [N in Name]?: string
  }
}

/** Whether the text of a switch says that it is on; undefined where it says neither. */
export function readSwitch(text: string): boolean | undefined {
  if (/^(?:1|true|yes|on)$/i.test(text)) return true
  return /^(?:0|false|no|off)$/i.test(text) ? false : undefined
}
