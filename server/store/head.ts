/** How far a store is. */

/** An audit record that the store has. */
export interface AuditMark {
  readonly id: number
  readonly hash: string
}

/** What comes with a start and with an adoption, which are no revisions. */
export interface StandingChange {
  /** The durable record of it. */
  readonly intent: AuditMark
}

/** What of a store's identity changes, and the MAC over all of it. */
export interface StoredStanding {
  readonly adopted: boolean
  readonly starts: number
  readonly host: string
  /** The audit record from which on each batch has a MAC; absent together with the MAC, until the first opening. */
  readonly macsFrom?: number
  /** The revision up to which all changes were verified, and the digest of their rows: they need no MACs. */
  readonly checked?: number
  readonly digest?: Uint8Array
  readonly mac?: Uint8Array
}

/** A committed change, as its MAC covers it. */
export interface StoredChange extends AuditMark {
  readonly revision: number
  readonly about: 'secret' | 'backend' | 'rotation' | 'keys'
  readonly verb: string
  /** Of the secret; the id of the backend or the rotation; empty for keys. */
  readonly name: string
  readonly incarnation?: number
  readonly version?: number
  /** A principal as JSON, or who works on the files of the store. */
  readonly by: string
  /** UTC. */
  readonly at: string
  /** A digest of what the change led to, in hex; absent where nothing is left, or it is not known. */
  readonly state?: string
  /** In hex. */
  readonly mac?: string
}

/** What authenticates a change; without a MAC: of one of before there were any. */
export interface ChangeMac {
  readonly state?: Uint8Array
  readonly mac?: Uint8Array
}

/** A page of rows of changes, as one text that no other rows have. */
export interface ChangeRows {
  readonly text: string
  /** The revision of the last of them; absent where there are none. */
  readonly last?: number
}

/** A page of what secrets are and what the newest change of each made of it. */
export interface NewestStates {
  /**
   * Of each secret: the revision and the digest, in hex, of its newest change, each empty where there is none; and, with
   * blanks between all of them, its incarnation, the active version, versions and removed ones as runs, settings
   * in hex, and its name.
   */
  readonly rows: readonly string[]
  /** Where the next page begins; absent at the end. */
  readonly last?: number
}

/** The newest change of a backend, of a rotation, or of the keyring and the root key. */
export interface NewestChange {
  readonly revision: number
  readonly verb: string
  /** As `StoredChange` has it. */
  readonly state?: string
}

/** What a verb stores in addition to what it is given. */
export interface Signed {
  /** Of the change. */
  readonly signed?: ChangeMac
  /** What `keysShape` is to say after it. */
  readonly shape?: string
  /** What the store is after it; absent where that stays as it is. */
  readonly standing?: StoredStanding
}

/** What authenticates the verb that is called with `args`, the first of which has an intent. */
export type Sign = (verb: string, args: readonly unknown[]) => Signed | Promise<Signed>

/** Where a change's MAC belongs. */
export interface RevisionMac extends ChangeMac {
  readonly revision: number
}

/** How far a store is. */
export interface StoreHead {
  /** Counts committed changes: 0 in a new store, then one more for each. */
  readonly revision: number
  /** The newest of the intents of committed changes and of the records that `remember` named. */
  readonly audit: AuditMark | null
}
