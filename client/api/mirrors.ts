/** What a mirror is set up with: the schema that the API, the server and files for `apply` share. */
import { z } from 'zod'

/** The fields of a mirror. */
const mirrorFields = z
  .strictObject({
    secrets: z
      .array(z.string().min(1).max(512))
      .min(1)
      .max(100)
      .meta({ description: 'Names, or patterns of names as rules have them.' }),
    onDrift: z.enum(['report', 'overwrite', 'adopt']).default('report').meta({
      description:
        'What becomes of a secret that someone else changed there: it is reported and left, or written again; `adopt` also takes over what someone else made.',
    }),
    onDelete: z.enum(['keep', 'remove']).default('keep').meta({
      description: 'What becomes there of a secret that was deleted here.',
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
