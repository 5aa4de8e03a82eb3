/** What a rotation changes outside of Sotto: the schemas of its target, of who changes it, and of the value's shape. */
import { z } from 'zod'
import { nameProblem } from './names.ts'

/** The name of a secret. */
export const secretName: z.ZodString = z
  .string()
  .refine((name) => nameProblem(name) === undefined, 'must be the name of a secret')

/** Random bytes in a value, and how they are written. */
export const randomness = {
  bytes: z.int().min(16).max(256).default(32).meta({ description: 'Random bytes in the value.' }),
  alphabet: z
    .enum(['base64url', 'hex', 'alphanumeric'])
    .default('base64url')
    .meta({ description: 'How they are written.' }),
}

/** A name in a target, such as that of a role: quoted where it is used, and of these characters in any case. */
const identifier = z
  .string()
  .regex(
    /^[A-Za-z_][A-Za-z0-9_$-]{0,62}$/,
    'must be a letter or _, then at most 62 letters, digits, "_", "$" and "-"',
  )

/** Where a target is: scheme, host and port, and nothing after that. */
const server = z
  .string()
  .max(300)
  .regex(
    /^postgres:\/\/(?:[a-z0-9][a-z0-9.-]{0,252}|\[[0-9a-f:]{2,39}\]):[1-9][0-9]{0,4}$/,
    'must be postgres://HOST:PORT, in small letters',
  )
  .meta({ description: 'Where it is, which the settings of the server must allow.' })

const fields = z
  .record(z.string().min(1).max(128), z.string().max(4096))
  .default({})
  .meta({ description: 'Other fields, which stay as they are given here: nothing secret.' })

const random = {
  ...randomness,
  bytes: z.int().min(16).max(128).default(32).meta({ description: 'Random bytes in a password.' }),
}

const json = z.strictObject({ shape: z.literal('json'), fields, ...random })
const url = z.strictObject({
  shape: z.literal('url'),
  parameters: z
    .string()
    .max(512)
    .regex(/^[A-Za-z0-9_.~=&%/-]*$/, 'must be what follows the ? of a URL')
    .default('')
    .meta({ description: 'What follows the `?` of the URL, such as sslmode=verify-full.' }),
  ...random,
})
const password = z.strictObject({ shape: z.literal('password'), ...random })

/** The shape of a value that has the name of a login in it. */
const pairTemplate = z.discriminatedUnion('shape', [json, url]).meta({
  id: 'LoginTemplate',
  description:
    'The shape of the value: a JSON object with `username` and `password`, or the URL of the database with both.',
})

/** The same, or the password alone. */
const singleTemplate = z.discriminatedUnion('shape', [json, url, password]).meta({
  id: 'PasswordTemplate',
  description:
    'The shape of the value: a JSON object with `username` and `password`, the URL of the server, or the password alone.',
})

const admin = z
  .strictObject({
    user: identifier.meta({ description: 'Who may change logins there.' }),
    secret: secretName.meta({ description: 'The secret that is its password.' }),
  })
  .meta({ description: 'Who changes logins.' })

/** A database, and who changes logins there. */
const database = {
  server,
  database: identifier.meta({ description: 'The database that programs use.' }),
  admin,
}

/** What two logins under one owner role need. */
export const postgresPair = {
  ...database,
  role: identifier.meta({ description: 'The role that owns what programs make: no login.' }),
  logins: z
    .tuple([identifier, identifier])
    .meta({ description: 'The two logins, which take turns. Neither is anything else.' }),
  template: pairTemplate.prefault({ shape: 'json' }),
}

/** What one login needs whose password changes under its users. */
export const postgresSingle = {
  ...database,
  login: identifier.meta({ description: 'The login whose password changes.' }),
  acceptGap: z.literal(true).meta({
    description:
      'That logins are refused between the change in the database and the moment at which a program has the new value.',
  }),
  template: singleTemplate.prefault({ shape: 'json' }),
}

/** What one user of Valkey or Redis needs, who has two passwords at a time. */
export const valkeyAcl = {
  servers: z
    .array(
      z
        .string()
        .max(300)
        .regex(
          /^valkey:\/\/(?:[a-z0-9][a-z0-9.-]{0,252}|\[[0-9a-f:]{2,39}\]):[1-9][0-9]{0,4}$/,
          'must be valkey://HOST:PORT, in small letters',
        ),
    )
    .min(1)
    .max(16)
    .meta({ description: 'Every server, replicas too: each has users of its own.' }),
  admin,
  user: identifier.meta({ description: 'The user whose password changes.' }),
  template: singleTemplate.prefault({ shape: 'json' }),
}

/** The shape of a value for a login. */
export type LoginTemplate = z.output<typeof singleTemplate>
