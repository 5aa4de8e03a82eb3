/** A value that a person makes, somewhere that Sotto does not reach. */
import type { Kind } from './contract.ts'

/** The kind `manual`. What the person puts is taken as it is: that it works is for the person to see. */
export function manualKind(): Kind {
  return {
    byHand: true,
    plan: async () => [],
    generate: () => Promise.reject(new Error('A person makes the value')),
    apply: async () => {},
    probe: async () => ({ candidate: true, previous: true }),
    test: async () => {},
    sessions: async () => undefined,
    retire: async () => {},
    restore: async () => {},
  }
}
