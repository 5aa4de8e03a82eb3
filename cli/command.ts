/** What a command is. */
import type { RawVerb } from '../server/config/settings/setting.ts'
import type { Flags } from './arguments.ts'
import type { Environment } from '../client/api/given.ts'
import type { Invocation } from './invocation.ts'
import type { Io } from './terminal/io.ts'

/** The exit code of a command that found what it looked for: a difference, or a fault in a file. */
export const FOUND = 9

/** One command. */
export interface Command {
  /** One word or two. */
  readonly name: string
  /**
   * Names of its arguments, in order; those that may be left out are in brackets and come last, and then perhaps one
   * that may be given many times, as in `[PREFIX …]`.
   */
  readonly args: readonly string[]
  /** One sentence. */
  readonly summary: string
  /** What else there is to know; paragraphs. */
  readonly details?: string
  readonly flags?: Flags
  /** Advice for flags of another program, whose users may give them. */
  readonly instead?: Readonly<Record<string, string>>
  /** Whether it takes a secret value, which people may type where it does not belong. */
  readonly takesValue?: boolean
  /** For one that runs another program, whose words its own are: the exit code of failures before that runs. */
  readonly failureExit?: number
  /** Resolves with what it does, loaded only now, and with the exit code where that is not 0. */
  readonly load: () => Promise<
    (invocation: Invocation, table: CommandTable) => Promise<number | void>
  >
}

/** A command that reads its own arguments. */
export interface RawCommand {
  readonly name: string
  readonly summary: string
  /** The command whose flags it takes, where it is another one. */
  readonly like?: RawVerb
  /** Says by itself which variables of the environment are misspelt. */
  readonly ownNotes?: true
  readonly load: () => Promise<
    (args: readonly string[], env: Environment, io: Io, table: CommandTable) => Promise<number>
  >
}

/** Flags that many commands share, by the name of their page of help. */
export type SharedFlags = Readonly<
  Record<string, { readonly summary: string; readonly details: string; readonly flags: Flags }>
>

/** Commands that belong together, in help. */
export interface CommandGroup {
  readonly title: string
  /** Their names. Of commands of two words the first word stands for all of them, with a summary of its own. */
  readonly commands: readonly (string | readonly [group: string, summary: string])[]
}

/** All commands. Parsing, help, shell completion and docs/reference/cli.md are made from it. */
export interface CommandTable {
  /** The commands of the server's own machine. */
  readonly raw: readonly RawCommand[]
  /** How the short help arranges all of them. */
  readonly groups: readonly CommandGroup[]
  /** Resolves with the flags that commands of operators share. */
  shared(): Promise<SharedFlags>
  /** Flags that every command but those knows. They may also stand before the command. */
  readonly globalFlags: Flags
  /** Resolves with every command that is read by the table, in the order of help. */
  all(): Promise<readonly Command[]>
  /** Resolves with the command of that name, of either kind. Only for an operator's all are loaded. */
  named(name: string): Promise<Command | RawCommand | undefined>
  /** Resolves with the names of all commands, in the order of help. */
  names(): Promise<string[]>
}

/** Whether an argument may be given many times. */
export function repeats(arg: string | undefined): boolean {
  return arg?.includes('…') ?? false
}

/** The bare name of the argument that the word at `at` is; undefined where there is none. */
export function placeholderAt(args: readonly string[], at: number): string | undefined {
  const last = args.at(-1)
  return (args[at] ?? (repeats(last) ? last : undefined))?.replaceAll(/[[\] …]/g, '')
}
