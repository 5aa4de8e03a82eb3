/**
 * The gate: the only place that decides access, writes audit records and opens sealed values. Every
 * verb of the service enters through `enter` and acts through the pass that it is given.
 */
import { timingSafeEqual } from 'node:crypto'
import type { AuditLog } from '../../audit/log.ts'
import type { AccessEntry, BackendEntry, Result } from '../../audit/record.ts'
import { asSottoError, quote, SottoError } from '../../client/api/errors.ts'
import type { Action } from '../../client/api/types.ts'
import { allows, allowsEach, type Caller, type Grant, grantOf } from '../access.ts'
import type { Values } from '../backends/values.ts'
import type { OpenableVersion } from '../catalog/cache.ts'
import type { ChangeStamp } from '../catalog/states.ts'
import type { Place } from '../crypto/binding.ts'
import type { Keyring } from '../crypto/keyring.ts'
import type { KeyChange, SecretState } from '../store/contract.ts'
import { BackupRecords } from './backup-records.ts'
import type { Commits } from './commits.ts'
import { type KeyActs, keyActs, type KeyIntent } from './key-acts.ts'
import { recordIfPossible, Refusals } from './refusals.ts'

/** One request of a caller that the network has named. */
export interface Call {
  readonly caller: Caller
  /** The id in the header of the answer. */
  readonly request: string
}

/** What the gate works with. */
export interface GateParts {
  readonly log: AuditLog
  readonly keyring: Keyring
  readonly values: Values
  readonly commits: Commits
  readonly clock: () => Date
}

/** What a pass works with. */
interface PassParts extends GateParts {
  readonly refusals: Refusals
}

/** What was asked for, as records have it. */
type Asked = Omit<AccessEntry, 'authorized' | 'result'>

/** Decides, records, opens. */
export class Gate {
  readonly #parts: PassParts

  constructor(parts: GateParts) {
    this.#parts = { ...parts, refusals: new Refusals(parts.log, parts.clock) }
  }

  /**
   * Lets `call` perform `action` on `name`, or rejects with `denied` when no rule allows it. Nothing
   * about the name is looked up first, so that a refusal reveals nothing. `operation` names the operation
   * that it is a part of, if there is one.
   */
  async enter(call: Call, action: Action, name: string, operation?: string): Promise<Pass> {
    const entry = { ...entryOf(call, action, name), ...(operation !== undefined && { operation }) }
    if (allows(call.caller.rules, action, name)) return new Pass(this.#parts, entry, name)
    const why = call.caller.rules.length === 0 ? 'the caller has no rules' : 'no rule allows it'
    return this.#refuse(entry, why, `${action} ${quote(name)}`)
  }

  /**
   * Lets `call` ask for `operation`, which needs the operator's `action` and concerns no secret, or
   * rejects with `denied`. What it does to a secret goes through `enter` like everything else.
   */
  async operate(call: Call, action: Action, operation: string): Promise<OperatorPass> {
    const entry = { ...entryOf(call, action), operation }
    if (allows(call.caller.rules, action, '')) return new OperatorPass(this.#parts, entry)
    return this.#refuse(entry, 'no rule allows it on the empty name', operation)
  }

  /**
   * Rejects with `denied` unless `call` may perform `action` on every secret whose name `pattern` matches,
   * future ones included.
   */
  async demandEach(call: Call, action: Action, pattern: string): Promise<void> {
    if (allowsEach(call.caller.rules, action, pattern)) return
    const why = 'no rule allows it on every name of this pattern'
    await this.#refuse(entryOf(call, action, pattern), why, `${action} each of ${quote(pattern)}`)
  }

  /** Whether `call` may perform `action` on `name`; for filtering lists that are recorded as one. */
  sees(call: Call, action: Action, name: string): boolean {
    return allows(call.caller.rules, action, name)
  }

  /** The rule that lets `call` perform `action` on `name`, to be shown to the caller; undefined: there is none. */
  grant(call: Call, action: Action, name: string): Grant | undefined {
    return grantOf(call.caller.rules, action, name)
  }

  /** Whether `call` may perform `action` on any name there could be. */
  seesAny(call: Call, action: Action): boolean {
    return call.caller.rules.some((rule) => rule.action.includes(action) && rule.secret.length > 0)
  }

  /**
   * Records that so many secrets were listed; resolves also while the log is down. Anybody may list, so
   * that an empty list is recorded like a refusal.
   */
  async listed(call: Call, secrets: number): Promise<void> {
    const { log, refusals } = this.#parts
    const entry: AccessEntry = { ...entryOf(call, 'info'), authorized: true, result: 'ok' }
    await (secrets === 0 ? refusals.record(entry) : recordIfPossible(log, entry))
  }

  /** Records that a caller could not be named. Never rejects. */
  async unidentified(request: string, ip: string, reason: string): Promise<void> {
    await this.#parts.refusals.record({ kind: 'unidentified', request, ip, reason })
  }

  /** Writes what was only counted until now. */
  async flush(): Promise<void> {
    await this.#parts.refusals.flush()
  }

  async #refuse(entry: Asked, reason: string, wish: string): Promise<never> {
    await this.#parts.refusals.record({ ...entry, authorized: false, result: 'denied', reason })
    throw new SottoError('denied', `${entry.principal.hostname} may not ${wish}`)
  }
}

/** Permission to perform one action on one name: nothing else can be done with the name. */
export class Pass {
  readonly #parts: PassParts
  readonly #entry: Asked
  readonly #name: string

