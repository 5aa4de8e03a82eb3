/** What the gate lets a caller do: a pass for one action on one name, and one for an operation. */
import { timingSafeEqual } from 'node:crypto'
import type { AuditLog } from '../../audit/log.ts'
import type {
  AccessEntry,
  BackendEntry,
  Receipt,
  Result,
  RotationEntry,
} from '../../audit/record.ts'
import { asSottoError } from '../../client/api/errors.ts'
import type { Caller } from '../access.ts'
import type { Values } from '../backends/values.ts'
import type { OpenableVersion } from '../catalog/cache.ts'
import type { ChangeStamp } from '../catalog/states.ts'
import type { Place } from '../crypto/binding.ts'
import type { Keyring } from '../crypto/keyring.ts'
import type { KeyChange, SecretState } from '../store/contract.ts'
import { BackupRecords } from './backup-records.ts'
import type { Commits } from './commits.ts'
import { type KeyActs, keyActs, type KeyIntent } from './key-acts.ts'
import { PlaceRecords } from './place-records.ts'
import { recordIfPossible, type Refusals } from './refusals.ts'

/** One request of a caller that the network has named. */
export interface Call {
  readonly caller: Caller
  /** The id in the header of the answer. */
  readonly request: string
  /** The label that the caller gave itself: recorded, and never trusted. */
  readonly client?: string | undefined
  /** By which other surface than the API it came. */
  readonly via?: 'vault'
  /** The service account that proved itself beside the node, for which what the caller may was narrowed. */
  readonly account?: string
  /** What it was let through for, until it leaves a record. The gate alone reads and sets it. */
  open?: Asked | 'recorded'
}

/** What was asked for, as records have it. */
export type Asked = Omit<AccessEntry, 'authorized' | 'result'>

/** What the gate works with. */
export interface GateParts {
  readonly log: AuditLog
  readonly keyring: Keyring
  readonly values: Values
  readonly commits: Commits
  readonly clock: () => Date
  /** Told of each value that leaves. */
  readonly releases?: Releases
}

/** Keeps track of which versions left for whom. Its methods never throw and take next to no time. */
export interface Releases {
  /**
   * Notes that `version` of `name` leaves for the caller of `call`, who says it holds the version `held`, 0 for none: in the
   * same turn as its record became durable. Answers with what `withdrawn` takes.
   */
  given(call: Call, name: string, version: number, held: number): number

  /** It did not leave. */
  withdrawn(call: Call, name: string, version: number, before: number): void
}

/** What a pass works with. */
export interface PassParts extends GateParts {
  readonly refusals: Refusals
}

/** What every pass has: what was asked for, and that the call leaves a record of it. */
class AnyPass {
  protected readonly parts: PassParts
  /** For further records of the same call. */
  protected readonly entry: Asked
  protected readonly call: Call

  constructor(parts: PassParts, call: Call, entry: Asked) {
    this.parts = parts
    this.entry = entry
    this.call = call
    call.open ??= entry
  }

  /**
   * Records an outcome that reveals no value; resolves also while the log is down. An outcome that gave the
   * caller nothing is recorded as a refusal is, though the caller has the right: a program that waits for
   * a secret asks again and again.
   */
  async record(result: Result, version?: number): Promise<void> {
    const { log, refusals } = this.parts
    const entry = this.access(result, version)
    await (fruitless.has(result) ? refusals.record(entry) : recordIfPossible(log, entry))
  }

  /** What was asked for, for the record of the call: then the gate makes none. */
  protected asked(): Asked {
    this.call.open = 'recorded'
    return this.entry
  }

  protected access(result: Result, version?: number): AccessEntry {
    return {
      ...this.asked(),
      authorized: true,
      ...(version !== undefined && { secretVersion: version }),
      result,
    }
  }

