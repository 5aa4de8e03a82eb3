/**
 * What operators ask of a server, in addition to the methods of the wire: every operation with the schemas of
 * its request and its answer. Bodies are strict JSON: fields are spelled as here, and unknown ones refused.
 */
import { z } from 'zod'
import { backendName, backendSpec, backendTypes } from './backends.ts'
import type { MethodShape, operationErrors } from './calls.ts'
import { SottoError } from './errors.ts'
import { nameProblem } from './names.ts'
import { MAX_NAME_BYTES, results } from './types.ts'

const jobState = z
  .object({
    Name: z.string(),
    Running: z.boolean(),
    LastStart: z.string().optional(),
    LastEnd: z.string().optional(),
    LastResult: z.enum(['ok', 'failed']).optional(),
    LastMessage: z.string().optional(),
    LastSuccess: z.string().optional(),
    NextRun: z.string().optional(),
  })
  .meta({
    id: 'JobState',
    description: 'What a job of the server did last, and when it runs next.',
  })

const secretName = z
  .string()
  .refine((name) => nameProblem(name) === undefined, 'must be the name of a secret')
  .meta({ description: 'The name of a secret.' })

const backend = z
  .object({
    Name: z.string(),
    Type: z.enum(backendTypes),
    Default: z.boolean(),
    Description: z.string(),
    CreatedAt: z.string().optional(),
    Config: z.record(z.string(), z.unknown()).optional(),
    Secrets: z.int().min(0),
    Leftovers: z
      .int()
      .min(0)
      .meta({ description: 'Places there that may hold a value which was deleted here.' }),
  })
  .meta({ id: 'Backend', description: 'A backend, with credentials masked.' })

const auditRecord = z
  .looseObject({ id: z.int(), time: z.string(), kind: z.string() })
  .meta({ id: 'AuditRecord', description: 'A record as it is in the audit log.' })
const recordId = z.int().min(0)
const moment = z
  .string()
  .regex(
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/,
    'is not a time such as 2026-01-31T18:00:00Z',
  )
  .refine((text) => !Number.isNaN(Date.parse(text)), 'is not a time such as 2026-01-31T18:00:00Z')
  .meta({ examples: ['2026-01-31T18:00:00Z'] })
const word = z.string().min(1).max(1024)

const keyWrap = z
  .object({
    Provider: z.string(),
    Fingerprint: z.string(),
    Created: z.string(),
    Proven: z.string().optional(),
  })
  .meta({
    id: 'KeyWrap',
    description: 'A key that opens the store, and when it was last proven to. Times are UTC.',
  })

const keyringEntry = z
  .object({
    Id: z.number(),
    Fingerprint: z.string().optional(),
    Created: z.string(),
    State: z.enum(['active', 'retiring']),
    Versions: z.number(),
  })
  .meta({
    id: 'KeyringEntry',
    description:
      'An entry of the keyring, and how many versions have their data key wrapped by it.',
  })

const keyStatus = z
  .object({
    Wraps: z.array(keyWrap),
    Entries: z.array(keyringEntry),
    Failure: z
      .string()
      .optional()
      .meta({ description: 'Why the rotation that is under way does not continue.' }),
  })
  .meta({
    id: 'KeyStatus',
    description: 'The keys of the store. A rotation is under way while an entry is retiring.',
  })

const mirrorStatus = z
  .object({
    Backend: z.string(),
    Secrets: z.array(z.string()),
    OnDrift: z.string(),
    OnDelete: z.string(),
    Counts: z
      .record(z.string(), z.int().min(0))
      .meta({ description: 'How many secrets are in each state.' }),
    LagSeconds: z.int().min(0).meta({ description: 'How long the oldest change waits.' }),
    CheckedAt: z
      .string()
      .optional()
      .meta({ description: 'When everything was last compared with the backend.' }),
    LastRun: z.string().optional(),
    LastResult: z.enum(['ok', 'failed']).optional(),
    LastMessage: z.string().optional(),
    Items: z
      .array(
        z.object({ Name: z.string(), State: z.string(), Reason: z.string(), Since: z.string() }),
      )
      .meta({
        description:
          'Secrets that are not as they should be, at most 1000, of those the caller has `info` on.',
      }),
  })
  .meta({ id: 'MirrorStatus', description: 'The state of a mirror.' })

const drift = z.enum(['overwrite', 'adopt']).optional().meta({
  description:
    'Instead of the setting of the mirror, for this time. `adopt` also takes over what someone else made.',
})

const backupShape = { Name: z.string(), Created: z.string(), Size: z.number().int() } as const

