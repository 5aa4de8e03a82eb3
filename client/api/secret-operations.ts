/** What is asked about secrets that setec's wire has no words for, as operations: see `operations.ts`. */
import { z } from 'zod'
import type { MethodShape } from './calls.ts'
import { nameProblem } from './names.ts'
import { MAX_VERSION } from './types.ts'

/** The name of a secret that there can be. */
export const secretName = z
  .string()
  .refine((name) => nameProblem(name) === undefined, 'must be the name of a secret')
  .meta({ description: 'The name of a secret.' })

const version = z.int().min(1).max(MAX_VERSION)

const who = z
  .object({
    Hostname: z.string(),
    IP: z.string(),
    User: z.string().optional(),
    Tags: z.array(z.string()).optional(),
  })
  .meta({ id: 'Principal', description: 'Who did something, as the network told it.' })

const act = z
  .object({
    At: z.string(),
    By: who.optional().meta({ description: 'For callers with `audit`.' }),
  })
  .meta({ id: 'Act', description: 'When something was done, in UTC, and by whom.' })

const versionHistory = z
  .object({
    Version: version,
    State: z.enum(['active', 'staged', 'deleted', 'unused']).meta({
      description:
        'staged: there is a value, and another version is active. unused: the value never arrived in its backend.',
    }),
    Put: act.optional(),
    Active: z
      .array(act.extend({ Until: z.string().optional() }))
      .meta({ description: 'Each time in which it was the active one, oldest first.' }),
    Deleted: act.optional(),
  })
  .meta({ id: 'VersionHistory', description: 'What became of a version.' })

const listed = z
  .object({
    Name: z.string(),
    Versions: z.array(version),
    ActiveVersion: version,
    ChangedAt: z.string().optional().meta({
      description: 'The last change of any kind, a move to another backend included, in UTC.',
    }),
    Backend: z.string().optional().meta({
      description: 'What keeps it, for callers with `backends:view`.',
    }),
  })
  .meta({ id: 'ListedSecret', description: 'A secret without its values, and where it stands.' })

/** Every operation of secrets. */
export const secretOperations = {
  'secret-list': {
    summary:
      'Lists the secrets that the caller has `info` on, with when each was changed and where it lives.',
    action: null,
    request: z.strictObject({
      Prefix: z.string().max(4096).optional().meta({
        description: 'Only names that begin with it.',
      }),
    }),
    response: z.object({ Secrets: z.array(listed) }),
  },
  'secret-history': {
    summary: 'Returns what became of each version of a secret.',
    action: 'info',
    onName: true,
    request: z.strictObject({ Name: secretName }),
    response: z.object({
      Name: z.string(),
      ActiveVersion: z.int().min(0).meta({ description: '0: the secret is deleted.' }),
      Versions: z
        .array(versionHistory)
        .meta({ description: 'By number: the newest 1000 that were given.' }),
      Earlier: z.int().min(0).meta({ description: 'How many more there were.' }),
      Before: version.optional().meta({
        description: 'The version that was active before the one that is.',
      }),
      Unsure: z.array(version).meta({
        description:
          'Versions that may have been active since, once they were put: an early release did not note that.',
      }),
    }),
  },
  'secret-put': {
    summary:
      'Adds a version as `put` does, if the latest one is the expected one; `activate` is needed too to activate it.',
    action: 'put',
    onName: true,
    request: z.strictObject({
      Name: secretName,
      Value: z.string().meta({
        description: 'The value in standard base64 with padding.',
        contentEncoding: 'base64',
      }),
      Expect: z.int().min(0).max(MAX_VERSION).meta({
        description: 'The highest version that has a value; 0: there is none.',
      }),
      Activate: z.boolean().default(false).meta({ description: 'Activate it, too.' }),
    }),
    response: z.object({ Version: version, Active: z.boolean() }),
  },
  'secret-activate': {
    summary:
      'Makes a version the active one, if the one that is active is the expected one; without a version the one that was active before.',
    action: 'activate',
    onName: true,
    request: z.strictObject({
      Name: secretName,
      Version: version.optional(),
      Expect: version.optional().meta({ description: 'Absent: whichever is active.' }),
    }),
    response: z.object({
      Version: version,
      Was: version.meta({ description: 'The version that was active until then.' }),
    }),
  },
} as const satisfies Record<string, MethodShape>
