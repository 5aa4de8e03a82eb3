/** Changes of the keys: each is announced on the audit log before the store is changed. */
import type { KeyActor, KeyEntry, KeyringEntry } from '../../audit/record.ts'
import type { KeyChange } from '../store/contract.ts'
import type { Commits } from './commits.ts'

/** What a change of the keys announces, beside who makes it. */
export type KeyIntent = Omit<KeyEntry, keyof KeyActor> | Omit<KeyringEntry, keyof KeyActor>

/** Who may change the keys, with all that it takes to do so. */
export interface KeyActs {
  /**
   * Records the intent, runs `commit` once it is durable, and settles the record. Rejects with
   * `audit_unavailable`, and then `commit` did not run, or with what `commit` rejects with.
   */
  changeKeys(intent: KeyIntent, commit: (change: KeyChange) => Promise<number>): Promise<void>
}

/** What changes of the keys are carried out with. */
export interface KeyActsParts {
  readonly commits: Commits
  readonly actor: KeyActor
  readonly clock: () => Date
}

/** The acts of somebody who may change the keys: leave to do so was given before. */
export function keyActs({ commits, actor, clock }: KeyActsParts): KeyActs {
  return {
    async changeKeys(intent, commit) {
      const mark = await commits.log.append({ ...intent, ...actor })
      const by = actor.principal ?? actor.operator
      await commits.carryOut(undefined, mark, () =>
        commit({ intent: mark, by, at: clock().toISOString() }),
      )
    },
  }
}
