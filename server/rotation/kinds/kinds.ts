/** The kinds of rotations. */
import type { Targets } from '../targets.ts'
import type { Kind, KindOf } from './contract.ts'
import { generatedKind } from './generated.ts'
import { manualKind } from './manual.ts'
import { postgresPairKind } from './postgres/pair.ts'
import { postgresSingleKind } from './postgres/single.ts'
import { valkeyAclKind } from './valkey/acl.ts'

/** Gives the kind of a rotation that is set up so, on those targets. */
export function kindsOn(targets: Targets): KindOf {
  return (config): Kind => {
    switch (config.kind) {
      case 'generated':
        return generatedKind(config)
      case 'manual':
        return manualKind()
      case 'postgres-pair':
        return postgresPairKind(config, targets)
      case 'postgres-single':
        return postgresSingleKind(config, targets)
      case 'valkey-acl':
        break
    }
    return valkeyAclKind(config, targets)
  }
}