  protected async changeNamed(
    name: string,
    { verb, version }: { readonly verb: string; readonly version: number | undefined },
    commit: (stamp: ChangeStamp) => Promise<number>,
  ): Promise<void> {
    const { log, commits, clock } = this.parts
    const { request, principal: by, action } = this.asked()
    const intent = await log.append({
      kind: 'change',
      request,
      principal: by,
      action,
      authorized: true,
      secret: name,
      ...(version !== undefined && { secretVersion: version }),
      verb,
    })
    const stamp = { intent, by, at: clock().toISOString() }
    await commits.carryOut({ secret: name }, intent, () => commit(stamp))
  }
}

/** A value that leaves: the number of its record, and what is to be said should it not leave after all. */
interface Leaving {
  readonly record: number
  readonly version: number
  readonly before: number | undefined
}

/** A value whose record is durable. */
export interface Announced {
  /** Opens it. Rejects as `Pass.reveal` does, and then that is recorded. */
  readonly open: () => Promise<Buffer>
  /** Records that it did not leave the server, for `reason`. */
  readonly withdraw: (reason: string) => void
}

/** Permission to perform one action on one name: nothing else can be done with the name. */
export class Pass extends AnyPass {
  readonly #name: string

  constructor(parts: PassParts, call: Call, entry: Asked, name: string) {
    super(parts, call, entry)
    this.#name = name
  }

  /**
   * Opens exactly `sealed`, once the record of it is durable; a backend that has the value is asked only
   * then. Rejects with `audit_unavailable`, and then nothing was opened; with `store_damaged` when the bytes
   * fail their authentication; and as `Values.read`. The last two are recorded. The caller zeroes the value.
   * It is noted as the caller's from then on, in place of the version `held` (0: none); absent: the server itself uses it.
   */
  async reveal(secret: SecretState, sealed: OpenableVersion, held?: number): Promise<Buffer> {
    return this.#open(await this.#leave(sealed, held), secret, sealed)
  }

  /**
   * The same in two steps, so that the records of many can be one write: resolves once the record is durable,
   * with what opens the value. What is not opened after all is withdrawn. Rejects with `audit_unavailable`.
   */
  async announce(secret: SecretState, sealed: OpenableVersion, held: number): Promise<Announced> {
    const leaving = await this.#leave(sealed, held)
    return {
      open: () => this.#open(leaving, secret, sealed),
      withdraw: (reason) => this.#withdraw(leaving, reason),
    }
  }

  /** Records that a value leaves, and notes whose it is in the turn in which that is durable. */
  async #leave({ version }: OpenableVersion, held: number | undefined): Promise<Leaving> {
    const { log, releases } = this.parts
    const entry = this.access('ok', version)
    if (held === undefined)
      return { record: (await log.append(entry)).id, version, before: undefined }
    const { id: record } = await log.append(this.#leaving(entry, held))
    return { record, version, before: releases?.given(this.call, this.#name, version, held) }
  }

  async #open(leaving: Leaving, secret: SecretState, sealed: OpenableVersion): Promise<Buffer> {
    const { keyring, values } = this.parts
    const place = placeOf(secret, sealed)
    try {
      if (sealed.backend !== undefined) return await values.read(place, sealed)
      return keyring.openSealed(place, sealed.dataKey, sealed.sealed)
    } catch (error) {
      this.#withdraw(leaving, asSottoError(error).message)
      throw error
    }
  }

  #withdraw({ record, version, before }: Leaving, reason: string): void {
    const { releases, commits } = this.parts
    if (before !== undefined) releases?.withdrawn(this.call, this.#name, version, before)
    commits.abandon(record, reason)
  }

  /** The record of a value that leaves, with all that tells who has it then. */
  #leaving(entry: AccessEntry, held: number): AccessEntry {
    const { caller, client } = this.call
    const { node } = caller
    return {
      ...entry,
      ...(node !== undefined && { node }),
      ...(client !== undefined && { client }),
      ...(held > 0 && { held }),
    }
  }

