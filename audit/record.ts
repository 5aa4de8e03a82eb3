/**
 * The shape of audit records: one JSON object a line, setec's field names kept, ours added.
 * A record knows names and versions, never values: there is no field that could hold one.
 */
import type { Action, Principal, Result } from '../client/api/types.ts'

export type { Result }

/** What a caller asked for. */
interface Requested {
  /** The id of the request that it belongs to, as the answer's header told it. */
  readonly request: string
  readonly principal: Principal
  readonly action: Action
}

/** A read, or an act that changed nothing, or one that was refused. */
export interface AccessEntry extends Requested {
  readonly kind: 'access'
  readonly authorized: boolean
  /** By which other surface than the API it was asked. */
  readonly via?: 'vault'
  /** The service account that proved itself beside its node. */
  readonly account?: string
  /** What an operator asked for, by its name in the API; absent for acts on secrets. */
  readonly operation?: string
  /** The names and patterns that an operation was asked about, as JSON, cut where it is long. */
  readonly asked?: string
  /** Absent for a list, and for operations. Of a long name that no secret can have, the beginning. */
  readonly secret?: string
  /** Then the SHA-256 of the whole name, in hex. */
  readonly secretHash?: string
  /** The version that left, or that the act named; absent when none is concerned. */
  readonly secretVersion?: number
  /** Of a value that left: the StableID of the node that got it; absent on a development tailnet. */
  readonly node?: string
  /** The label that the program gave itself. */
  readonly client?: string
  /** The version that it said it held, and exchanges for this one. */
  readonly held?: number
  readonly result: Result
  /** The rich reason of a refusal, for the operator. */
  readonly reason?: string
}

/** The intent to change a secret, durable before the change is made. */
export interface ChangeEntry extends Requested {
  readonly kind: 'change'
  readonly authorized: true
  readonly secret: string
  /** The version that is added, activated or deleted; absent when the whole secret is deleted. */
  readonly secretVersion?: number
  /** The verb of the API, since put and create-version both add. */
  readonly verb: string
}

/**
 * Who changes the keys: a caller of the server by a request, or else a user of its machine who works on
 * the files of the store, as the system names it.
 */
export type KeyActor =
  | { readonly request: string; readonly principal: Principal; readonly operator?: never }
  | { readonly operator: string; readonly request?: never; readonly principal?: never }

/** The intent to change the wraps of the root key, durable before they are changed. */
export type KeyEntry = KeyActor & {
  readonly kind: 'key'
  readonly verb: 'add' | 'remove' | 'rewrap'
  /** The name of the key provider. */
  readonly provider: string
  /** Names the provider's key. */
  readonly fingerprint: string
}

/** The intent to change the keyring, durable before it is changed. */
export type KeyringEntry = KeyActor & {
  readonly kind: 'keyring'
  /** `add` also retires the entry that was active, `move` wraps data keys by the entry. */
  readonly verb: 'add' | 'move' | 'erase'
  /** The id of the entry. */
  readonly entry: number
  /** Names its key. */
  readonly fingerprint: string
  /** For `move`: of how many versions. */
  readonly versions?: number
}

/** The intent to replace the root key, durable before it is replaced. */
export type RootKeyEntry = KeyActor & {
  readonly kind: 'root-key'
  /** `settle`: nothing is left that the root key before gave. */
  readonly verb: 'rotate' | 'settle'
  /** The number of the root key: 1 for the first of a store. */
  readonly number: number
  /** Names it. */
  readonly fingerprint: string
}

/** Names a backup, and says where it is kept. */
interface OfBackup {
  readonly backup: string
  readonly target: string
}

/** A backup is about to be made. It stands here before the backup counts as one. */
export interface BackupEntry extends OfBackup {
  readonly kind: 'backup'
  /** The fingerprint of the root key that it is under; absent in logs of early releases. */
  readonly root?: string
  /** Who asked for it over the network, or the part of the server that made it. */
  readonly principal?: Principal
  /** Who works on the files of the store; one of the two is there. */
  readonly operator?: string
}

/** A backup is about to be deleted: it is not to be kept any longer. */
export interface PruneEntry extends OfBackup {
  readonly kind: 'prune'
  readonly principal: Principal
}

/** A backup was restored to a temporary place, opened, and destroyed there. */
export interface RehearsalEntry extends OfBackup {
  readonly kind: 'rehearsal'
  readonly principal: Principal
  /** Values that were opened. */
  readonly values: number
  readonly result: 'ok' | 'failed'
  /** What it failed of. */
  readonly reason?: string
}

/** The store came back from a backup; the log continues after what is known of it. */
export interface RestoreEntry {
  readonly kind: 'restore'
  /** The name of the backup. */
  readonly backup: string
  /** The revision that the backup has. */
  readonly taken: number
  /** How many version numbers were skipped, of every name; 0 where the log had all of them. */
  readonly skipped: number
  /** The branch that begins here, and the root key of the backup; absent in logs of early releases. */
  readonly branch?: string
  readonly root?: string
  readonly operator: string
}

/** The intent to change a backend, durable before it is changed. */
export interface BackendEntry extends Requested {
  readonly kind: 'backend'
  readonly verb: 'create' | 'edit' | 'delete'
  /** Its name. */
  readonly backend: string
}

/**
 * Something is about to be written to a backend or removed there, outside of the store: what a mirror shows
 * of a secret, or a value that is not to be there any longer.
 */
