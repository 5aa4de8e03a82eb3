/** Where a command reads and writes. Data goes to stdout, words to stderr; a test gives its own. */

import type { StopSignal } from './interrupted.ts'

/** A place to write to. */
export interface Output {
  /** Whether a person is looking. */
  readonly isTTY: boolean
  /** How many characters a line of the terminal has; absent where there is none, or it does not say. */
  readonly columns?: number | undefined
  /**
   * Resolves once everything was handed over. Rejects with the system's error when it could not be:
   * `EPIPE` when the reader is gone, `ENOSPC` when a disk is full. On a terminal, characters that it would act
   * on are shown, unless `raw`; anywhere else every byte arrives as it is.
   */
  write(data: string | Uint8Array, options?: { readonly raw?: boolean }): Promise<void>
}

/** A place to read from. */
interface Input {
  /** Whether a person types. */
  readonly isTTY: boolean
  /** The bytes up to the end, as they come. Read at most once. */
  chunks(): AsyncIterable<Uint8Array>
}

/** What a command has of the world, besides its arguments. */
export interface Io {
  readonly stdin: Input
  /** Data: what a program reads. */
  readonly stdout: Output
  /** Words: what a person reads. */
  readonly stderr: Output
  /** Milliseconds since 1970. */
  now(): number
  /** Calls `act` at each signal that asks to stop, such as Ctrl-C, instead of dying of it, until disposed of. */
  onInterrupt(act: (signal: StopSignal) => void): Disposable
}