  /**
   * Whether `value` is what `sealed` holds; no backend is asked. A yes reveals something about the value: it
   * is recorded as `unchanged`, durable before the answer. Rejects with `audit_unavailable` and
   * `store_damaged`.
   */
  async equals(secret: SecretState, sealed: OpenableVersion, value: Uint8Array): Promise<boolean> {
    const { log, keyring, values } = this.parts
    const place = placeOf(secret, sealed)
    let same: boolean
    if (sealed.backend !== undefined) same = values.isSame(place, sealed, value)
    else {
      const stored = keyring.openSealed(place, sealed.dataKey, sealed.sealed)
      same = stored.length === value.length && timingSafeEqual(stored, value)
      stored.fill(0)
    }
    if (same) await log.append(this.access('unchanged', sealed.version))
    return same
  }

  /**
   * Records the intent to change the secret, runs `commit` once the record is durable, and settles it.
   * `version` is undefined where the whole secret is concerned. Rejects with `audit_unavailable`, and then
   * `commit` did not run, or with what `commit` rejects with.
   */
  async change(
    verb: string,
    version: number | undefined,
    commit: (stamp: ChangeStamp) => Promise<number>,
  ): Promise<void> {
    await this.changeNamed(this.#name, { verb, version }, commit)
  }
}

/** Permission to do one operation. */
export class OperatorPass extends AnyPass implements KeyActs {
  /** Records the act before it is done: resolves once that is durable. Rejects with `audit_unavailable`. */
  async announce(): Promise<void> {
    await this.parts.log.append(this.access('ok'))
  }

  /** As `Pass.change`, for an operation that changes the whole secret `name`. */
  async changeSecret(
    verb: string,
    name: string,
    commit: (stamp: ChangeStamp) => Promise<number>,
  ): Promise<void> {
    await this.changeNamed(name, { verb, version: undefined }, commit)
  }

  /** Records what is done in backends. */
  places(): PlaceRecords {
    return new PlaceRecords(this.parts.commits, this.entry)
  }

  /** Records that `branch` is adopted, and resolves with the record once it is durable. */
  async adopt(branch: string): Promise<Receipt> {
    const { request, principal, action } = this.entry
    return this.parts.log.append({ kind: 'adopt', request, principal, action, branch })
  }

  /** Records what is done to the backups in `target`. */
  backups(target: string): BackupRecords {
    return new BackupRecords(this.parts.commits, this.entry.principal, target)
  }

  /**
   * Records the intent to change a backend, runs `commit` once the record is durable, and settles it.
   * Rejects with `audit_unavailable`, and then `commit` did not run, or with what `commit` rejects with.
   */
  async changeBackend(
    verb: BackendEntry['verb'],
    backend: string,
    commit: (stamp: ChangeStamp) => Promise<number>,
  ): Promise<void> {
    const { log, commits, clock } = this.parts
    const { request, principal, action } = this.asked()
    const intent = await log.append({ kind: 'backend', request, principal, action, verb, backend })
    const stamp = { intent, by: principal, at: clock().toISOString() }
    await commits.carryOut('backends', intent, () => commit(stamp))
  }

  /** As `changeBackend`, for a rotation; `what` says what became of it. */
  async changeRotation(
    what: Omit<RotationEntry, 'kind' | 'request' | 'principal' | 'action'>,
    commit: (stamp: ChangeStamp) => Promise<number>,
  ): Promise<void> {
    const { log, commits, clock } = this.parts
    const { request, principal, action } = this.asked()
    const intent = await log.append({ kind: 'rotation', request, principal, action, ...what })
    const stamp = { intent, by: principal, at: clock().toISOString() }
    await commits.carryOut('rotations', intent, () => commit(stamp))
  }

  /** Changes the keys by this call: see `KeyActs`. */
  changeKeys(intent: KeyIntent, commit: (change: KeyChange) => Promise<number>): Promise<void> {
    const { commits, clock } = this.parts
    const { request, principal } = this.asked()
    return keyActs(commits, { request, principal }, clock).changeKeys(intent, commit)
  }
}

/** Outcomes that gave the caller nothing, or only what it has. */
const fruitless: ReadonlySet<Result> = new Set(['not-found', 'refused', 'failed'])

function placeOf({ name, incarnation }: SecretState, { version }: OpenableVersion): Place {
  return { name, incarnation, version }
}
