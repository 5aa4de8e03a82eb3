/** How far a store is. */

/** An audit record that the store has. */
export interface AuditMark {
  readonly id: number
  readonly hash: string
}

/** How far a store is. */
export interface StoreHead {
  /** Counts committed changes: 0 in a new store, then one more for each. */
  readonly revision: number
  /** The newest of the intents of committed changes and of the records that `remember` named. */
  readonly audit: AuditMark | null
}
