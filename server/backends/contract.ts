/**
 * What a backend does: it keeps values outside the store, in a system that has its own readers. Leaves
 * are immutable, one for each version, and only Sotto reads them; a projection is what other readers see
 * of the active version.
 */
import type { Content } from './content.ts'

/** A version of a secret as a backend keeps it. No number is ever given twice to a name of one store. */
export interface Leaf {
  /** Any text that is well-formed Unicode, compared by its bytes in UTF-8; never empty. */
  readonly name: string
  readonly incarnation: number
  readonly version: number
}

/** Whose it is what a backend writes. */
export interface Owner {
  /** The id of the store. */
  readonly store: string
  /** The id of the backend in that store. */
  readonly backend: number
  /** The branch of the store. */
  readonly branch: string
  /** The branches that the store was before: what they wrote is the store's own history. */
  readonly former: readonly string[]
}

/** What a place says of itself: who wrote there last. One that another start wrote is another server's. */
export interface Claim extends Pick<Owner, 'store' | 'backend' | 'branch'> {
  /** The number of the start of its server. */
  readonly start: number
  /** The audit record of that start, its id and hash: no two starts share one, also where the number is equal. */
  readonly record: string
}

/** A claim as it is found. */
export interface FoundClaim {
  readonly revision: number
  /** Absent where it was deleted. */
  readonly claim?: Claim
}

/** Whose a projection is, and what it shows; kept with it where the system and its policy allow that. */
export interface Mark {
  /** The id of the store that wrote it. */
  readonly store: string
  /** Its backend; 0 in a mark of an earlier release, which does not say. */
  readonly backend: number
  readonly branch: string
  /** The number of the start of the server that wrote it; 0 in a mark of an earlier release. */
  readonly start: number
  readonly incarnation: number
  readonly version: number
  /** The number of the lasting key of the fingerprint; absent: 1. */
  readonly key?: number
  /** Of the content: keyed, so that it reveals nothing about the value. Up to 64 hex digits. */
  readonly fingerprint: string
}

/** What is where other readers look. */
export interface Projection {
  /** Counts what was written there, by anyone; begins again at 1 once all of it was removed. */
  readonly revision: number
  /** The bytes that `contentOf` would make; absent where the newest was deleted. The caller zeroes them. */
  readonly content?: Buffer
  /** Absent where this revision has no mark, or no mark can be kept. */
  readonly mark?: Mark
  /** When the system will delete it by itself: then a setting there is wrong. Absent: never. UTC. */
  readonly expires?: string
}

/** A projection to be written. */
export interface NewProjection {
  /** Stays the caller's. */
  readonly content: Content
  readonly mark: Omit<Mark, 'store' | 'backend' | 'branch'>
}

/** A projection that was written. */
export interface WrittenProjection extends Pick<Projection, 'revision' | 'expires'> {
  /** Whether its mark was written, too. */
  readonly marked: boolean
}

/** What `test` found. */
export interface BackendReport {
  /** What answers, such as `OpenBao 2.4.0`. */
  readonly product: string
  /** Whether marks can be kept with projections. */
  readonly marks: boolean
  /** What an operator should know but need not fix, a sentence each. */
  readonly notes: readonly string[]
}

/** The logins of an open backend, counted from its opening on. Times are milliseconds. */
export interface BackendStatus {
  /** Until the token dies; absent where there is none, or its end is not known. */
  readonly tokenTtlMs?: number
  readonly logins: number
  readonly failedLogins: number
  readonly renewals: number
  readonly failedRenewals: number
  /** Since the login that counts now; absent where there is none. */
  readonly loggedInMs?: number
  /** Since its token was last renewed. */
  readonly renewedMs?: number
  /** The last attempt to log in or to renew that failed, also where one succeeded since. */
  readonly lastFailure?: LoginFailure
}

/** A login or a renewal that failed. */
export interface LoginFailure {
  /** Since then. */
  readonly ms: number
  /** What was found, without a credential. */
  readonly found: string
  /** Whether that is about what the server logs in with, and may name it. */
  readonly ofCredential: boolean
}

