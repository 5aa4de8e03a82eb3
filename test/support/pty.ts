/** A program on a terminal of its own, which a test types to while it runs. Needs Python, which has terminals to give. */
import { PassThrough } from 'node:stream'
import { requirePeer } from './peers.ts'
import { TestProcess } from './process.ts'

/** Copies between the terminal and its own streams; ends with the exit code of the program, in which 256 and more is a signal. */
const bridge = `
import os, pty, sys
code = os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:]))
print('ended with', code)`

/** A program on a terminal. What it prints, and what is typed to it, is the stdout of `shown`; lines end in CR LF. */
export class OnTerminal implements AsyncDisposable {
  readonly shown: TestProcess
  readonly #keys = new PassThrough()

  constructor(argv: readonly string[], env: Readonly<Record<string, string>>) {
    this.shown = new TestProcess(requirePeer('python3'), ['-c', bridge, ...argv], {
      // Shells would move the cursor about.
      env: { TERM: 'dumb', ...env },
      input: this.#keys,
    })
  }

  /** Types keys: `\x03` is Ctrl-C. */
  type(keys: string): void {
    this.#keys.write(keys)
  }

  /** Resolves with the exit code of the program, or the negative number of its signal. */
  async ended(): Promise<number> {
    const [, code] = await this.shown.line(/ended with (-?\d+)/)
    return Number(code)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#keys.destroy()
    await this.shown[Symbol.asyncDispose]()
  }
}
