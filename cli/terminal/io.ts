/** Where a command reads and writes. Data goes to stdout, words to stderr; a test gives its own. */

/** A place to write to. */
export interface Output {
  /** Whether a person is looking. */
  readonly isTTY: boolean
  /**
   * Resolves once everything was handed over. Rejects with the system's error when it could not be:
   * `EPIPE` when the reader is gone, `ENOSPC` when a disk is full.
   */
  write(data: string | Uint8Array): Promise<void>
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
  /** Calls `act` at each Ctrl-C or other request to end, instead of ending, until disposed of. */
  onInterrupt(act: () => void): Disposable
}
