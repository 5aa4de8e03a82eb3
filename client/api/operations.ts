/**
 * What operators ask of a server, in addition to the methods of the wire: every operation with the schemas of
 * its request and its answer. Bodies are strict JSON: fields are spelled as here, and unknown ones refused.
 */
import { z } from 'zod'
import { backendName, backendSpec, backendTypes } from './backends.ts'
import type { MethodShape, operationErrors } from './calls.ts'
import type { JsonLimits } from './go-json.ts'
import { rotationOperations } from './rotation-operations.ts'
import { secretName, secretOperations } from './secret-operations.ts'
import { decodeStrict } from './strict.ts'
import { momentPattern, parseMoment } from './times.ts'
import { MAX_BODY_BYTES, MAX_NAME_BYTES, outcomes } from './types.ts'

/** Patterns with a star in one request: each is held against every secret. */
const MAX_STARRED = 100

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

const keepSource = z.boolean().default(false).meta({
  description:
    'Leave the values at the source, too, until a move of the same secrets without this.',
})

const moveResult = {
  Result: z.enum(['migrated', 'cleared', 'skipped']).meta({
    description: 'cleared: it was there already, and what was kept at the source is removed.',
  }),
  Reason: z
    .string()
    .optional()
    .meta({ description: 'Why it is skipped, or what is still to be done at the source.' }),
}

const backendLogin = z
  .object({
    Method: z.string(),
    Inline: z.boolean().meta({ description: 'Whether each call logs in by itself.' }),
    Since: z.string().optional().meta({
      description: 'The login that counts now; of inline ones the last. Absent: there is none.',
    }),
    TokenSeconds: z
      .int()
      .min(0)
      .optional()
      .meta({ description: 'Until its token dies, unless it is renewed.' }),
    Renewed: z.string().optional(),
    Failed: z
      .string()
      .optional()
      .meta({ description: 'The last login or renewal that failed, also if one succeeded since.' }),
    Failure: z.string().optional().meta({ description: 'What that met.' }),
  })
  .meta({
    id: 'BackendLogin',
    description: 'How the server is logged in, since its start or the last change of the backend.',
  })

const backend = z
  .object({
    Name: z.string(),
    Type: z.enum(backendTypes),
    Default: z.boolean(),
    Description: z.string(),
    CreatedAt: z.string().optional(),
    Config: z.record(z.string(), z.unknown()).optional(),
    Secrets: z
      .int()
      .min(0)
      .meta({ description: 'How many are kept there, of those the caller has `info` on.' }),
    Leftovers: z.int().min(0).meta({
      description: 'Places there, of the same, that may hold a value which was deleted here.',
    }),
    Copies: z.int().min(0).meta({
      description: 'How many, of the same, have values there besides, and are kept elsewhere.',
    }),
    Login: backendLogin.optional().meta({ description: 'When one backend is described.' }),
  })
  .meta({ id: 'Backend', description: 'A backend, with credentials masked.' })

const auditRecord = z
  .looseObject({ id: z.int(), time: z.string(), kind: z.string() })
  .meta({ id: 'AuditRecord', description: 'A record as it is in the audit log.' })
const recordId = z.int().min(0)
const moment = z
  .string()
  .regex(momentPattern, 'is not a time such as 2026-01-31T18:00:00Z')
  .refine((text) => parseMoment(text) !== undefined, 'is not a time such as 2026-01-31T18:00:00Z')
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

const keyProof = keyWrap
  .extend({
    State: z.enum(['proven', 'untried', 'failed']),
    Reason: z.string().optional(),
    Hint: z.string().optional(),
  })
  .meta({
    id: 'KeyProof',
    description:
      'Whether a key that opens the store did so now, and, to callers with `info` on every name, why not.',
  })

const addedKey = keyWrap
  .extend({
    RootFingerprint: z.string(),
    Made: z.boolean().meta({ description: 'Whether its file was made.' }),
  })
  .meta({ id: 'AddedKey', description: 'A key that was added, and the root key that it opens.' })

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

const rootKey = z
  .object({
    Number: z.int().meta({ description: '1 for the first of a store.' }),
    Fingerprint: z.string().optional(),
    Remade: z.int().optional().meta({
      description:
        'While MACs by the root key before are being replaced: of how many secrets they were.',
    }),
  })
  .meta({
    id: 'RootKey',
    description: 'The key that the keyring is sealed under. Its fingerprint may be public.',
  })

const keyStatus = z
  .object({
    Root: rootKey,
    Wraps: z.array(keyWrap),
    Entries: z.array(keyringEntry),
    Failure: z
      .string()
      .optional()
      .meta({ description: 'Why the rotation that is under way does not continue.' }),
  })
  .meta({
    id: 'KeyStatus',
    description:
      'The keys of the store. A rotation is under way while an entry is retiring, or the root key has Remade.',
  })

