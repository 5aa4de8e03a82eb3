/** A database as a rotation of two logins finds it: the owner role, its logins, and who changes them. */
import type { RotationConfig } from '../../../client/api/rotations.ts'
import { rotationConfig } from '../../../client/api/rotations.ts'
import { verifierOf } from '../../../server/rotation/kinds/postgres/verifier.ts'
import type { Postgres } from '../../support/postgres.ts'

/** The password of who changes the logins. */
export const ADMIN = 'the admin'
/** The password of the login `app_a`, in the first version. */
export const FIRST = 'the first'
/** The first version. */
export const first: string = JSON.stringify({ username: 'app_a', password: FIRST })

/** Makes the roles anew, and the database once. */
export async function setUpPair({ query }: Pick<Postgres, 'query'>): Promise<void> {
  const databases = await query("SELECT 1 FROM pg_database WHERE datname = 'app'")
  if (databases.length === 0) {
    await query(`CREATE ROLE app NOLOGIN;
      CREATE ROLE app_a IN ROLE app; CREATE ROLE app_b IN ROLE app;
      ALTER ROLE app_a SET role = app; ALTER ROLE app_b SET role = app;
      CREATE ROLE sotto LOGIN CREATEROLE PASSWORD '${await verifierOf(ADMIN)}';
      GRANT app_a, app_b TO sotto WITH ADMIN TRUE, INHERIT FALSE, SET FALSE`)
    await query('CREATE DATABASE app OWNER app')
  }
  await query(
    `ALTER ROLE app_a LOGIN PASSWORD '${await verifierOf(FIRST)}'; ALTER ROLE app_b NOLOGIN PASSWORD NULL`,
  )
}

/** The rotation of `prod/db` between those two. */
export function pairConfig(
  { server }: Pick<Postgres, 'server'>,
  more: object = {},
): Extract<RotationConfig, { kind: 'postgres-pair' }> {
  return rotationConfig.parse({
    kind: 'postgres-pair',
    secret: 'prod/db',
    server,
    database: 'app',
    admin: { user: 'sotto', secret: 'rotation/admin' },
    role: 'app',
    logins: ['app_a', 'app_b'],
    ...more,
  }) as Extract<RotationConfig, { kind: 'postgres-pair' }>
}

/** The same of the one login `app_a`. */
export function singleConfig(at: Pick<Postgres, 'server'>, more: object = {}): RotationConfig {
  const { role: _role, logins: _logins, ...rest } = pairConfig(at)
  return rotationConfig.parse({
    ...rest,
    kind: 'postgres-single',
    login: 'app_a',
    acceptGap: true,
    ...more,
  })
}
