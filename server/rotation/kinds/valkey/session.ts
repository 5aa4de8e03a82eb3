/** One session with a Valkey or a Redis, bounded in time: one command after another, and their answers. */
import { createHash } from 'node:crypto'
import { connect as connectPlain, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { quote, SottoError } from '../../../../client/api/errors.ts'
import { said } from '../../../platform/said.ts'
import type { Login } from '../../login-value.ts'
import type { Reached } from '../../targets.ts'
import { type Answer, AnswerReader } from './answers.ts'

/** A session that is open, and logged in. */
export interface Session {
  /** The answer to a command. Rejects with `rotation_refused` where that is an error, and with `rotation_unavailable`. */
  command(...words: readonly string[]): Promise<Answer>
}

/** For connecting, and for each command, in milliseconds. */
const WAIT_MS = 10_000

/** Whether an error is that the login was not accepted. */
export function isLoginRefused(error: unknown): boolean {
  return error instanceof LoginRefused
}

/** What the server keeps of a password. */
export function hashOf(password: string): string {
  return createHash('sha256').update(password).digest('hex')
}

/**
 * Runs `act` in a session of `login`, and ends that. Rejects with what `act` rejects with; with `rotation_refused` where
 * the login is not accepted, which `isLoginRefused` tells; and with `rotation_unavailable`.
 */
export async function inSession<T>(
  reached: Reached,
  login: Login,
  act: (session: Session) => Promise<T>,
): Promise<T> {
  const wire = new Wire(reached)
  try {
    const answer = await wire.send(['AUTH', login.username, login.password])
    if (answer instanceof Error) {
      const isRefused = /^(?:WRONGPASS|NOPERM|ERR AUTH|NOAUTH)/.test(answer.message)
      const text = `Cannot log in to ${quote(reached.server)} as ${quote(login.username)}: ${said(answer.message)}`
      const hint = 'Look at the user there, and at the secret with its password.'
      if (isRefused) throw new LoginRefused('rotation_refused', text, { hint })
      throw new SottoError('rotation_unavailable', text, { hint: 'Look at its log.' })
    }
    return await act({
      command: async (...words) => {
        const found = await wire.send(words)
        if (!(found instanceof Error)) return found
        const what = words.slice(0, 2).join(' ')
        throw new SottoError(
          'rotation_refused',
          `Cannot use ${what} at ${quote(reached.server)}: ${said(found.message)}`,
          { hint: 'Look at the rights of the user that changes others.' },
        )
      },
    })
  } finally {
    wire.close()
  }
}

/** A login that was not accepted. */
class LoginRefused extends SottoError {}

/** The connection. */
class Wire {
  readonly #server: string
  readonly #socket: Socket
  readonly #reader = new AnswerReader()
  /** Rejects once the connection is of no more use. */
  readonly #broken = Promise.withResolvers<never>()
  #more = Promise.withResolvers<void>()

  constructor({ server, host, port, tls }: Reached) {
    this.#server = server
    const servername = isIP(host) === 0 ? { servername: host } : {}
    this.#socket =
      tls === false
        ? connectPlain({ host, port })
        : connectTls({ host, port, ...servername, ...tls })
    this.#broken.promise.catch(() => {})
    this.#socket.setTimeout(WAIT_MS, () => this.#socket.destroy(new Error('it does not answer')))
    this.#socket.on('error', (error) => this.#break(error.message))
    this.#socket.on('close', () => this.#break('it ended the connection'))
    this.#socket.on('data', (chunk: Buffer) => {
      this.#reader.add(chunk)
      this.#more.resolve()
      this.#more = Promise.withResolvers()
    })
  }

  /** The answer to `words`; an error where the server says that. */
  async send(words: readonly string[]): Promise<Answer | Error> {
    const bulk = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`)
    this.#socket.write(`*${words.length}\r\n${bulk.join('')}`)
    for (;;) {
      const more = this.#more.promise
      const answer = this.#read()
      if (answer !== undefined) return answer.is
      await Promise.race([more, this.#broken.promise])
    }
  }

  close(): void {
    this.#socket.destroy()
  }

  #read(): { readonly is: Answer | Error } | undefined {
    try {
      return this.#reader.next()
    } catch (error) {
      throw this.#failure((error as Error).message)
    }
  }

  #break(found: string): void {
    this.#broken.reject(this.#failure(found))
  }

  #failure(found: string): SottoError {
    const text = `Cannot use the server at ${quote(this.#server)}: ${said(found)}`
    return new SottoError('rotation_unavailable', text, {
      hint: 'Look whether it runs, and at its certificate.',
    })
  }
}