const mirrorStatus = z
  .object({
    Backend: z.string(),
    Secrets: z.array(z.string()),
    OnDrift: z.string(),
    OnDelete: z.string(),
    Counts: z.record(z.string(), z.int().min(0)).meta({
      description: 'How many secrets are in each state, of those the caller has `info` on.',
    }),
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
    Foreign: z
      .object({
        Count: z.int().min(0).meta({ description: 'How many; 1000 stands for that or more.' }),
        Paths: z.array(z.string()).meta({
          description:
            'Where they are, below the path of the mirror, of those the caller has `info` on.',
        }),
      })
      .optional()
      .meta({
        description:
          'What someone else made there, of names that the mirror does not have, when everything was last compared. Absent: nobody looked since the start, or the server may not list there.',
      }),
  })
  .meta({ id: 'MirrorStatus', description: 'The state of a mirror.' })

const drift = z.enum(['overwrite', 'adopt']).optional().meta({
  description:
    'Instead of the setting of the mirror, for this time. `adopt` also takes over what someone else made.',
})

const branchStatus = z
  .object({
    Branch: z
      .string()
      .meta({ description: 'Of the store: 16 hex digits, others after each restore.' }),
    Adopted: z.boolean().meta({
      description: 'Whether the server may change backends, and make and delete backups by itself.',
    }),
    Reason: z.string().optional().meta({ description: 'Why it is not adopted.' }),
    Former: z.array(z.string()).meta({ description: 'The branches that it was before.' }),
    Start: z.int().min(0).meta({ description: 'The number of the start of this server.' }),
    Backends: z
      .array(
        z.object({
          Name: z.string(),
          Secrets: z
            .int()
            .min(0)
            .meta({ description: 'How many are kept there that the caller has `info` on.' }),
          Leftovers: z.int().min(0),
          Mirror: z.array(z.string()).optional().meta({ description: 'What is mirrored there.' }),
          Place: z.string().meta({ description: 'Whose the place is, in words.' }),
          Ours: z.boolean().optional().meta({ description: 'Absent where that is not known.' }),
        }),
      )
      .meta({ description: 'What adopting takes over.' }),
    BackupTarget: z.string().optional(),
  })
  .meta({ id: 'BranchStatus', description: 'Which branch a store is, and what is outside of it.' })

const backupShape = { Name: z.string(), Created: z.string(), Size: z.number().int() } as const

const backupStatus = z
  .object({
    Target: z.string(),
    Keep: z.string(),
    Newest: z.object(backupShape).optional(),
    Proven: z.object({ ...backupShape, At: z.string(), Values: z.number().int() }).optional(),
    Backup: jobState.optional(),
    Rehearsal: jobState.optional(),
    Findings: z
      .array(z.object({ Kind: z.string(), Words: z.string() }))
      .optional()
      .meta({ description: 'What is odd, as of the last run; absent from early releases.' }),
  })
  .meta({
    id: 'BackupStatus',
    description: 'The newest backup, the last one that was proven, and the jobs that do that.',
  })

const rollout = z
  .object({
    Version: z.int().min(1).meta({ description: 'The active version.' }),
    Converged: z.boolean().meta({
      description: 'Whether nobody is behind or unknown, and there is no doubt besides.',
    }),
    Counts: z
      .object({
        Current: z.int().min(0),
        Behind: z.int().min(0),
        Unknown: z.int().min(0),
        Left: z.int().min(0),
      })
      .meta({ description: 'How many holders are in each state.' }),
    Doubts: z.array(z.string()).meta({
      description: 'Why more may be unknown than the holders that are counted, in words.',
    }),
    Since: z.string().meta({ description: 'Since when the server has been told what is held.' }),
    Holders: z
      .array(
        z.object({
          Node: z.string().meta({ description: 'The StableID of the node.' }),
          Hostname: z.string(),
          IP: z.string(),
          User: z.string().optional(),
          Tags: z.array(z.string()).optional(),
          Client: z.string().optional().meta({
            description:
              'What the program says of itself. Absent: all callers of the node that say nothing.',
          }),
          Version: z.int().min(1).meta({ description: 'The oldest that it may hold.' }),
          State: z.enum(['current', 'behind', 'unknown', 'left']),
          Seen: z.string().optional().meta({
            description: 'When it last said what it holds. Absent: not since the server started.',
          }),
        }),
      )
      .optional()
      .meta({
        description:
          'At most 1000, those first that are in the way; for callers with `audit` on the empty name.',
      }),
  })
  .meta({ id: 'Rollout', description: 'How far the active version of a secret has come.' })

