/** What a store keeps of mirrors: how far each is, and what it shows of each secret. */

/** What other readers see of a secret, or are about to. */
export interface Shown {
  /** The revision of it in the backend. */
  readonly revision: number
  readonly incarnation: number
  readonly version: number
  /** The number of the lasting key of the fingerprint; absent: 1. */
  readonly key?: number
  /** Of what is seen: keyed, so that it reveals nothing about the value. */
  readonly fingerprint: string
}

/**
 * The state of a secret in a mirror: `due` to be looked at, `ok`, `failed` and tried again, in `drift` since
 * someone else changed it there, `kept` there though it was deleted here, or `left` there since the mirror
 * is not for it any more.
 */
export const mirroredStates = ['due', 'ok', 'failed', 'drift', 'kept', 'left'] as const

/** A secret in a mirror. Times are UTC. */
export interface Mirrored {
  readonly name: string
  readonly state: (typeof mirroredStates)[number]
  /** For the operator, half a sentence; empty where there is nothing to say. */
  readonly reason: string
  /** Since when it is in this state. */
  readonly since: string
  /** Attempts in a row that failed. */
  readonly attempts: number
  /** Whether one that failed is tried again by itself; absent: only once it changes, or everything is checked. */
  readonly retries?: true
  /** The last that was written. */
  readonly shown?: Shown
  /** What is about to be written, or was when the server stopped. */
  readonly intended?: Shown
}

/** How far a mirror is. */
export interface MirrorHead {
  /** Changes up to this revision of the store were read. */
  readonly cursor: number
  /** What the mirror is for, as its owner spells it. */
  readonly scope: string
  /** What holds the values in the backend; absent where it is not known yet. */
  readonly place?: string
  /** When everything was last compared with the backend; absent: never. UTC. */
  readonly checkedAt?: string
}

/** How many secrets of a mirror are in each state; a state without secrets is absent. */
export type MirrorCounts = Partial<Record<Mirrored['state'], number>>

/** Versions of a secret that a mirror of an earlier release copied to its backend, where they still lie. */
export interface StaleCopies {
  /** The id of the backend. */
  readonly backend: number
  readonly name: string
  readonly versions: readonly number[]
}

/** The verbs of a store about mirrors. Each is atomic and durable; what is not there is skipped. */
export interface MirrorStore {
  /**
   * Looks at the first `limit` committed changes of secrets after `revision`. Resolves with the names that
   * they are of, each once, and the revision of the last; with none and `revision` where there is no more.
   */
  changedSince(
    revision: number,
    limit: number,
  ): Promise<{ readonly names: string[]; readonly revision: number }>

  /** How far the mirror in `backend` is; undefined where there never was one. */
  mirrorHead(backend: number): Promise<MirrorHead | undefined>

  /**
   * Stores `head`, and makes the secrets that are named `due`, as of `at`, whether the mirror has them
   * already or not. Names that were never used are skipped. Rejects with `conflict` where there is no
   * such backend.
   */
  takeUp(backend: number, head: MirrorHead, due: readonly string[], at: string): Promise<void>

  /**
   * Secrets of a mirror, the first `limit` of those after `cursor` (0: from the first on). With `waiting`
   * only those that are due, and those that failed and are tried again.
   */
  mirrored(
    backend: number,
    cursor: number,
    limit: number,
    waiting?: boolean,
  ): Promise<(Mirrored & { readonly cursor: number })[]>

  /** One secret of a mirror; undefined where the mirror does not have it. */
  findMirrored(backend: number, name: string): Promise<Mirrored | undefined>

  /** How many secrets of a mirror are in each state. */
  mirrorCounts(backend: number): Promise<MirrorCounts>

  /** Stores the state of a secret of a mirror; one that the mirror does not have is skipped. */
  saveMirrored(backend: number, mirrored: Mirrored): Promise<void>

  /** Removes a secret from a mirror. */
  dropMirrored(backend: number, name: string): Promise<void>

  /** The copies in backends that nothing reads or removes, and that were not reported yet. */
  staleCopies(): Promise<StaleCopies[]>

  /** They were reported. */
  forgetStaleCopies(): Promise<void>
}