export interface PlaceEntry {
  readonly kind: 'place'
  readonly request: string
  readonly principal: Principal
  readonly verb: 'show' | 'hide' | 'remove'
  /** The name of the backend. */
  readonly backend: string
  readonly secret: string
  /** Absent where the secret is hidden. */
  readonly secretVersion?: number
}

/** The intent to change a rotation: how it is set up, or how far its run is. Durable before it is changed. */
export interface RotationEntry extends Requested {
  readonly kind: 'rotation'
  readonly verb: 'create' | 'edit' | 'delete' | 'step'
  /** Its name. */
  readonly rotation: string
  readonly secret: string
  /** Of a step: the version that the run is about, where it has one. */
  readonly secretVersion?: number
  /** The number of the run, from 1. */
  readonly run?: number
  /** The step that is reached, or was tried in vain. */
  readonly step?: string
  readonly result?: 'ok' | 'failed'
  /** Why it failed or is held, in a word. */
  readonly reason?: string
}

/** An operator lets this server of a store that was restored, copied or moved change what is outside of it. */
export interface AdoptEntry extends Requested {
  readonly kind: 'adopt'
  readonly branch: string
}

/** What announces a change of the store, and leaves its outcome open. */
export type IntentEntry =
  | ChangeEntry
  | KeyEntry
  | KeyringEntry
  | RootKeyEntry
  | BackendEntry
  | RotationEntry

/** What the record `of` announced was not committed. */
interface AbandonedEntry {
  readonly kind: 'abandoned'
  readonly of: number
  readonly reason: string
}

/** A caller that the network could not name. */
export interface UnidentifiedEntry {
  readonly kind: 'unidentified'
  readonly request: string
  readonly ip: string
  readonly reason: string
}

/** How many refusals there were like one that is in the log already. */
export interface RefusalsEntry {
  readonly kind: 'refusals'
  /** Absent where the callers could not be named. */
  readonly principal?: Principal
  /** Where there is no principal, the address; empty for several. */
  readonly ip: string
  readonly count: number
  /** Times of the first and the last of them. */
  readonly first: string
  readonly last: string
}

/** A server began to use the log. */
interface StartEntry {
  readonly kind: 'start'
  /** The release of the program. */
  readonly version: string
  /** The key provider that opened the store, and its key; absent in logs of early releases. */
  readonly provider?: string
  readonly fingerprint?: string
}

/** From this record on every batch has a MAC. */
interface FormatEntry {
  readonly kind: 'format'
  readonly macsFrom: number
}

/** A server ended to use the log. */
interface StopEntry {
  readonly kind: 'stop'
  readonly version: string
}

/** What is handed to the log. */
export type Entry =
  | AccessEntry
  | IntentEntry
  | AbandonedEntry
  | UnidentifiedEntry
  | RefusalsEntry
  | BackupEntry
  | PruneEntry
  | RehearsalEntry
  | RestoreEntry
  | PlaceEntry
  | AdoptEntry
  | StartEntry
  | FormatEntry
  | StopEntry

/**
 * The first record of every segment. `after` is the id of the last record that was durable before
 * it and `prev` that record's hash; ids between `after` and this record's own were given to
 * records that may not have reached the disk.
 */
export interface SegmentEntry {
  readonly kind: 'segment'
  readonly format: 1
  /** The id of the store whose log it is. */
  readonly log: string
  readonly after: number
  /** The first id of the segment that holds the record `after`, which names its file; 0 for none. */
  readonly before: number
  /**
   * At most so many bytes stand between the record `after` and this segment that are no whole,
   * chained record: writes cut short, which a crash or a failing disk left.
   */
  readonly torn: number
  /** Changes in the log whose outcome was not known yet when the segment began, by record id. */
  readonly open: readonly number[]
  /** Records of acts that revealed nothing and could not be written, since the segment before. */
  readonly lost: number
  /** The branch of the store; absent in logs of early releases, as the rest is. */
  readonly branch?: string
  /** The number of the key that makes the MACs of the segment's batches; absent where they have none. */
  readonly key?: number
  /** The record from which on every batch has a MAC. */
  readonly macsFrom?: number
  /** At most so many of the records between `after` and this one are in no batch with a MAC. */
  readonly unproven?: number
  /** The latest time of any record before the segment, where that is later than the time of this one: a clock went back. */
  readonly latest?: string
}

/** What the log adds to every entry. */
export interface Stamp {
  /** The sequence number: 1 for the first record of a log, then one more for each. */
  readonly id: number
  /** UTC, with milliseconds. */
  readonly time: string
  /** The store's committed revision when the record was made. */
  readonly revision: number
  /** SHA-256 of the line before, without its newline, in hex; zeros for the first record. */
  readonly prev: string
  /** 8 random bytes in hex, where there is no request id: nobody can guess the line, and so test its hash. */
  readonly salt?: string
  /** In the last record of a batch: over the hashes of its records, of this one as it is without it. */
  readonly mac?: string
}

/** A record as it is in the log; readers mark one on whose strength nobody was answered. */
export type AuditRecord = Stamp & { readonly unconfirmed?: true } & (Entry | SegmentEntry)

/** Names a durable record: its sequence number and the SHA-256 of its line, in hex. */
export interface Receipt {
  readonly id: number
  readonly hash: string
}

const intents: ReadonlySet<string> = new Set<IntentEntry['kind']>([
  'change',
  'key',
  'keyring',
  'root-key',
  'backend',
  'rotation',
])

/** Whether an entry announces a change, so that an `abandoned` record may follow. */
export function isIntent(entry: Entry | SegmentEntry): entry is IntentEntry {
  return intents.has(entry.kind)
}