const backupStatus = z
  .object({
    Target: z.string(),
    Keep: z.string(),
    Newest: z.object(backupShape).optional(),
    Proven: z.object({ ...backupShape, At: z.string(), Values: z.number().int() }).optional(),
    Backup: jobState.optional(),
    Rehearsal: jobState.optional(),
  })
  .meta({
    id: 'BackupStatus',
    description: 'The newest backup, the last one that was proven, and the jobs that do that.',
  })

/** Every operation, by the last part of its path. Its action must be allowed on the empty name. */
export const operations = {
  'audit-query': {
    summary:
      'Returns records of the audit log that match everything that is given, a page at a time.',
    action: 'audit',
    request: z.strictObject({
      Secret: word.optional().meta({ description: 'A pattern over names, as in rules.' }),
      Principal: word.optional().meta({
        description: 'A login name, a tag, the name of a node, an address, or an operator.',
      }),
      Action: word.optional(),
      Result: z.enum(results).optional(),
      Since: moment.optional(),
      Until: moment.optional().meta({ description: 'The end: only records before this time.' }),
      Newest: z
        .boolean()
        .optional()
        .meta({ description: 'The newest records instead of the oldest, still in order.' }),
      After: recordId.optional().meta({ description: 'Only records after this id.' }),
      Before: recordId.optional().meta({ description: 'Only records before this id.' }),
      Limit: z.int().min(1).max(1000).optional().meta({ description: 'Default: 1000.' }),
    }),
    response: z
      .object({
        Records: z.array(auditRecord),
        After: recordId
          .optional()
          .meta({ description: 'Where the next page begins; absent when there is none.' }),
        Before: recordId.optional().meta({
          description: 'Of the newest: where the next page ends; absent when there is none.',
        }),
        Damage: z
          .string()
          .optional()
          .meta({ description: 'The first damage of the log, which was skipped.' }),
      })
      .meta({ id: 'AuditPage', description: 'Some records; there may be none and more pages.' }),
  },
  'job-status': {
    summary: 'Returns what the jobs of the server did last, of those the caller may run.',
    action: null,
    request: z.strictObject({}),
    response: z.array(jobState),
  },
  'job-run': {
    summary: 'Runs a job now, or waits for the run that is under way, and returns how it ended.',
    action: null,
    request: z.strictObject({
      Name: z.string().min(1).max(64),
      Started: z
        .string()
        .max(64)
        .optional()
        .meta({ description: 'The start of a run, to wait for its end and begin no other.' }),
    }),
    response: jobState,
  },
  'backup-create': {
    summary: 'Makes a backup now, and returns how that ended, or that it still runs.',
    action: 'backup',
    request: z.strictObject({}),
    response: jobState,
  },
  'backup-status': {
    summary: 'Returns the newest backup, and the last one that was proven.',
    action: 'backup',
    request: z.strictObject({}),
    response: backupStatus,
  },
  'backend-list': {
    summary: 'Returns the backends where secrets are kept.',
    action: 'backends:view',
    request: z.strictObject({}),
    response: z.array(backend),
  },
  'backend-describe': {
    summary: 'Returns how a backend is set up, with credentials masked.',
    action: 'backends:view',
    request: z.strictObject({ Name: backendName }),
    response: backend,
  },
  'backend-create': {
    summary: 'Sets up a backend; `get` on each secret that it logs in with is needed too.',
    action: 'backends:create',
    request: backendSpec,
    response: backend,
  },
  'backend-apply': {
    summary:
      'Makes a backend as it is described; `backends:create` is needed too where there is none.',
    action: 'backends:edit',
    request: backendSpec,
    response: z.object({ Result: z.enum(['created', 'changed', 'unchanged']), Backend: backend }),
  },
  'backend-delete': {
    summary: 'Deletes a backend that keeps no secret.',
    action: 'backends:delete',
    request: z.strictObject({
      Name: backendName,
      LeaveValues: z.boolean().default(false).meta({
        description: 'Also while values that were deleted here wait to be removed there.',
      }),
    }),
    response: z.object({}).meta({ id: 'Nothing' }),
  },
  'backend-test': {
    summary: 'Proves that a backend is reached and permits what Sotto needs.',
    action: 'backends:view',
    request: z.strictObject({ Name: backendName }),
    response: z.object({
      Ok: z.boolean(),
      Product: z.string().optional(),
      Notes: z.array(z.string()),
      Error: z
        .object({ Code: z.string(), Message: z.string(), Hint: z.string().optional() })
        .optional(),
    }),
  },
  'migrate-plan': {
    summary: 'Returns which secrets a move between backends concerns.',
    action: 'migrate',
    request: z.strictObject({
      From: backendName,
      To: backendName,
      Names: z
        .array(z.string().min(1).max(MAX_NAME_BYTES))
        .max(1000)
        .default([])
        .meta({ description: 'Patterns that names must match one of; none: every secret.' }),
    }),
    response: z.object({
      Names: z.array(z.string()).meta({ description: 'Those at the source that you may get.' }),
      There: z.int().min(0).meta({ description: 'How many are at the destination already.' }),
      Hidden: z.int().min(0).meta({ description: 'How many at the source you may not get.' }),
    }),
  },
  'migrate-secret': {
    summary: 'Moves a secret to another backend; `get` on it is needed too.',
    action: 'migrate',
    request: z.strictObject({
      Name: secretName,
      From: backendName,
      To: backendName,
      KeepSource: z
        .boolean()
        .default(false)
        .meta({ description: 'Leave the values at the source, too, where that is a backend.' }),
    }),
    response: z.object({
      Result: z.enum(['migrated', 'skipped']),
      Versions: z.int().min(0).optional(),
      Reason: z
        .string()
        .optional()
        .meta({ description: 'Why it was skipped, or what is still to be done at the source.' }),
    }),
  },
  'key-status': {
    summary: 'Returns which keys open the store, and what its keyring holds.',
    action: 'keys',
    request: z.strictObject({}),
    response: keyStatus,
  },
  'key-rotate': {
    summary:
      'Makes a new entry of the keyring, to which all data keys move while the server serves.',
    action: 'keys',
    request: z.strictObject({}),
    response: keyStatus,
  },
  'key-rewrap': {
    summary: 'Re-wraps the root key with a key that was rotated where it is kept.',
    action: 'keys',
    request: z.strictObject({
      Key: z
        .string()
        .min(1)
        .max(256)
        .optional()
        .meta({ description: 'A fingerprint or a provider. Absent: every key that is available.' }),
    }),
    response: z.array(keyWrap),
  },
  'mirror-status': {
    summary: 'Returns the state of the mirrors, and which secrets someone else changed there.',
    action: 'mirror',
    request: z.strictObject({ Backend: backendName.optional() }),
    response: z.array(mirrorStatus),
  },
  'mirror-sync': {
    summary:
      'Compares mirrors with their backends, writes what differs, and returns how that ended.',
    action: 'mirror',
    request: z.strictObject({
      Backend: backendName.optional(),
      Secrets: z
        .array(z.string().min(1).max(4096))
        .min(1)
        .max(1000)
        .optional()
        .meta({ description: 'Only these.' }),
      OnDrift: drift,
      AcceptMount: z
        .boolean()
        .default(false)
        .meta({ description: 'The mount that is there now is the right one.' }),
    }),
    response: jobState,
  },
  'mirror-plan': {
    summary: 'Returns what a sync would do, for a page of secrets, and does nothing.',
    action: 'mirror',
    request: z.strictObject({
      Backend: backendName,
      After: z.string().max(4096).optional(),
      OnDrift: drift,
    }),
    response: z.object({
      Items: z.array(z.object({ Name: z.string(), Action: z.string(), Reason: z.string() })),
      After: z.string().optional().meta({ description: 'Where the next page begins.' }),
    }),
  },
} as const satisfies Record<keyof typeof operationErrors, MethodShape>

/** The name of an operation, as its path ends. */
export type OperationName = keyof typeof operations

/** A decoded request of an operation. */
export type OperationRequest<O extends OperationName> = z.output<(typeof operations)[O]['request']>

/** What an operation answers. */
export type OperationResponse<O extends OperationName> = z.output<
  (typeof operations)[O]['response']
>

/** Decodes the body of a request to `operation`. Throws SottoError `bad_request`. */
export function decodeOperation<O extends OperationName>(
  operation: O,
  text: string,
): OperationRequest<O> {
  const schema: z.ZodObject = operations[operation].request
  const parsed = schema.safeParse(parse(text))
  if (parsed.success) return parsed.data as OperationRequest<O>
  const [issue] = parsed.error.issues
  const where =
    issue && issue.path.length > 0 ? ` field "${issue.path.map(String).join('.')}":` : ''
  throw new SottoError('bad_request', `Cannot read the request:${where} ${issue?.message}`)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's own words quote the text.
    throw new SottoError('bad_request', 'Cannot read the request: it is not JSON')
  }
}
