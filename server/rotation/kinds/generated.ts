/** A value that Sotto makes, and that no system but the programs themselves is told of. */
import { SottoError } from '../../../client/api/errors.ts'
import type { RotationConfig } from '../../../client/api/rotations.ts'
import { fits, generate } from '../template.ts'
import type { Kind } from './contract.ts'

/** The kind `generated`. What is active is what counts, so that there is nothing to do outside. */
export function generatedKind({ template }: Extract<RotationConfig, { kind: 'generated' }>): Kind {
  return {
    byHand: false,
    overlaps: true,
    retires: false,
    plan: async () => [],
    generate: async (old) => generate(template, old),
    apply: async () => {},
    accepts: async () => true,
    test: async ({ candidate }) => {
      if (fits(template, await candidate())) return
      throw new SottoError(
        'backend_refused',
        'The candidate does not have the shape of its template',
      )
    },
    sessions: async () => undefined,
    retire: async () => {},
    restore: async () => {},
  }
}
