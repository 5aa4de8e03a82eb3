/** Has a person edit a text, in a file that nobody else can read and that does not outlive this. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { quote, SottoError } from '../client/api/errors.ts'
import { type Environment, variableIn } from '../client/api/given.ts'
import { refuseForeign } from '../client/platform/owned.ts'
import { READ_NOW } from '../client/platform/private-file.ts'
import { reasonOf } from '../client/platform/system-error.ts'
import { removedAtExit } from '../server/platform/at-exit.ts'
import { isInMemory } from './in-memory.ts'
import type { StopSignal } from './terminal/interrupted.ts'

/** How long an editor may take to end that is told to, in milliseconds. */
const END_MS = 2000

/** A private directory with the file that is edited; disposing of it removes both. */
export class Draft implements Disposable {
  readonly path: string
  readonly #directory: string
  readonly #atExit: Disposable
  readonly #command: readonly string[]
  readonly #env: Environment
  #editor: ChildProcess | undefined

  /**
   * Makes the directory, in that of the user or else in `shared`. Throws `local` where neither is in memory, unless `onDisk`,
   * and where no editor is named; and `unsafe` where others could put another in its place.
   */
  constructor(env: Environment, fileName: string, onDisk: boolean, shared = '/dev/shm') {
    this.#command = editorIn(env)
    this.#env = env
    this.#directory = makeDirectory([env['XDG_RUNTIME_DIR'], shared], onDisk)
    this.#atExit = removedAtExit(this.#directory)
    this.path = join(this.#directory, fileName)
  }

  /** Saves `value`, for the first time. */
  async write(value: Uint8Array): Promise<void> {
    await writeFile(this.path, value, { mode: 0o600, flag: 'wx' })
  }

  /** Runs the editor, and resolves with what it left. Rejects with `local` where it failed. */
  async edit(limit: number): Promise<Buffer> {
    const [program = '', ...args] = this.#command
    // What an editor keeps beside a file goes with it.
    const env = { ...this.#env, TMPDIR: this.#directory }
    const editor = spawn(program, [...args, this.path], { stdio: 'inherit', env })
    this.#editor = editor
    const cannot = `Cannot run the editor ${quote(program)}`
    const [code, signal] = await once(editor, 'exit').catch((error: unknown) => {
      throw new SottoError('local', `${cannot}: ${reasonOf(error)}`)
    })
    this.#editor = undefined
    if (code !== 0) {
      const how = code === null ? `it ended by ${String(signal)}` : `it ended with ${String(code)}`
      throw new SottoError('local', `The editor failed: ${how}; nothing was changed`)
    }
    const value = await readFile(this.path, { flag: READ_NOW }).catch((error: unknown) => {
      throw new SottoError('local', `Cannot read what the editor left: ${reasonOf(error)}`)
    })
    if (value.length <= limit) return value
    const message = `Cannot use what the editor left: it has more than ${limit} bytes, which no request holds`
    throw new SottoError('local', message)
  }

  /** Passes on a signal that asks to stop. An editor may ask about Ctrl-C itself; of the others it must end. */
  stop(signal: StopSignal): void {
    const editor = this.#editor
    editor?.kill(signal)
    if (signal === 'SIGINT') return
    setTimeout(() => editor?.kill('SIGKILL'), END_MS).unref()
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true, force: true })
    this.#atExit[Symbol.dispose]()
  }
}

/** The program and its arguments. Throws `local` where none is named. */
function editorIn(env: Environment): readonly string[] {
  const named = variableIn(env, ['VISUAL', 'EDITOR'])?.value ?? ''
  const words = wordsIn(named)
  if (words.length > 0) return words
  throw new SottoError('local', 'No editor is named', {
    hint: 'Set VISUAL or EDITOR, as in EDITOR="code --wait".',
  })
}

/** Words as a shell has them, with quotes and nothing else. */
function wordsIn(text: string): string[] {
  return [...text.matchAll(/(?:[^\s"']|"[^"]*"|'[^']*')+/g)].map(([word]) =>
    word.replaceAll(/"([^"]*)"|'([^']*)'/g, '$1$2'),
  )
}

function makeDirectory(places: readonly (string | undefined)[], onDisk: boolean): string {
  const named = places.filter((place) => place !== undefined)
  for (const place of [...named.filter(isInMemory), ...(onDisk ? [tmpdir()] : [])]) {
    refuseForeign(place, `the folder ${quote(place)} for the file that is edited`)
    try {
      // Only its owner can enter it.
      return mkdtempSync(join(place, 'sotto-edit-'))
    } catch {
      // The next one may do.
    }
  }
  throw onDisk
    ? new SottoError('local', 'Cannot make a directory for the file', {
        hint: 'TMPDIR names another place.',
      })
    : new SottoError(
        'local',
        'There is no directory in memory for the file: neither XDG_RUNTIME_DIR nor /dev/shm is one',
        { hint: 'With --on-disk the value is written to a disk, where it may be found later.' },
      )
}
