/** The operator's log: what a line has, and how urgent it is. Where lines go, and how they look, is for who runs the server. */

/** How urgent a line is. */
export type Level = keyof Logger

/** What a line has in addition to its message, where it has that. Never a value of a secret. */
export interface LogFields {
  /** What to do about it. */
  readonly hint?: string | undefined
  /** Of an error: its code. */
  readonly code?: string | undefined
  /** The request that it is about. */
  readonly requestId?: string
  /** The job that it is about. */
  readonly job?: string
  /** Where the server is reached. */
  readonly url?: string
  /** Where in the program a fault is. */
  readonly stack?: readonly string[]
}

/** Writes one line. */
export type Log = (message: string, fields?: LogFields) => void

/** Where lines for the operator go: the method is the level. */
export interface Logger {
  /** An operator must do something about it. */
  readonly error: Log
  /** Something does not work as it should, and the server continues without it or tries again. */
  readonly warn: Log
  /** All is well. */
  readonly info: Log
}

/** Drops every line. */
export const silentLogger: Logger = { error: () => {}, warn: () => {}, info: () => {} }

/** A line in words. */
export function wordsOf(message: string, { hint }: LogFields = {}): string {
  return hint === undefined ? message : `${message}. ${hint}`
}
