/** What namespaces may have, and where paths lead: the controller's own file. What is not in it is refused. */
import { z } from 'zod'
import { matcherOf } from '../../../server/access.ts'
import { type Mount, mountOf } from '../../../server/vault/mounts.ts'
import { readSpecs } from '../spec-file.ts'
import { SottoError } from '../../../client/api/errors.ts'

/** In a pattern, the name of the namespace. */
const NAMESPACE = 'NAMESPACE'

const patterns = z.array(z.string().min(1))
const file = z.strictObject({
  kind: z.literal('kubernetespolicy'),
  /** By namespace; `*` is every namespace, in addition to its own. */
  allow: z.record(z.string().regex(/^(?:\*|[a-z0-9]([a-z0-9-]*[a-z0-9])?)$/), patterns),
  /** By what paths begin with: what names begin with in its place. */
  mounts: z
    .record(z.string().regex(/^[^/]+(?:\/[^/]+)*$/), z.string().regex(/^(?:|.*\/)$/))
    .default({ secret: '' }),
})

/** What a definition may have. */
export interface Policy {
  /** Whether a namespace may have a secret. */
  allows(namespace: string, name: string): boolean
  /** The name of the secret that a path of a KV engine means. */
  nameAt(path: string): string
}

/** The policy of a file's text. Throws `usage` with the place of what is wrong. */
export function readPolicy(text: string, path: string): Policy {
  const specs = readSpecs(text, path, file)
  const [spec] = specs
  if (!spec || specs.length !== 1) {
    throw new SottoError('usage', 'Cannot use the policy: it has more than one document')
  }
  const { allow } = spec
  // The longest first, so that a mount below another one is found.
  const mounts: Mount[] = Object.entries(spec.mounts)
    .map(([name, prefix]) => ({ name, prefix }))
    .toSorted((a, b) => b.name.length - a.name.length)
  return {
    allows: (namespace, name) =>
      matcherOf(
        [...(allow['*'] ?? []), ...(Object.hasOwn(allow, namespace) ? allow[namespace]! : [])].map(
          (each) => each.replaceAll(NAMESPACE, namespace),
        ),
      )(name),
    nameAt: (given) => {
      const found = mountOf(mounts, given)
      // Of version 2 of the engine, paths of values have `data` after the mount.
      return found ? found.mount.prefix + found.rest.replace(/^data\//, '') : given
    },
  }
}
