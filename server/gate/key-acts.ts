/** Changes of the keys: each is recorded in the audit log before the store is changed. */
import type { KeyActor, KeyEntry, KeyringEntry, RootKeyEntry } from '../../audit/record.ts'
import type { KeyChange } from '../store/contract.ts'
import type { Commits } from './commits.ts'

/** What the record of a change of the keys says, in addition to who makes it. */
export type KeyIntent =
  | Omit<KeyEntry, keyof KeyActor>
  | Omit<KeyringEntry, keyof KeyActor>
  | Omit<RootKeyEntry, keyof KeyActor>

/** What somebody who may change the keys can do. */
export interface KeyActs {
  /**
   * Records the intent, runs `commit` once the record is durable, and settles it. Rejects with
   * `audit_unavailable`, and then `commit` did not run, or with what `commit` rejects with.
   */
  changeKeys(intent: KeyIntent, commit: (change: KeyChange) => Promise<number>): Promise<void>
}

/** The acts of somebody who may change the keys: that was decided before. */
export function keyActs(commits: Commits, actor: KeyActor, clock: () => Date): KeyActs {
  return {
    async changeKeys(intent, commit) {
      const mark = await commits.log.append({ ...intent, ...actor })
      const by = actor.principal ?? actor.operator
      await commits.carryOut('keys', mark, () =>
        commit({ intent: mark, by, at: clock().toISOString() }),
      )
    },
  }
}
