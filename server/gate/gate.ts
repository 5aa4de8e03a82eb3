/**
 * The gate: the only place that decides access, writes audit records and opens sealed values. Every
 * verb of the service enters through `enter` and acts through the pass that it is given.
 */
import type { AccessEntry } from '../../audit/record.ts'
import {
  asSottoError,
  type ErrorCode,
  errorTable,
  quote,
  SottoError,
} from '../../client/api/errors.ts'
import type { Action } from '../../client/api/types.ts'
import { allowing, allows, allowsEach, type Grant, grantOf, type Matcher } from '../access.ts'
import { turns } from '../platform/turns.ts'
import {
  type Asked,
  type Call,
  type GateParts,
  OperatorPass,
  Pass,
  type PassParts,
} from './passes.ts'
import { PlaceRecords } from './place-records.ts'
import { recorded, recordIfPossible, Refusals } from './refusals.ts'

export type { Announced, Call, OperatorPass, Pass, Releases } from './passes.ts'

/** Errors that say where something of the server itself is kept. */
const ofPlaces: ReadonlySet<string> = new Set<ErrorCode>([
  'backup_damaged',
  'key_missing',
  'key_exposed',
  'key_wrong',
])

/** Characters of what is said of a caller that could not be named. */
const MAX_REASON = 500

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
    if (allows(call.caller.rules, action, name)) return new Pass(this.#parts, call, entry, name)
    const why = call.caller.rules.length === 0 ? 'the caller has no rules' : 'no rule allows it'
    return this.#refuse(call, entry, why, `${action} on ${quote(name)}`)
  }

  /**
   * As `enter` for each of `names`, and resolves with the passes and the refusals in their order. All is decided before
   * anything is looked up.
   */
  enterEach(
    call: Call,
    action: Action,
    names: readonly string[],
    operation: string,
  ): Promise<(Pass | SottoError)[]> {
    return Promise.all(
      names.map((name) => this.enter(call, action, name, operation).catch(asSottoError)),
    )
  }

  /**
   * Which names `call` may watch. Records that it watches so many, and each of `names` that it may not, as `enter`
   * does; nothing where that was recorded `lately`.
   */
  async watch(call: Call, names: readonly string[], lately: boolean): Promise<Matcher> {
    const isAllowed = this.allowing(call, 'get')
    if (lately) return isAllowed
    const { log, refusals } = this.#parts
    const operation = 'watch'
    const reason = 'no rule allows it'
    const denied = names.filter((name) => !isAllowed(name))
    const records = denied.map((name) => {
      const entry = { ...entryOf(call, 'get', name), operation }
      return refusals.record({ ...entry, authorized: false, result: 'denied', reason })
    })
    if (denied.length < names.length) {
      const asked = JSON.stringify({ Secrets: names.length })
      const entry = { ...entryOf(call, 'get'), operation, asked }
      records.push(recordIfPossible(log, { ...entry, authorized: true, result: 'ok' }))
    }
    await Promise.all(records)
    return isAllowed
  }

  /**
   * Lets `call` ask for `operation`, which needs the operator's `action` and concerns no secret, or
   * rejects with `denied`. What it does to a secret goes through `enter` like everything else. Records
   * have `asked`: the names and patterns of the request, never more of it.
   */
  async operate(
    call: Call,
    action: Action,
    operation: string,
    asked: Readonly<Record<string, unknown>> = {},
  ): Promise<OperatorPass> {
    const text = JSON.stringify(asked)
    const entry = {
      ...entryOf(call, action),
      operation,
      ...(text !== '{}' && { asked: cut(text) }),
    }
    if (allows(call.caller.rules, action, '')) return new OperatorPass(this.#parts, call, entry)
    const needed = `${action} with a pattern that the empty name matches, such as *`
    return this.#refuse(call, entry, 'no rule allows it on the empty name', needed)
  }

  /** As `operate`, and `denied` to all but operators of the host: what it takes, such as a path, is theirs to name. */
  async operateOnHost(call: Call, action: Action, operation: string): Promise<OperatorPass> {
    const pass = await this.operate(call, action, operation)
    if (call.caller.onHost) return pass
    const entry = { ...entryOf(call, action), operation }
    return this.#refuse(
      call,
      entry,
      'only operators of the host may',
      'it from outside of its host',
    )
  }

  /**
   * Rejects with `denied` unless `call` may perform `action` on every secret whose name `pattern` matches,
   * future ones included. Not `told`, the caller does not learn the pattern.
   */
  async demandEach(call: Call, action: Action, pattern: string, told: boolean): Promise<void> {
    if (allowsEach(call.caller.rules, action, pattern)) return
    const why = 'no rule allows it on every name of this pattern'
    const entry = entryOf(call, action, pattern)
    const names = told ? `each of ${quote(pattern)}` : 'every name that this concerns'
    await this.#refuse(call, entry, why, `${action} on ${names}`)
  }

  /**
   * Records how `call` failed where nothing of it is on the log yet: no end of what was let through leaves no
   * trace. Never rejects.
   */
  async failed(call: Call, error: unknown): Promise<void> {
    const { open } = call
    if (open === undefined || open === 'recorded') return
    const { code } = asSottoError(error)
    const unable = errorTable[code].status >= 500 ? 'failed' : 'refused'
    const result = code === 'not_found' ? 'not-found' : unable
    await this.#parts.refusals.record({ ...open, authorized: true, result, reason: code })
  }

  /** Whether `call` may perform `action` on every name that `pattern` matches. */
  seesEach(call: Call, action: Action, pattern: string): boolean {
    return allowsEach(call.caller.rules, action, pattern)
  }

  /**
   * What `call` may know of an error that was not its own: its message may name any secret, and say where a
   * backend is.
   */
  told(call: Call, { code, message, onlyFor }: SottoError): string {
    const { open, text } = errorTable[code]
    const own = open && onlyFor === undefined && !ofPlaces.has(code)
    const knows = onlyFor === undefined || this.sees(call, onlyFor, '')
    return own || (knows && this.seesEach(call, 'info', '*')) ? message : text || 'it failed'
  }

  /**
   * Rejects with `denied` where `call` may perform `action` on no name at all; then the name need not be read.
   */
  async demandAny(call: Call, action: Action): Promise<void> {
    if (this.seesAny(call, action)) return
    const why = 'no rule allows it on any name; the request was too long to be read'
    await this.#refuse(call, entryOf(call, action), why, action)
  }

  /** Whether `call` may perform `action` on `name`; for filtering lists that are recorded as one. */
  sees(call: Call, action: Action, name: string): boolean {
    return allows(call.caller.rules, action, name)
  }

  /** Those of `names` on which `call` may perform `action`; others get their turn in between. */
  async visible(call: Call, action: Action, names: readonly string[]): Promise<string[]> {
    const isSeen = this.allowing(call, action)
    return turns.collect(names, (name) => (isSeen(name) ? name : undefined))
  }

  /** What `sees` says of each of many names. */
  allowing(call: Call, action: Action): Matcher {
    return allowing(call.caller.rules, action)
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

  /** Records what a job of the server does in backends, as the caller of `call`. */
  places({ caller: { principal }, request }: Call): PlaceRecords {
    return new PlaceRecords(this.#parts.commits, { principal, request })
  }

  /** Records that a caller could not be named. Never rejects. */
  async unidentified(request: string, ip: string, reason: string): Promise<void> {
    const bounded = reason.slice(0, MAX_REASON)
    await this.#parts.refusals.record({ kind: 'unidentified', request, ip, reason: bounded })
  }

  /** Writes what was only counted until now. */
  async flush(): Promise<void> {
    await this.#parts.refusals.flush()
  }

  async #refuse(call: Call, entry: Asked, reason: string, rule: string): Promise<never> {
    call.open = 'recorded'
    await this.#parts.refusals.record({ ...entry, authorized: false, result: 'denied', reason })
    const needed = call.caller.onHost
      ? `${rule}, which no operator of the host has: ask from a node of the tailnet`
      : rule
    throw new SottoError('denied', `${entry.principal.hostname} has no rule that allows ${rule}`, {
      callerHint: `It takes a rule that allows ${needed}.`,
    })
  }
}

function entryOf(call: Call, action: Action, name?: string): Asked {
  return {
    kind: 'access',
    request: call.request,
    principal: call.caller.principal,
    action,
    ...(call.via && { via: call.via }),
    ...(call.account !== undefined && { account: call.account }),
    ...(name !== undefined && recorded(name)),
  }
}

/** Characters that a record may have of what was asked. */
const MAX_ASKED = 512

function cut(text: string): string {
  return text.length <= MAX_ASKED ? text : `${text.slice(0, MAX_ASKED)}…`
}
