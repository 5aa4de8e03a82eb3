/** A command was asked to stop: the exit code says by which signal, as of a program that dies of it, and nothing more is said. */

/** The signals that ask a program to stop, with their numbers. */
export const stopSignals = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGTERM: 15 } as const

export type StopSignal = keyof typeof stopSignals

/** Ends a command; Ctrl-C is SIGINT. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
  readonly exit: number

  constructor(signal: StopSignal) {
    super('Interrupted')
    this.exit = 128 + stopSignals[signal]
  }
}
