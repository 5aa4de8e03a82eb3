/** A value that a person makes, somewhere that Sotto does not reach. */
import type { Kind } from './contract.ts'

/** The kind `manual`. What the person puts is taken as it is: that it works is for the person to see. */
export function manualKind(): Kind {
  return {
    byHand: true,
    overlaps: true,
    retires: false,
    plan: async () => [],
    generate: () => Promise.reject(new Error('A person makes the value')),
    apply: async () => {},
    accepts: async () => true,
    test: async () => {},
    sessions: async () => undefined,
    retire: async () => {},
    restore: async () => {},
  }
}
