/** The logins of a PostgreSQL, as its administrator sees and changes them. Names are quoted, and of few characters anyway. */
import { quote, SottoError } from '../../../../client/api/errors.ts'
import type { Session } from './session.ts'

/** Looks at a login that is in use, 0.2 s from one to the next. */
const TRIES = 10

/** Rejects with `rotation_refused` unless `login` is a role that a rotation may change. */
export async function demandOrdinary(session: Session, login: string): Promise<void> {
  const [found] = await session.query(
    'SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls AS mighty FROM pg_catalog.pg_roles WHERE rolname = $1',
    [login],
  )
  if (found?.['mighty'] === false) return
  throw refusal(
    found ? `${quote(login)} can do more than a program needs` : `There is no role ${quote(login)}`,
    found
      ? 'A rotation changes no superuser, and nobody who makes roles or databases, replicates or goes past row security.'
      : 'Make it first: see the guide of this kind of rotation.',
  )
}

/** How many sessions `login` has in the whole server. */
export async function sessionsOf(session: Session, login: string): Promise<number> {
  const [found] = await session.query(
    'SELECT pg_catalog.count(*)::int AS sessions FROM pg_catalog.pg_stat_activity WHERE usename = $1',
    [login],
  )
  return Number(found?.['sessions'])
}

/**
 * Rejects with `rotation_refused` where `login` is in use: it would lose its password under those who use it. One that
 * just logged out is in the list for a moment longer.
 */
export async function demandUnused(session: Session, login: string): Promise<void> {
  let sessions = await sessionsOf(session, login)
  for (let tries = 1; sessions > 0 && tries < TRIES; tries++) {
    await session.query('SELECT pg_catalog.pg_sleep(0.2)')
    sessions = await sessionsOf(session, login)
  }
  if (sessions === 0) return
  throw refusal(
    `${quote(login)} has ${sessions} sessions`,
    'Find out who uses it: pg_stat_activity. Its turn is only when nobody does.',
  )
}

/** Has `login` be let in by the password of `verifier`, and by no other. */
export async function admit(session: Session, login: string, verifier: string): Promise<void> {
  if (!/^[A-Za-z0-9+/=:$-]+$/.test(verifier)) throw new Error('It is not a verifier')
  await session.query(`ALTER ROLE ${identifier(login)} WITH LOGIN PASSWORD '${verifier}'`)
}

/** Has `login` be let in no longer. Its sessions stay. */
export async function shutOut(session: Session, login: string): Promise<void> {
  await session.query(`ALTER ROLE ${identifier(login)} WITH NOLOGIN PASSWORD NULL`)
}

/** A failure that a person at the database resolves. */
export function refusal(message: string, hint: string): SottoError {
  return new SottoError('rotation_refused', message, { hint })
}

function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
