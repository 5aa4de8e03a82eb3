/** What a command is. */
import type { Flags } from './arguments.ts'
import type { Environment, Invocation } from './invocation.ts'
import type { Io } from './terminal/io.ts'

/** One command. */
export interface Command {
  /** One word or two. */
  readonly name: string
  /** Names of its arguments, in order; those that may be left out are in brackets and come last. */
  readonly args: readonly string[]
  /** One sentence. */
  readonly summary: string
  /** What else there is to know; paragraphs. */
  readonly details?: string
  readonly flags?: Flags
  /** Whether it takes a secret value, which people may type where it does not belong. */
  readonly takesValue?: boolean
  /** Resolves with what it does, loaded only now, and with the exit code where that is not 0. */
  readonly load: () => Promise<
    (invocation: Invocation, table: CommandTable) => Promise<number | void>
  >
}

/** A command that reads its own arguments. */
export interface RawCommand {
  readonly name: string
  readonly summary: string
  readonly load: () => Promise<
    (args: readonly string[], env: Environment, io: Io, table: CommandTable) => Promise<number>
  >
}

/** All commands. Parsing, help, shell completion and docs/cli.md are made from it. */
export interface CommandTable {
  /** The commands of the server's own machine. */
  readonly raw: readonly RawCommand[]
  /** Flags that every command but those knows. They may also stand before the command. */
  readonly globalFlags: Flags
  /** Resolves with every command that is read by the table, in the order of help. */
  all(): Promise<readonly Command[]>
  /** Resolves with the command of that name, of either kind. Only for an operator's all are loaded. */
  named(name: string): Promise<Command | RawCommand | undefined>
  /** Resolves with the names of all commands, in the order of help. */
  names(): Promise<string[]>
}
