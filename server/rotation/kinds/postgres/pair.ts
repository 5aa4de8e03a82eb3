/**
 * Two logins of PostgreSQL under one owner role, which take turns: the new version logs in as the one, the old version
 * as the other, so that nobody is refused while programs change over.
 */
import { asSottoError, quote } from '../../../../client/api/errors.ts'
import type { RotationConfig } from '../../../../client/api/rotations.ts'
import { type Login, loginIn, loginValue, newPassword } from '../../login-value.ts'
import type { Targets } from '../../targets.ts'
import type { Kind, RunValues } from '../contract.ts'
import { PostgresPlace } from './place.ts'
import { admit, demandOrdinary, demandUnused, refusal, sessionsOf, shutOut } from './roles.ts'
import { verifierOf } from './verifier.ts'

type Config = Extract<RotationConfig, { kind: 'postgres-pair' }>

/** The kind `postgres-pair`. */
export function postgresPairKind(config: Config, targets: Targets): Kind {
  const { logins, role, template } = config
  const place = new PostgresPlace(config, targets)
  const isOurs = (name: string): boolean => logins.includes(name)
  const otherOf = (name: string): string => (logins[0] === name ? logins[1] : logins[0])

  const candidateOf = async ({ candidate }: RunValues): Promise<Login> => {
    const login = loginIn(template, await candidate())
    if (login && isOurs(login.username)) return login
    throw refusal(
      'The candidate is not of one of the two logins',
      'End the run, and begin another.',
    )
  }

  /** Whose the version before is: of neither login where the rotation takes over from one that was there. */
  const oldOf = async (values: RunValues): Promise<Login> => {
    const value = await values.previous().catch((error: unknown) => {
      if (asSottoError(error).code === 'conflict') return new Uint8Array()
      throw error
    })
    // Where it was deleted, it is the login that is not the new one.
    return (
      loginIn(template, value) ?? {
        username: otherOf((await candidateOf(values)).username),
        password: '',
      }
    )
  }

  return {
    byHand: false,
    overlaps: true,
    retires: true,

    plan: async () => targets.problemOf(config)?.message.split('\n') ?? [],

    generate: async (old, values) => {
      const current = loginIn(template, old)
      if (!current) {
        throw refusal(
          `The active version does not have the shape ${template.shape}`,
          'Put a version that names its login, and activate it.',
        )
      }
      await place.demandAccepted(current)
      const username = otherOf(current.username)
      await place.asAdmin(values, async (session) => {
        for (const name of logins) await demandOrdinary(session, name)
        await demandUnused(session, username)
      })
      return loginValue(template, { username, password: newPassword(template) }, place.url)
    },

    accepts: async (value) => {
      const login = loginIn(template, await value())
      return login !== undefined && place.accepts(login)
    },

    apply: async (values) => {
      const candidate = await candidateOf(values)
      const { username } = await oldOf(values)
      if (username === candidate.username) {
        throw refusal(
          `Both versions log in as ${quote(username)}`,
          'End the run: someone changed how the rotation is set up.',
        )
      }
      const verifier = await verifierOf(candidate.password)
      await place.asAdmin(values, async (session) => {
        await demandOrdinary(session, candidate.username)
        await demandUnused(session, candidate.username)
        await admit(session, candidate.username, verifier)
      })
    },

    test: async (values) => {
      const candidate = await candidateOf(values)
      const [found] = await place.as(candidate, (session) =>
        session.query('SELECT current_user::text AS role'),
      )
      if (found?.['role'] === role) return
      throw refusal(
        `${quote(candidate.username)} does not act as ${quote(role)}`,
        'What it makes would be its own: ALTER ROLE its name SET role = the owner role.',
      )
    },

    sessions: async (values) => {
      const { username } = await oldOf(values)
      return place.asAdmin(values, (session) => sessionsOf(session, username))
    },

    retire: async (values) => {
      const old = await oldOf(values)
      // One that is not of the rotation is for the person to end who made it.
      if (!isOurs(old.username) || old.username === (await candidateOf(values)).username) return
      await place.asAdmin(values, (session) => shutOut(session, old.username))
      if (old.password === '' || !(await place.accepts(old))) return
      throw refusal(
        `The old version of ${quote(old.username)} is still let in`,
        'Look at pg_hba.conf, and at a pooler in between.',
      )
    },

    restore: async (values) => {
      const { username } = await candidateOf(values)
      if (username === (await oldOf(values)).username) return
      await place.asAdmin(values, (session) => shutOut(session, username))
    },
  }
}