/** Every operation, by the last part of its path. Its action must be allowed on the empty name, unless it says otherwise. */
export const operations = {
  ...secretOperations,
  'audit-query': {
    summary:
      'Returns records of the audit log that match everything that is given, a page at a time.',
    action: 'audit',
    request: z.strictObject({
      Secret: word.optional().meta({ description: 'A pattern over names, as in rules.' }),
      Principal: word.optional().meta({
        description: 'A login name, a tag, the name of a node, an address, or an operator.',
      }),
      Action: word.optional().meta({
        description:
          'What was done, such as `delete-version`, or the action of the rules that it took.',
      }),
      Result: z.enum(outcomes).optional().meta({
        description:
          'How an act came out, by all of the log: `abandoned` where a later record takes it back.',
      }),
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
        Looked: z
          .int()
          .optional()
          .meta({ description: 'How many records were looked at; absent from early releases.' }),
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
  rollout: {
    summary: 'Returns how many hold which version of a secret.',
    action: 'info',
    onName: true,
    request: z.strictObject({ Name: secretName }),
    response: rollout,
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
  'backup-adopt': {
    summary:
      'Has backups go to the target as it is, also where its backups are gone or another server used it; makes one.',
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
  'backend-secrets': {
    summary: 'Returns the names of the secrets that a backend keeps, of those with `info`.',
    action: 'backends:view',
    request: z.strictObject({ Name: backendName }),
    response: z.object({ Secrets: z.array(z.string()) }),
  },
  'backend-create': {
    summary:
      'Sets up a backend; `get` on what it logs in with, mirrors or will keep is needed too.',
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
        .refine((names) => names.filter((name) => name.includes('*')).length <= MAX_STARRED, {
          error: `may have ${MAX_STARRED} patterns with a star`,
        })
        .default([])
        .meta({
          description: `Names, or at most ${MAX_STARRED} patterns, that names must match one of; none: every secret.`,
        }),
      KeepSource: keepSource,
    }),
    response: z.object({
      Secrets: z
        .array(z.object({ Name: z.string(), ...moveResult }))
        .meta({ description: 'What a move would do now with each that you may get.' }),
      Hidden: z.int().min(0).meta({
        description: 'How many at the source you may not get, of those you have `info` on.',
      }),
    }),
  },
  'migrate-secret': {
    summary: 'Moves a secret to another backend; `get` on it is needed too.',
    action: 'migrate',
    request: z.strictObject({
      Name: secretName,
      From: backendName,
      To: backendName,
      KeepSource: keepSource,
    }),
    response: z.object({ ...moveResult, Versions: z.int().min(0).optional() }),
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
    request: z.strictObject({
      Root: z.boolean().optional().meta({ description: 'With a new root key.' }),
      Recipients: z
        .array(z.string().min(1).max(4096))
        .max(16)
        .optional()
        .meta({ description: 'With Root: of the recovery keys that open the store.' }),
    }),
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
  'key-check': {
    summary: 'Opens the store with each of its keys that is available to the server.',
    action: 'keys',
    request: z.strictObject({}),
    response: z.array(keyProof),
  },
  'key-add': {
    summary: 'Lets another key open the store. Only for operators on the host of the server.',
    action: 'keys',
    request: z.strictObject({
      Provider: z.enum(['recovery', 'local', 'aws-kms', 'openbao-transit']),
      Settings: z
        .array(z.strictObject({ Name: word, Value: z.string().min(1).max(4096) }))
        .max(32)
        .meta({ description: 'What names the key, by the flags of `sotto key add`.' }),
    }),
    response: addedKey,
  },
  'key-remove': {
    summary: 'Removes a key from the store. Only for operators on the host of the server.',
    action: 'keys',
    request: z.strictObject({
      Key: z.string().min(1).max(256).meta({ description: 'A fingerprint or a provider.' }),
      RecoveryAlone: z
        .boolean()
        .optional()
        .meta({ description: 'Allow that only recovery keys are left.' }),
    }),
    response: keyWrap,
  },
  ...rotationOperations,
  'branch-status': {
    summary:
      'Returns which branch the store is, whether it is adopted, and what adopting takes over.',
    action: 'backends:view',
    request: z.strictObject({}),
    response: branchStatus,
  },
  'branch-adopt': {
    summary:
      'Lets the server change what is outside its store, and takes over the places of its backends; `backup` is needed too.',
    action: 'backends:edit',
    request: z.strictObject({
      Branch: z
        .string()
        .regex(/^[0-9a-f]{16}$/, 'is not a branch')
        .meta({ description: 'The branch that was looked at. Rejected if it is another one.' }),
    }),
    response: branchStatus,
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
        .meta({ description: 'Only these, of those the caller has `info` on.' }),
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

/** What a request of an operation may hold: some more than the largest that is understood. */
const limits: JsonLimits = { fields: 64, values: 1200, string: 128 * 1024 }
/** Of one that has the value of a secret. */
const valueLimits: JsonLimits = { fields: 64, values: 64, string: MAX_BODY_BYTES }

/** Decodes the body of a request to `operation`. Throws SottoError `bad_request`. Yields where it may rest. */
export function decodeOperation<O extends OperationName>(
  operation: O,
  text: string,
): Generator<void, OperationRequest<O>> {
  const schema: (typeof operations)[O]['request'] = operations[operation].request
  return decodeStrict(schema, operation === 'secret-put' ? valueLimits : limits, text)
}
