/** What a command is. */
import type { Flags } from './arguments.ts'
import type { Environment, Invocation } from './invocation.ts'
import type { Io } from './io.ts'

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
  readonly flags: Flags
  /** Whether it takes a secret value, which people may type where it does not belong. */
  readonly takesValue?: boolean
  /** Resolves with what it does, loaded only now, and with the exit code where that is not 0. */
  readonly load: () => Promise<(invocation: Invocation) => Promise<number | void>>
}

/** A command that reads its own arguments. */
export interface RawCommand {
  readonly name: string
  readonly summary: string
  readonly load: () => Promise<
    (args: readonly string[], env: Environment, io: Io) => Promise<number>
  >
}
