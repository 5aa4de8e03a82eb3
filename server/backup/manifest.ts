/** What a backup says of itself, the first of its content. */
import { z } from 'zod'
import { SottoError } from '../../client/api/errors.ts'
import { NO_BRANCH } from '../store/branch.ts'
import { damaged } from './damage.ts'

const count = z.int().min(0)
const sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const receipt = z.object({ id: count, hash: sha256 })

const manifestSchema = z.object({
  /** That of the file. */
  format: z.int(),
  /** The release of the program that wrote it. */
  program: z.string(),
  store: z.object({
    id: z.string(),
    development: z.boolean(),
    createdAt: z.string(),
    /** The number of the schema of its tables. */
    schema: count,
    /** The branch that it is on. */
    branch: z.string().regex(/^[0-9a-f]{16}$/),
    revision: count,
    /** The newest audit record that the store knew of. */
    audit: receipt.nullable(),
    counts: z.object({ names: count, secrets: count, versions: count, tombstones: count }),
    /** The entries of the keyring. */
    keys: z.array(z.object({ id: count, state: z.string(), fingerprint: z.string() })),
  }),
  /** UTC. */
  created: z.string(),
  /** The records that it has, from after `after` up to `last`; null where the log had none. */
  log: z.object({ after: receipt, last: receipt }).nullable(),
  /** The backup in the same place that has the records before; null where this one has the first. */
  follows: z.string().nullable(),
  /** What later releases add, by name. */
  notes: z.record(z.string(), z.unknown()),
  /** The files that follow the manifest, one after another. */
  parts: z.array(
    z.object({
      name: z.string().regex(/^(?:sotto\.db|audit\/\d{20}\.jsonl)$/),
      size: count,
      /** In format 1, whose readers demand it; the seal of each chunk proves as much. */
      sha256: sha256.optional(),
    }),
  ),
})

/** What a backup says of itself. */
export type Manifest = z.infer<typeof manifestSchema>

/** One file in a backup. */
export type Part = Manifest['parts'][number]

/** The name of the part that is the store. */
export const STORE_PART = 'sotto.db'

/** More bytes than a manifest has. */
export const MAX_MANIFEST_BYTES: number = 64 * 1024 * 1024

/** The bytes of `manifest`. There is one log today, number 1; the file has a list of them. */
export function encodeManifest({ log, ...manifest }: Manifest): Buffer {
  const logs = log === null ? [] : [{ number: 1, ...log }]
  return Buffer.from(JSON.stringify({ ...manifest, logs }))
}

/** The manifest in `bytes` of the backup `name`, whose head has `format`. Throws `backup_damaged`. */
export function decodeManifest(bytes: Uint8Array, name: string, format: number): Manifest {
  const found = formOf(format).safeParse(parse(bytes, name))
  if (!found.success) {
    const at = found.error.issues[0]?.path.join('.') ?? ''
    throw damaged(name, `its manifest has no sensible ${at === '' ? 'form' : at}`)
  }
  if (found.data.format !== format)
    throw damaged(name, 'its manifest has another format than its head')
  const { parts } = found.data
  const names = new Set(parts.map((part) => part.name))
  if (parts[0]?.name === STORE_PART && names.size === parts.length) return found.data
  throw damaged(name, 'its manifest has no store, or the same part twice')
}

/** The form of a manifest in a file of `format`, which gives what it holds as this release has it. */
function formOf(format: number): z.ZodType<Manifest> {
  return format === 1 ? firstForm : listForm
}

const { shape } = manifestSchema
const partHash = shape.parts.element.required({ sha256: true })

const firstForm = manifestSchema
  .omit({ notes: true })
  .extend({ store: shape.store.omit({ branch: true }), parts: z.array(partHash) })
  .transform((found) => ({ ...found, notes: {}, store: { ...found.store, branch: NO_BRANCH } }))

const listForm = manifestSchema
  .omit({ log: true })
  .extend({ logs: z.array(shape.log.unwrap().extend({ number: z.literal(1) })).max(1) })
  .transform(({ logs: [log], ...found }) => ({
    ...found,
    log: log === undefined ? null : { after: log.after, last: log.last },
  }))

/** Throws `store_newer` where the store in the backup has a schema that this release does not know. */
export function refuseNewerSchema(manifest: Manifest, name: string, known: number): void {
  const { schema } = manifest.store
  if (schema <= known) return
  throw new SottoError(
    'store_newer',
    `Cannot use the backup "${name}": its store has schema ${schema}, this release knows ${known}`,
    { hint: `Use release ${manifest.program} of the program, which wrote it, or a later one.` },
  )
}

function parse(bytes: Uint8Array, name: string): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch (cause) {
    throw damaged(name, 'its manifest is not JSON', cause)
  }
}
