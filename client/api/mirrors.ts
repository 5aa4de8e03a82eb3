/** What a mirror is set up with: the schema that the API, the server and files for `apply` share. */
import { z } from 'zod'

const drifts = ['report', 'overwrite'] as const

/** `adopt` takes over what is not ours: an operator says so for one sync, and not for all that come. */
const noAdopt =
  'adopt is for one sync only: set overwrite or report, and run sotto mirror sync --on-drift adopt once'

/** How a mirror of some secrets is kept in a backend. */
export const mirrorSpec = z
  .strictObject({
    secrets: z
      .array(z.string().min(1).max(512))
      .min(1)
      .max(100)
      .meta({ description: 'Names, or patterns of names as rules have them.' }),
    history: z.enum(['none', 'active', 'all']).default('none').meta({
      description: 'The versions that are kept there in addition to what other readers see.',
    }),
    onDrift: z
      .enum(drifts, { error: ({ input }) => (input === 'adopt' ? noAdopt : undefined) })
      .default('report')
      .meta({
        description:
          'What happens to a secret that someone else changed there: it is reported and left, or written again.',
      }),
    onDelete: z.enum(['keep', 'remove']).default('keep').meta({
      description: 'What happens there to a secret, or a version, that was deleted here.',
    }),
  })
  .meta({ id: 'Mirror', description: 'Secrets that a backend shows to other readers, too.' })

/** How a mirror is kept, defaults filled in. */
export type MirrorSpec = z.output<typeof mirrorSpec>