/**
 * A backend, open. Values that are given stay the caller's; the caller zeroes values that are returned. Every
 * wait is bounded. A method only answers that something is not there if the system said so: a system that is
 * down, sealed or set up differently is an error.
 *
 * Every method may reject with SottoError `backend_unavailable` when the system does not answer in time,
 * cannot for now, or may have made a change without our learning of it: the same call again settles that. It
 * may reject with `backend_refused` when the system answers and refuses, which only an operator can fix: a
 * permission, a login, a mount or namespace that is gone. Messages name the system and never hold a value or
 * a credential.
 */
export interface Backend {
  /** Names the system in messages, such as `OpenBao at "https://bao.example.com:8200"`. */
  readonly place: string

  /**
   * Keeps `value` as `leaf`. The same value again is a success, `present`, so that a call whose answer
   * was lost can be repeated. Rejects with `conflict` when something else is there, which is left as it is:
   * also the same value where another backend, branch or store wrote it. Rejects with `backend_too_large`
   * before anything is sent.
   */
  writeLeaf(leaf: Leaf, value: Uint8Array): Promise<'written' | 'present'>

  /**
   * The value of `leaf`; undefined where nothing was ever written, or it was removed. Rejects with
   * `backend_altered` when what is there is another store's, backend's or incarnation's, was deleted by
   * someone else, or is not a leaf. One that another branch of the store wrote is read.
   */
  readLeaf(leaf: Leaf): Promise<Buffer | undefined>

  /**
   * Removes `leaf` for good; resolves also where there is none, and where someone else deleted it. Rejects
   * with `conflict` when what is there is not this leaf, or of a branch that the store never was; then it is
   * left as it is.
   */
  removeLeaf(leaf: Leaf): Promise<void>

  /**
   * The numbers of the leaves of `name`, ascending, also of those that someone else deleted but not
   * removed.
   */
  leaves(name: string): Promise<number[]>

  /** What other readers see of `name`; undefined where nothing was ever written, or all of it was removed. */
  readProjection(name: string): Promise<Projection | undefined>

  /**
   * The paths of all that other readers see where projections are, written by Sotto or not; `pathOf` says which name has
   * which. What Sotto keeps for itself is left out.
   */
  projections(): AsyncIterable<string>

  /**
   * Shows `next` to other readers, if `expected` is still the revision there (0: there is none). The same
   * content found one revision later counts as written, so that a call whose answer was lost can be
   * repeated. Rejects with `conflict`, and with `backend_too_large` before anything is sent.
   */
  writeProjection(name: string, next: NewProjection, expected: number): Promise<WrittenProjection>

  /**
   * Removes what other readers see of `name`, with its history, if `expected` is still the revision there;
   * resolves also where there is nothing. Rejects with `conflict`. Systems that cannot compare and remove
   * in one step may lose what was written in between.
   */
  removeProjection(name: string, expected: number): Promise<void>

  /**
   * Names what holds the values, such as a mount: another text once it was removed and recreated, since
   * everything in it is gone then.
   */
  identity(): Promise<string>

  /** What the place says of itself; undefined where nothing was written. Rejects with `conflict` for anything else. */
  readClaim(): Promise<FoundClaim | undefined>

  /** Writes what the place says of itself if `expected` is still its revision (0: there is none), or `conflict`. */
  writeClaim(claim: Claim, expected: number): Promise<void>

  /**
   * Proves that the system is reached, is of the right kind, and permits what this contract needs, by
   * writing a value of its own, reading it back and removing it. Rejects with what is wrong.
   */
  test(): Promise<BackendReport>

  /** The state of its logins. */
  status(): BackendStatus

  /** Closes connections and logins; what is under way may reject. */
  close(): Promise<void>
}

/** The methods of a backend that change nothing there. */
export type BackendReader = Pick<
  Backend,
  'place' | 'readLeaf' | 'leaves' | 'readProjection' | 'projections' | 'identity' | 'readClaim'
>
