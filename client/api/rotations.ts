/** What a rotation is set up with: the schema that the API, the server and files for `apply` share. */
import { z } from 'zod'
import {
  postgresPair,
  postgresSingle,
  randomness,
  secretName,
  valkeyAcl,
} from './rotation-targets.ts'
import { momentPattern, parseDuration, parseMoment } from './times.ts'

/** The kinds of rotations. */
export const rotationKinds = [
  'generated',
  'manual',
  'postgres-pair',
  'postgres-single',
  'valkey-acl',
] as const

/** The steps of a run, in the order in which they are reached; and where it can be besides. */
export const rotationSteps = [
  'idle',
  'planned',
  'staged',
  'applied',
  'tested',
  'activated',
  'converging',
  'retiring',
  'done',
  'aborting',
  'aborted',
  'held',
] as const

/** Why a run waits for a person. */
export const heldReasons = ['failed', 'changed', 'deleted', 'restored'] as const

/** A length of time from `least` to `most`. */
function duration(least: string, most: string): z.ZodString {
  const [from, to] = [Number(parseDuration(least)), Number(parseDuration(most))]
  return z
    .string()
    .max(32)
    .refine((text) => {
      const ms = parseDuration(text) ?? Number.NaN
      return ms >= from && ms <= to
    }, `must be a length of time from ${least} to ${most}, such as 1h30m`)
    .meta({ examples: [least] })
}

const line = z
  .string()
  .min(1)
  .max(512)
  .refine((words) => !/\p{Control}/u.test(words), 'must have no control characters')
  .meta({ pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]*$' })

const field = z.string().min(1).max(128)

const template = z
  .discriminatedUnion('shape', [
    z.strictObject({ shape: z.literal('text'), ...randomness }),
    z.strictObject({
      shape: z.literal('json'),
      field: field.default('password').meta({ description: 'The field that is generated.' }),
      fields: z
        .record(field, z.string().max(4096))
        .default({})
        .meta({ description: 'Other fields, which stay as they are given here: nothing secret.' }),
      ...randomness,
    }),
    z.strictObject({ shape: z.literal('verifier'), ...randomness }),
  ])
  .meta({
    id: 'RotationTemplate',
    description:
      'The shape of the value: text; a JSON object with one generated field; or, for those that verify, a JSON object with `current` and `previous`, so that both are accepted.',
  })

const common = {
  secret: secretName,
  schedule: z
    .string()
    .max(128)
    .regex(/^\S+(?: +\S+){4}$/, 'must be five fields as in a crontab, such as 0 3 * * 1')
    .optional()
    .meta({ description: 'When it is due: five fields as in a crontab, in UTC.' }),
  converge: z
    .union([z.enum(['all', 'manual']), z.strictObject({ allOrAfter: duration('1m', '365d') })])
    .default('all')
    .meta({
      description:
        'When the old version is retired: once all holders have the new one, once all have or after that time, or when an operator says so.',
    }),
  owner: line.optional().meta({ description: 'Who is asked about it.' }),
  runbook: z
    .string()
    .max(512)
    .regex(/^https?:\/\/[\x21-\x7e]+$/, 'must be a URL')
    .optional()
    .meta({ description: 'A page that says what to do.' }),
}

/** What a run by the server itself needs. */
const automatic = {
  ...common,
  window: duration('1m', '7d').optional().meta({
    description: 'How long after it is due a run may begin. Absent: as soon as it can.',
  }),
  grace: duration('0s', '90d')
    .default('0s')
    .meta({ description: 'How long it is waited before the old version is retired.' }),
  deleteOld: z
    .boolean()
    .default(false)
    .meta({ description: 'Whether the old version is deleted in the end. Otherwise it stays.' }),
}

const generated = z.strictObject({
  kind: z.literal('generated'),
  ...automatic,
  template: template.prefault({ shape: 'text' }),
})

const pair = z.strictObject({ kind: z.literal('postgres-pair'), ...automatic, ...postgresPair })

const single = z.strictObject({
  kind: z.literal('postgres-single'),
  ...automatic,
  ...postgresSingle,
})

const valkey = z.strictObject({ kind: z.literal('valkey-acl'), ...automatic, ...valkeyAcl })

const manual = z.strictObject({
  kind: z.literal('manual'),
  ...common,
  due: z
    .string()
    .regex(momentPattern, 'is not a time such as 2026-01-31')
    .refine((text) => parseMoment(text) !== undefined, 'is not a time such as 2026-01-31')
    .optional()
    .meta({ description: 'When it is due, once. Absent: as the schedule says.' }),
})

const NOT_APART = 'must have a name for each role, and another secret for the admin'

/** Whether each role has a name of its own, and nothing rotates what logs in for it. */
function areApart(config: z.output<typeof pair | typeof single | typeof valkey>): boolean {
  const roles = [config.admin.user, ...changedBy(config)]
  return new Set(roles).size === roles.length && config.admin.secret !== config.secret
}

function changedBy(config: z.output<typeof pair | typeof single | typeof valkey>): string[] {
  switch (config.kind) {
    case 'postgres-pair':
      return [config.role, ...config.logins]
    case 'postgres-single':
      return [config.login]
    case 'valkey-acl':
      break
  }
  return [config.user]
}

/** How a rotation is set up. */
export const rotationConfig = z
  .discriminatedUnion('kind', [
    generated,
    manual,
    pair.refine(areApart, NOT_APART),
    single.refine(areApart, NOT_APART),
    valkey.refine(areApart, NOT_APART),
  ])
  .meta({ id: 'RotationConfig', description: 'What a rotation makes new versions of, and how.' })

/** How a rotation is set up, defaults filled in. */
export type RotationConfig = z.output<typeof rotationConfig>

/** The shape of a value that is generated. */
export type RotationTemplate = z.output<typeof template>

/** The name of a rotation. */
export const rotationName: z.ZodString = z
  .string()
  .regex(
    /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$/,
    'must be 1 to 64 letters, digits, ".", "_" and "-"',
  )
  .meta({ description: 'The name of a rotation.' })

/** A rotation as it is to be. */
export const rotationSpec = z.strictObject({ Name: rotationName, Config: rotationConfig })

/** A rotation as it is to be, defaults filled in. */
export type RotationSpec = z.output<typeof rotationSpec>
