/** The kinds of rotations. */
import type { KindOf } from './contract.ts'
import { generatedKind } from './generated.ts'
import { manualKind } from './manual.ts'

/** The kind of a rotation that is set up so. */
export const kindOf: KindOf = (config) =>
  config.kind === 'generated' ? generatedKind(config) : manualKind()
