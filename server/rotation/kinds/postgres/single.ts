/**
 * One login of PostgreSQL whose password changes. Between the change and the moment at which a program has the new value,
 * that program is refused: the gap that whoever sets it up accepted.
 */
import { quote } from '../../../../client/api/errors.ts'
import type { RotationConfig } from '../../../../client/api/rotations.ts'
import { type Login, loginIn, loginValue, newPassword } from '../../login-value.ts'
import type { Targets } from '../../targets.ts'
import type { Kind } from '../contract.ts'
import { PostgresPlace } from './place.ts'
import { admit, demandOrdinary, refusal } from './roles.ts'
import { verifierOf } from './verifier.ts'

type Config = Extract<RotationConfig, { kind: 'postgres-single' }>

/** The kind `postgres-single`. */
export function postgresSingleKind(config: Config, targets: Targets): Kind {
  const { login, template } = config
  const place = new PostgresPlace(config, targets)

  const loginOf = (value: Uint8Array): Login => {
    const found = loginIn(template, value, login)
    if (found?.username === login) return found
    throw refusal(
      `A version is not of the login ${quote(login)} in the shape ${template.shape}`,
      'Put a version of that login, and activate it.',
    )
  }
  const setTo = (value: () => Promise<Buffer>): Kind['apply'] => {
    return async (values) => {
      const verifier = await verifierOf(loginOf(await value()).password)
      await place.asAdmin(values, async (session) => {
        await demandOrdinary(session, login)
        await admit(session, login, verifier)
      })
    }
  }

  return {
    byHand: false,
    overlaps: false,
    retires: false,

    plan: async () => targets.problemOf(config)?.message.split('\n') ?? [],

    generate: async (old, values) => {
      await place.demandAccepted(loginOf(old))
      await place.asAdmin(values, (session) => demandOrdinary(session, login))
      return loginValue(template, { username: login, password: newPassword(template) }, place.url)
    },

    accepts: async (value) => place.accepts(loginOf(await value())),
    apply: (values) => setTo(values.candidate)(values),
    test: async ({ candidate }) => {
      await place.as(loginOf(await candidate()), (session) => session.query('SELECT 1'))
    },
    // Sessions stay open, whatever the password is by now.
    sessions: async () => undefined,
    retire: async () => {},
    restore: (values) => setTo(values.previous)(values),
  }
}
