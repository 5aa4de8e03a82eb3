/**
 * Asks a person at the terminal. The question and the answer go by /dev/tty, so neither ends up
 * where stdin, stdout and stderr lead, and nothing of the answer is shown.
 */
import { constants, openSync } from 'node:fs'
import { ReadStream, WriteStream } from 'node:tty'
import { SottoError } from '../../client/api/errors.ts'
import { Interrupted } from './interrupted.ts'

/** Milliseconds of quiet after which what was pasted has come to its end. */
const QUIET_MS = 100
/** Milliseconds in which a process stops that is told to. */
const STOP_MS = 50

const keys = {
  interrupt: 0x03,
  end: 0x04,
  backspace: 0x08,
  tab: 0x09,
  newline: 0x0a,
  enter: 0x0d,
  eraseLine: 0x15,
  eraseWord: 0x17,
  suspend: 0x1a,
  quit: 0x1c,
  escape: 0x1b,
  delete: 0x7f,
}

/** The terminal, held until `close`: no key is shown meanwhile. */
export class Terminal {
  readonly #input: ReadStream
  readonly #output: WriteStream
  readonly #limit: number
  /** What was typed ahead of the question. */
  #pending = Buffer.alloc(0)
  #wake: (() => void) | undefined
  #ended = false
  #interrupted: Interrupted | undefined
  #question = ''

  /** Takes the terminal; an answer may have `limit` bytes. Throws `local` where there is none. */
  constructor(limit: number) {
    this.#limit = limit
    try {
      const flags = constants.O_RDWR | constants.O_NOCTTY
      this.#input = new ReadStream(openSync('/dev/tty', flags))
      this.#output = new WriteStream(openSync('/dev/tty', flags))
    } catch {
      const hint = 'Pipe the value in or use --from-file.'
      throw new SottoError('local', 'Cannot ask for the value: there is no terminal', { hint })
    }
    this.#input.setRawMode(true)
    this.#input.on('data', (chunk: Buffer) => {
      this.#pending = Buffer.concat([this.#pending, chunk])
      this.#wake?.()
    })
    const ended = () => {
      this.#ended = true
      this.#wake?.()
    }
    this.#input.on('end', ended).on('error', ended)
    process.on('SIGCONT', this.#resume)
  }

  /**
   * Shows `question` and resolves with the line that is typed after it, without its end. Throws
   * Interrupted on Ctrl-C or after `interrupt`, and `local` when the terminal goes away, on Ctrl-D,
   * and for answers that are too long, hold control characters such as arrow keys, or have more than
   * one line.
   */
  async ask(question: string): Promise<Uint8Array> {
    this.#question = question
    this.#output.write(question)
    try {
      return await this.#readLine()
    } finally {
      this.#output.write('\n')
    }
  }

  /** Throws away what still comes, such as the rest of a paste that the shell would run. */
  async discard(): Promise<void> {
    do {
      this.#pending = Buffer.alloc(0)
      await this.#more(QUIET_MS)
    } while (this.#pending.length > 0 && !this.#ended)
  }

  /** Ends the question that is asked with `reason`. */
  interrupt(reason: Interrupted): void {
    this.#interrupted = reason
    this.#wake?.()
  }

  /** Gives the terminal back as it was. */
  close(): void {
    process.off('SIGCONT', this.#resume)
    if (!this.#input.destroyed && !this.#ended) this.#input.setRawMode(false)
    this.#input.destroy()
    this.#output.destroy()
  }

  async #readLine(): Promise<Uint8Array> {
    const line: number[] = []
    for (;;) {
      const key = await this.#key()
      if (key === keys.enter || key === keys.newline) break
      if (key === keys.interrupt || key === keys.quit) throw new Interrupted('SIGINT')
      if (key === undefined || key === keys.end) throw refusal('the terminal gave no answer')
      if (key === keys.backspace || key === keys.delete) eraseCharacter(line)
      else if (key === keys.eraseLine) line.length = 0
      else if (key === keys.suspend) {
        line.length = 0
        this.#suspend()
      } else if (key === keys.eraseWord) eraseWord(line)
      else if (key < 0x20 && key !== keys.tab) {
        throw refusal('the answer has a control character, as arrow keys make them')
      } else line.push(key)
      if (line.length > this.#limit) throw refusal(`the answer has more than ${this.#limit} bytes`)
    }
    // A paste of several lines would answer the next question, and then the shell's.
    if (this.#pending.length > 0 && !this.#pending.equals(Buffer.from('\n'))) {
      throw refusal('the answer has more than one line')
    }
    this.#pending = Buffer.alloc(0)
    return Uint8Array.from(line)
  }

  async #key(): Promise<number | undefined> {
    while (this.#pending.length === 0 && !this.#ended && !this.#interrupted) await this.#more()
    if (this.#interrupted) throw this.#interrupted
    const key = this.#pending[0]
    this.#pending = this.#pending.subarray(1)
    return key
  }

  /** Ctrl-Z: the shell gets the terminal back as it was, and this program and those in its pipe stop. */
  #suspend(): void {
    process.off('SIGCONT', this.#resume)
    this.#input.setRawMode(false)
    process.kill(0, 'SIGTSTP')
    // It stops within this time, and goes on when the shell says so; where no shell controls it, at once.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, STOP_MS)
    this.#askAgain()
    process.on('SIGCONT', this.#resume)
  }

  /** Somebody else had it stop. A shell may have set the terminal; Node does not set a mode that it has set before. */
  readonly #resume = (): void => {
    this.#input.setRawMode(false)
    // Nobody knows any more what was typed.
    this.#pending = Buffer.of(keys.eraseLine)
    this.#askAgain()
    this.#wake?.()
  }

  #askAgain(): void {
    this.#input.setRawMode(true)
    this.#output.write(`\r${this.#question}`)
  }

  /** Resolves when more was typed, the terminal went away, or `quietMs` passed. */
  #more(quietMs?: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = quietMs === undefined ? undefined : setTimeout(() => this.#wake?.(), quietMs)
      this.#wake = () => {
        clearTimeout(timer)
        this.#wake = undefined
        resolve()
      }
    })
  }
}

function refusal(reason: string): SottoError {
  const hint = 'Pipe the value in or use --from-file.'
  return new SottoError('local', `Cannot take the value: ${reason}`, { hint })
}

/** Bytes 10xxxxxx belong to the character that began before them. */
function eraseCharacter(line: number[]): void {
  while (((line.pop() ?? 0) & 0xc0) === 0x80);
}

function eraseWord(line: number[]): void {
  while (line.at(-1) === 0x20) line.pop()
  while (line.length > 0 && line.at(-1) !== 0x20) line.pop()
}
