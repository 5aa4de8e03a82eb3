/** What a backend is set up with: the schema that the API, the server and files for `apply` share. */
import { z } from 'zod'
import { MIRROR_PATH, mirrorSpec } from './mirrors.ts'
import { nameProblem } from './names.ts'

/** Names of mounts, namespaces and prefixes: segments that need no escape in a path. */
const path = z
  .string()
  .max(256)
  .regex(
    /^(?!.*(?:^|\/)\.{1,2}(?:\/|$))[A-Za-z0-9._~-]+(?:\/[A-Za-z0-9._~-]+)*$/,
    'must be names of letters, digits, ".", "_", "~" and "-", with a slash between them',
  )

const text = z
  .string()
  .min(1)
  .max(512)
  .regex(/^[\x21-\x7e]+$/, 'must be visible characters without spaces')

/** A secret that is read for its value, or for a field of it where it is a JSON object. */
export const secretRef = z
  .strictObject({
    name: z
      .string()
      .refine((name) => nameProblem(name) === undefined, 'must be the name of a secret'),
    key: z.string().min(1).max(256).optional(),
  })
  .meta({
    id: 'SecretRef',
    description: 'A secret that Sotto itself keeps: its active version, or a field of that.',
  })

const inline = z.boolean().optional().meta({
  description:
    'Whether each call logs in by itself, so that no token is kept: OpenBao 2.4 or later.',
})

const auth = z
  .discriminatedUnion('method', [
    z.strictObject({
      method: z.literal('approle'),
      mount: path.optional(),
      inline,
      roleId: text,
      secretIdSecretRef: secretRef,
    }),
    z.strictObject({ method: z.literal('kubernetes'), mount: path.optional(), inline, role: text }),
    z.strictObject({ method: z.literal('jwt'), mount: path.optional(), inline, role: text }),
    z.strictObject({
      method: z.literal('userpass'),
      mount: path.optional(),
      inline,
      username: path,
      passwordSecretRef: secretRef,
    }),
  ])
  .meta({ id: 'BackendAuth', description: 'How the server logs in, instead of with a token.' })

/** What Sotto keeps below the prefix of a backend for itself: no mirror shows anything there. */
const KEPT = ['home', 'place', 'probe', 'versions'] as const

/** Whether `path`, below the mount, is where a backend of that prefix keeps something for itself. */
export function isKept(pathPrefix: string, at: string): boolean {
  return KEPT.some((folder) => `${at}/`.startsWith(`${pathPrefix}/${folder}/`))
}

/** Below which path of the mount a mirror's entries are: empty for the mount itself. */
export function mirrorTree(config: {
  readonly pathPrefix: string
  readonly mirror?: { readonly path?: string | undefined } | undefined
}): string {
  const { pathPrefix, mirror } = config
  // A function: `$` in a replacement means something.
  const filled = (mirror?.path ?? MIRROR_PATH).replace('{prefix}', () => pathPrefix)
  return filled.replace(/\/?\{name\}$/, '')
}

/** What a backend of the type `openbao` is set up with. */
export const openBaoConfig = z
  .strictObject({
    url: z.string().max(512),
    mount: path.default('secret'),
    pathPrefix: path.default('sotto'),
    namespace: path.optional(),
    caCertificate: z
      .string()
      .max(64 * 1024)
      .refine((pem) => pem.includes('-----BEGIN CERTIFICATE-----'), 'must be PEM')
      .optional(),
    tokenSecretRef: secretRef.optional(),
    auth: auth.optional(),
    mirror: mirrorSpec.optional(),
  })
  .refine(
    ({ tokenSecretRef, auth: given }) => (tokenSecretRef === undefined) !== (given === undefined),
    'must have one of tokenSecretRef and auth',
  )
  .refine((config) => !isKept(config.pathPrefix, mirrorTree(config)), {
    path: ['mirror', 'path'],
    message: `must not lead into what Sotto keeps below the path prefix for itself: ${KEPT.join(', ')}`,
  })
  .meta({
    id: 'OpenBaoConfig',
    description: 'A KV v2 mount of an OpenBao, and how the server logs in there.',
  })

/** The types of backends. `sotto` is the store itself, which there is always exactly one of. */
export const backendTypes = ['sotto', 'openbao'] as const

/** What a backend of the type `openbao` is set up with, defaults filled in. */
export type OpenBaoConfig = z.output<typeof openBaoConfig>

/** A secret that is read for its value. */
export type SecretRef = z.output<typeof secretRef>

/** The name of the backend that is always there: the store itself. */
export const STORE_BACKEND = 'default'

/** The name of a backend. */
export const backendName: z.ZodString = z
  .string()
  .regex(
    /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$/,
    'must be 1 to 64 letters, digits, ".", "_" and "-"',
  )
  .meta({ description: 'The name of a backend.' })

/** A backend as it is to be. */
export const backendSpec = z.strictObject({
  Name: backendName,
  Type: z.enum(backendTypes),
  Description: z
    .string()
    .max(512)
    .refine((words) => !/\p{Control}/u.test(words), 'must have no control characters')
    .default('')
    // The same in words that every reader of the description knows.
    .meta({ pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]*$' }),
  Default: z.boolean().default(false).meta({ description: 'Whether new secrets are kept there.' }),
  Config: openBaoConfig
    .optional()
    .meta({ description: 'For the type openbao; the type sotto has none.' }),
})

/** A backend as it is to be, defaults filled in. */
export type BackendSpec = z.output<typeof backendSpec>

/** The secrets that `config` names to log in with. */
export function credentialsOf({ tokenSecretRef, auth: given }: OpenBaoConfig): SecretRef[] {
  if (tokenSecretRef) return [tokenSecretRef]
  if (given?.method === 'approle') return [given.secretIdSecretRef]
  return given?.method === 'userpass' ? [given.passwordSecretRef] : []
}

/** What is shown in the place of a credential, and of what leads to one. */
const MASK = '(masked)'

/** `config` as it may be pasted anywhere: credentials, and what says where they are, are masked. */
export function masked(config: OpenBaoConfig): Record<string, unknown> {
  const { tokenSecretRef, auth: given, ...open } = config
  if (tokenSecretRef) return { ...open, tokenSecretRef: MASK }
  if (given?.method === 'approle') {
    return { ...open, auth: { ...given, roleId: MASK, secretIdSecretRef: MASK } }
  }
  if (given?.method === 'userpass') return { ...open, auth: { ...given, passwordSecretRef: MASK } }
  return { ...open, auth: given }
}
