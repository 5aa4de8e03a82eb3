/**
 * One session with a PostgreSQL, bounded in time. By SCRAM-SHA-256 alone: it shows neither side's password to the other,
 * and only a server that knows the login can answer. One that asks in another way, or does not ask, gets nothing.
 */
import type { Connection } from 'pg'
import { quote, SottoError } from '../../../../client/api/errors.ts'
import { said } from '../../../platform/said.ts'
import type { Login } from '../../login-value.ts'
import type { Reached } from '../../targets.ts'

/** A session that is open. */
export interface Session {
  /** Rows of the answer to `statement`, each with its columns by name. Rejects with `rotation_refused` and `rotation_unavailable`. */
  query(
    statement: string,
    parameters?: readonly unknown[],
  ): Promise<readonly Readonly<Record<string, unknown>>[]>
}

/** Where a session is, and with whom. */
export interface SessionPlace {
  readonly reached: Reached
  readonly database: string
  readonly login: Login
}

/** For connecting, and for each statement, in milliseconds. */
const WAIT_MS = 10_000

/** Whether an error is that the login was not accepted. */
export function isLoginRefused(error: unknown): boolean {
  return error instanceof LoginRefused
}

/**
 * Runs `act` in a session, and ends that. Rejects with what `act` rejects with; with `rotation_refused` where the login
 * is not accepted, which `isLoginRefused` tells; and with `rotation_unavailable`.
 */
export async function inSession<T>(
  place: SessionPlace,
  act: (session: Session) => Promise<T>,
): Promise<T> {
  const { default: pg } = await import('pg')
  const { reached, database, login } = place
  const ssl = reached.tls === false ? false : { ...reached.tls }
  // Without `ssl`, variables of the environment would say it.
  const connection = new pg.Connection({ ssl })
  const way = new Way(connection)
  const client = new pg.Client({
    // The declared type lacks it.
    ...({ connection } as object),
    ssl,
    host: reached.host,
    port: reached.port,
    database,
    user: login.username,
    password: () => way.give(login.password),
    connectionTimeoutMillis: WAIT_MS,
    query_timeout: WAIT_MS,
    application_name: 'sotto',
  })
  // What breaks between two statements is met by the next.
  client.on('error', () => {})
  try {
    try {
      await client.connect()
    } catch (error) {
      throw way.refusal ?? failureOf(error, place, 'log in to')
    }
    if (way.refusal) throw way.refusal
    if (!way.isProven) throw unproven(place, 'it does not ask for SCRAM-SHA-256')
    return await act({
      query: async (statement, parameters = []) => {
        try {
          const { rows } = await client.query(statement, [...parameters])
          return rows as Record<string, unknown>[]
        } catch (error) {
          throw failureOf(error, place, 'use')
        }
      },
    })
  } catch (error) {
    connection.stream.destroy()
    throw error instanceof Refusal ? unproven(place, error.message) : error
  } finally {
    await client.end().catch(() => {})
  }
}

/** A login that was not accepted. */
class LoginRefused extends SottoError {}

/** What a server asked for that gets nothing. */
class Refusal extends Error {}

/** How the server asks for the password. */
class Way {
  /** What it asked for that it does not get. */
  refusal: Refusal | undefined
  /** Whether it proved that it knows the login; the library has looked at the proof once it says that it is connected. */
  isProven = false
  #isAsked = false

  /** Listens before the library does. */
  constructor(connection: Connection) {
    const refuse = (found: string) => (): void => {
      this.refusal = new Refusal(found)
      connection.stream.destroy()
    }
    const asks = 'it asks for the password'
    connection.on('authenticationCleartextPassword', refuse(`${asks} in the clear`))
    connection.on('authenticationMD5Password', refuse(`${asks} by MD5`))
    connection.on('authenticationSASL', () => {
      this.#isAsked = true
    })
    connection.on('authenticationSASLFinal', () => {
      this.isProven = true
    })
  }

  /** The password, for SCRAM alone. */
  give(password: string): string {
    if (this.#isAsked && !this.refusal) return password
    throw new Refusal('it does not ask for SCRAM-SHA-256')
  }
}

/** SQLSTATEs of a login that is not accepted. */
const loginCodes: ReadonlySet<unknown> = new Set(['28000', '28P01'])
/** Their classes that are of a server which is starting, stopping, full or ill. */
const passing = /^(?:08|53|57|58|XX)/

function failureOf(
  error: unknown,
  { reached: { server }, login: { username } }: SessionPlace,
  act: string,
): SottoError {
  const { message = '', code } = error as { message?: string; code?: unknown }
  const at = `Cannot ${act} the PostgreSQL at ${quote(server)} as ${quote(username)}`
  const text = `${at}: ${said(message)}`
  if (loginCodes.has(code)) {
    return new LoginRefused('rotation_refused', text, {
      hint: 'Look at the login there, and at the secret with its password.',
    })
  }
  const isSql = typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !passing.test(code)
  return new SottoError(isSql ? 'rotation_refused' : 'rotation_unavailable', text, {
    hint: isSql
      ? 'Look at the rights of that role.'
      : 'Look whether it runs, and at its certificate.',
  })
}

function unproven({ reached: { server } }: SessionPlace, found: string): SottoError {
  return new SottoError(
    'rotation_unavailable',
    `Cannot log in to the PostgreSQL at ${quote(server)}: ${found}`,
    { hint: 'Have pg_hba.conf ask for scram-sha-256, and the role have such a password.' },
  )
}
