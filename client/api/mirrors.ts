/** What a mirror is set up with: the schema that the API, the server and files for `apply` share. */
import { z } from 'zod'

/** Where an entry is below the mount: literal segments, then the name, so that no two names share a path. */
const pathTemplate = z
  .string()
  .max(256)
  .regex(
    /^(?!.*(?:^|\/)\.{1,2}\/)(?:\{prefix\}\/)?(?:[A-Za-z0-9._~-]+\/)*\{name\}$/,
    'must be {name}, after {prefix} or segments of letters, digits, ".", "_", "~" and "-" if there are any, such as {prefix}/active/{name}',
  )

/** The template of a mirror that names none. */
export const MIRROR_PATH = '{prefix}/active/{name}'

const drifts = ['report', 'overwrite'] as const

/** `adopt` takes over what is not ours: an operator says so for one sync, and not for all that come. */
const noAdopt =
  'adopt is for one sync only: set overwrite or report, and run sotto mirror sync --on-drift adopt once'

/** The fields of a mirror. */
const mirrorFields = z
  .strictObject({
    secrets: z
      .array(z.string().min(1).max(512))
      .min(1)
      .max(100)
      .meta({ description: 'Names, or patterns of names as rules have them.' }),
    path: pathTemplate.optional().meta({
      description: `Where a secret is below the mount; absent: \`${MIRROR_PATH}\`.`,
    }),
    onDrift: z
      .enum(drifts, { error: ({ input }) => (input === 'adopt' ? noAdopt : undefined) })
      .default('report')
      .meta({
        description:
          'What happens to a secret that someone else changed there: it is reported and left, or written again.',
      }),
    onDelete: z.enum(['keep', 'remove']).default('keep').meta({
      description: 'What happens there to a secret that was deleted here.',
    }),
  })
  .meta({ id: 'Mirror', description: 'Secrets that a backend shows to other readers, too.' })

/** How a mirror of some secrets is kept in a backend. Accepts `history: none`, which says nothing. */
export const mirrorSpec = z.preprocess((given, context) => {
  if (typeof given !== 'object' || given === null || !('history' in given)) return given
  const { history, ...fields } = given
  if (history !== 'none') {
    context.addIssue({
      code: 'custom',
      path: ['history'],
      message: 'must be left out: a mirror shows the active version and keeps no others',
      params: {
        hint: 'Sotto itself has every version: `sotto activate` goes back to an older one.',
      },
    })
  }
  return fields
}, mirrorFields)

/** How a mirror is kept, defaults filled in. */
export type MirrorSpec = z.output<typeof mirrorSpec>