  constructor(parts: PassParts, entry: Asked, name: string) {
    this.#parts = parts
    this.#entry = entry
    this.#name = name
  }

  /**
   * Opens exactly `sealed`, once the record of it is durable; a backend that has the value is asked only
   * then. Rejects with `audit_unavailable`, and then nothing was opened; with `store_damaged` when the bytes
   * fail their authentication; and as `Values.read`. The last two are recorded. The caller zeroes the value.
   */
  async reveal(secret: SecretState, sealed: OpenableVersion): Promise<Buffer> {
    const { log, keyring, values, commits } = this.#parts
    const receipt = await log.append(this.#access('ok', sealed.version))
    const place = placeOf(secret, sealed)
    try {
      if (sealed.backend !== undefined) return await values.read(place, sealed)
      return keyring.openSealed(place, sealed.dataKey, sealed.sealed)
    } catch (error) {
      commits.abandon(receipt.id, asSottoError(error).message)
      throw error
    }
  }

  /**
   * Whether `value` is what `sealed` holds; no backend is asked. A yes reveals something about the value: it
   * is recorded as `unchanged`, durable before the answer. Rejects with `audit_unavailable` and
   * `store_damaged`.
   */
  async equals(secret: SecretState, sealed: OpenableVersion, value: Uint8Array): Promise<boolean> {
    const { log, keyring, values } = this.#parts
    const place = placeOf(secret, sealed)
    let same: boolean
    if (sealed.backend !== undefined) same = values.isSame(place, sealed, value)
    else {
      const stored = keyring.openSealed(place, sealed.dataKey, sealed.sealed)
      same = stored.length === value.length && timingSafeEqual(stored, value)
      stored.fill(0)
    }
    if (same) await log.append(this.#access('unchanged', sealed.version))
    return same
  }

  /**
   * Records an outcome that reveals no value; resolves also while the log is down. An outcome that gave the
   * caller nothing is recorded as a refusal is, though the caller has the right: a program that waits for
   * a secret asks again and again.
   */
  async record(result: Result, version?: number): Promise<void> {
    const { log, refusals } = this.#parts
    const entry = this.#access(result, version)
    const nothing = result === 'not-found' || result === 'refused'
    await (nothing ? refusals.record(entry) : recordIfPossible(log, entry))
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
    await changeSecret(this.#parts, this.#entry, { name: this.#name, verb, version }, commit)
  }

  #access(result: Result, version: number | undefined): AccessEntry {
    return {
      ...this.#entry,
      authorized: true,
      ...(version !== undefined && { secretVersion: version }),
      result,
    }
  }
}

/** Permission to do one operation. */
export class OperatorPass implements KeyActs {
  readonly #parts: GateParts
  readonly #entry: Asked

  constructor(parts: GateParts, entry: Asked) {
    this.#parts = parts
    this.#entry = entry
  }

  /** Records the act before it is done: resolves once that is durable. Rejects with `audit_unavailable`. */
  async announce(): Promise<void> {
    await this.#parts.log.append({ ...this.#entry, authorized: true, result: 'ok' })
  }

  /** Records an outcome that reveals and changes nothing; resolves also while the log is down. */
  async record(result: Result): Promise<void> {
    await recordIfPossible(this.#parts.log, { ...this.#entry, authorized: true, result })
  }

  /** As `Pass.change`, for an operation that changes the whole secret `name`. */
  async changeSecret(
    verb: string,
    name: string,
    commit: (stamp: ChangeStamp) => Promise<number>,
  ): Promise<void> {
    await changeSecret(this.#parts, this.#entry, { name, verb, version: undefined }, commit)
  }

  /** Records what is done to the backups in `target`. */
  backups(target: string): BackupRecords {
    return new BackupRecords(this.#parts.commits, this.#entry.principal, target)
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
    const { log, commits, clock } = this.#parts
    const { request, principal, action } = this.#entry
    const intent = await log.append({ kind: 'backend', request, principal, action, verb, backend })
    const stamp = { intent, by: principal, at: clock().toISOString() }
    await commits.carryOut('backends', intent, () => commit(stamp))
  }

  /** Changes the keys by this call: see `KeyActs`. */
  changeKeys(intent: KeyIntent, commit: (change: KeyChange) => Promise<number>): Promise<void> {
    const { commits, clock } = this.#parts
    const { request, principal } = this.#entry
    return keyActs(commits, { request, principal }, clock).changeKeys(intent, commit)
  }
}

async function changeSecret(
  { log, commits, clock }: GateParts,
  { request, principal: by, action }: Asked,
  { name, verb, version }: { name: string; verb: string; version: number | undefined },
  commit: (stamp: ChangeStamp) => Promise<number>,
): Promise<void> {
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

function placeOf({ name, incarnation }: SecretState, { version }: OpenableVersion): Place {
  return { name, incarnation, version }
}

function entryOf(call: Call, action: Action, name?: string): Asked {
  return {
    kind: 'access',
    request: call.request,
    principal: call.caller.principal,
    action,
    ...(name !== undefined && { secret: name }),
  }
}
