/** What a setting is. */

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
