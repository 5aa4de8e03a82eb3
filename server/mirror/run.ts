/** Keeps the secrets of one mirror in its backend: one way, and without touching what someone else wrote. */
import { isDeepStrictEqual } from 'node:util'
import { asSottoError, SottoError } from '../../client/api/errors.ts'
import { contentOf } from '../backends/content.ts'
import type { Backend } from '../backends/contract.ts'
import { nameAt } from '../backends/names.ts'
import type { PlaceAct, PlaceRecords } from '../gate/place-records.ts'
import { systemCall } from '../gate/system.ts'
import type { SecretRow } from '../store/contract.ts'
import type { Mirrored, Shown } from '../store/mirrors.ts'
import { Comparison, type Planned } from './compare.ts'
import { type Decision, driftReasons } from './decide.ts'
import type { MirrorParts, MirrorSetup } from './parts.ts'
import { Feed } from './feed.ts'
import type { Lag } from './lag.ts'
import type { Retries } from './retries.ts'

/** What a run did, in secrets. */
export interface Tally {
  checked: number
  written: number
  removed: number
  failed: number
  drifted: number
  /**
   * Paths of what someone else made among ours, of names that the mirror does not have; at most `MAX_FOREIGN`.
   * Absent: it was not looked for, or may not be listed.
   */
  foreign?: readonly string[]
}

/** What is known of a mirror from one run to the next. */
export interface MirrorMemory {
  readonly retries: Retries
  readonly lag: Lag
}

/** How many foreign entries are looked for: the tree of a mirror may be a whole mount of others. */
export const MAX_FOREIGN = 1000

/** What is new of a secret; what is left out stays, but for the reason and the attempts. */
type News = Pick<Mirrored, 'state'> & Partial<Omit<Mirrored, 'name' | 'since'>>

/** How a run differs from the usual. */
export interface RunOptions {
  readonly signal: AbortSignal
  /** Whether everything is compared with the backend, and not only what changed here. */
  readonly check: boolean
  /** Whether callers of the server come first, since nobody waits for the end. Default: false. */
  readonly gentle?: boolean
}

const AT_ONCE = 8
const AT_ONCE_GENTLE = 2
const PAGE = 200
const ATTEMPTS = 3
/** Refusals in a row that end a run: the reason is not with single secrets. */
const MAX_REFUSALS = 10

/** Errors that concern every secret, and end a run. */
const ending: ReadonlySet<string> = new Set([
  'backend_unavailable',
  'not_adopted',
  'audit_unavailable',
  'store_unavailable',
  'overloaded',
  'shutting_down',
])

/** The mirror of one backend. */
export class Mirror {
  readonly #parts: MirrorParts
  readonly #setup: MirrorSetup
  readonly #feed: Feed
  readonly #comparison: Comparison
  readonly #memory: MirrorMemory
  readonly #records: PlaceRecords
  readonly #tally: Tally = { checked: 0, written: 0, removed: 0, failed: 0, drifted: 0 }
  #refusals = 0

  constructor(parts: MirrorParts, setup: MirrorSetup, memory: MirrorMemory) {
    this.#parts = parts
    this.#setup = setup
    this.#memory = memory
    this.#records = parts.gate.places(systemCall('mirror', []))
    this.#feed = new Feed(parts, setup, memory.lag)
    this.#comparison = new Comparison(parts, setup)
  }

  /**
   * Reads what changed, and writes it to the backend. Rejects with what is wrong with the backend as a whole,
   * or with the server; what is wrong with a single secret is kept in its row.
   */
  async run({ signal, check, gentle = false }: RunOptions): Promise<Tally> {
    await this.#begin()
    await this.#through(signal, check, gentle ? AT_ONCE_GENTLE : AT_ONCE)
    if (check && !signal.aborted) {
      await this.#lookForForeign(signal)
      await this.#feed.checked()
    }
    return this.#tally
  }

  /** Syncs the named secrets at once, also those in drift and those that wait for another attempt. */
  async runOn(names: readonly string[]): Promise<Tally> {
    await this.#begin()
    for (const name of names) {
      const mirrored = await this.#parts.store.findMirrored(this.#setup.backend, name)
      if (mirrored) await this.#sync(mirrored)
    }
    return this.#tally
  }

  /** What a run that checks everything would do about the secrets of this page of states. */
  async plan(rows: readonly SecretRow[]): Promise<Planned[]> {
    await this.#feed.demandSamePlace()
    const planned: (Planned | undefined)[] = []
    for (const row of rows) {
      if (this.#feed.isFor(row.name)) planned.push(await this.#comparison.plan(row.name))
    }
    return planned.filter((each) => each !== undefined)
  }

  /** Keeps the mirror in the mount that is there now. */
  async acceptPlace(): Promise<void> {
    await this.#feed.acceptPlace()
  }

  /** An entry of ours has its row before it is written, so that what has none is not ours. */
  async #lookForForeign(signal: AbortSignal): Promise<void> {
    const { store, use } = this.#parts
    const { backend: id } = this.#setup
    const foreign: string[] = []
    try {
      await use(id, async (backend) => {
        for await (const path of backend.projections()) {
          const name = nameAt(path)
          if (name !== undefined && (await store.findMirrored(id, name))) continue
          foreign.push(path)
          if (foreign.length >= MAX_FOREIGN || signal.aborted) return
        }
      })
      this.#tally.foreign = foreign
    } catch (error) {
      // A policy may allow everything but to list.
      if (asSottoError(error).code !== 'backend_refused') throw error
    }
  }

  async #begin(): Promise<void> {
    await this.#feed.run()
    // Also where nothing is to be written, the operator learns that another server writes there now.
    await this.#parts.change(this.#setup.backend, async () => {})
  }

  async #through(signal: AbortSignal, check: boolean, atOnce: number): Promise<void> {
    const { store } = this.#parts
    for (let cursor = 0; !signal.aborted; ) {
      const page = await store.mirrored(this.#setup.backend, cursor, PAGE, !check)
      const last = page.at(-1)
      if (!last) return
      cursor = last.cursor
      const isNow = ({ name, state }: Mirrored): boolean =>
        state !== 'left' && (check || state === 'due' || !this.#memory.retries.waits(name))
      const waiting = page.filter(isNow).values()
      const worker = async (): Promise<void> => {
        for (const each of waiting) {
          if (signal.aborted) return
          await this.#sync(each)
        }
      }
      await allOf(Array.from({ length: atOnce }, worker))
    }
  }

  /** Syncs one secret, or saves why not. Rejects with what concerns every secret. */
  async #sync(mirrored: Mirrored): Promise<void> {
    this.#tally.checked++
    try {
      await this.#settle(mirrored)
      this.#memory.retries.settled(mirrored.name)
      this.#refusals = 0
    } catch (error) {
      const known = asSottoError(error)
      if (ending.has(known.code)) throw error
      this.#tally.failed++
      await this.#failed(mirrored, known)
      if (known.code === 'backend_refused' && ++this.#refusals >= MAX_REFUSALS) throw error
    }
  }

  async #settle(given: Mirrored): Promise<void> {
    let mirrored = given
    for (let attempt = 1; ; attempt++) {
      const row = await this.#comparison.current(mirrored.name)
      // What was kept is not removed because a setting changed.
      if (!row && mirrored.state === 'kept') return
      try {
        await this.#carryOut(await this.#comparison.decide(row, mirrored), row, mirrored)
        return
      } catch (error) {
        // Someone wrote in between, or a standby lags: what is there now decides.
        if (asSottoError(error).code !== 'conflict' || attempt === ATTEMPTS) throw error
        mirrored = await this.#latest(mirrored)
      }
    }
  }

  async #carryOut(
    decision: Decision,
    row: SecretRow | undefined,
    mirrored: Mirrored,
  ): Promise<void> {
    const { act } = decision
    if (act === 'keep') {
      return this.#save(mirrored, { state: 'kept', reason: 'it was deleted here' })
    }
    if (act === 'report') {
      this.#tally.drifted++
      return this.#save(mirrored, { state: 'drift', reason: driftReasons[decision.drift] })
    }
    if (row === undefined) {
      return this.#remove(mirrored, act === 'remove' ? decision.expected : undefined)
    }
    if (act === 'write') return this.#write(row, mirrored, decision.expected)
    if (act === 'nothing') await this.#shows(mirrored, decision.shown, decision.expires)
  }

  async #remove(mirrored: Mirrored, expected: number | undefined): Promise<void> {
    const { name } = mirrored
    if (expected !== undefined) {
      const act = { verb: 'hide', backend: this.#setup.name, secret: name } as const
      await this.#change(act, (backend) => backend.removeProjection(name, expected))
      this.#tally.removed++
    }
    await this.#parts.store.dropMirrored(this.#setup.backend, name)
    this.#memory.lag.settled(name)
  }

  async #write(row: SecretRow, mirrored: Mirrored, expected: number): Promise<void> {
    const { name, incarnation, active: version } = row
    const value = await this.#value(name, version)
    const content = contentOf(value)
    value.fill(0)
    try {
      const place = { name, incarnation, version }
      const { keyring, adoption } = this.#parts
      const { start } = adoption
      const { number: key, fingerprint } = keyring.mirrorFingerprint(place, content.bytes)
      const mark = { incarnation, version, key, fingerprint }
      const intended = { ...mark, revision: expected + 1 }
      await this.#parts.store.saveMirrored(this.#setup.backend, { ...mirrored, intended })
      const act = { verb: 'show', backend: this.#setup.name, secret: name } as const
      const next = { content, mark: { ...mark, start: start.number } }
      const { revision, expires } = await this.#change(
        { ...act, secretVersion: version },
        (backend) => backend.writeProjection(name, next, expected),
      )
      this.#tally.written++
      await this.#shows(mirrored, { ...mark, revision }, expires)
    } finally {
      content.bytes.fill(0)
    }
  }

  /** Saves that the backend shows `shown`. That it will delete it by itself is a failure, as long as it will. */
  async #shows(mirrored: Mirrored, shown: Shown, expires: string | undefined): Promise<void> {
    if (expires === undefined) return this.#save(mirrored, { state: 'ok', shown })
    const reason = `the backend deletes it by itself, at ${expires}`
    await this.#save(mirrored, { state: 'failed', reason, shown })
  }

  /** A value, which leaves a record. The caller zeroes it. */
  async #value(name: string, version: number): Promise<Buffer> {
    const call = systemCall('mirror', [{ action: ['get'], secret: this.#setup.spec.secrets }])
    const request = { Name: name, Version: version, UpdateIfChanged: false }
    const revealed = await this.#parts.secrets.get(call, request)
    if (revealed) return revealed.Value
    throw new SottoError('internal', 'a get without a condition found nothing changed')
  }

  async #failed(mirrored: Mirrored, { code, message }: SottoError): Promise<void> {
    const attempts = mirrored.attempts + 1
    this.#memory.retries.failed(mirrored.name, attempts)
    // Too large again: nothing is tried before the secret changes.
    const again = code === 'backend_too_large' ? {} : ({ retries: true } as const)
    // What was saved on the way, such as an intention, stays.
    const latest = await this.#latest(mirrored)
    await this.#save(latest, { state: 'failed', reason: message, attempts, ...again })
  }

  async #latest(mirrored: Mirrored): Promise<Mirrored> {
    return (await this.#parts.store.findMirrored(this.#setup.backend, mirrored.name)) ?? mirrored
  }

  /** Saves the row of `mirrored` with `news`, if that changes it. */
  async #save(mirrored: Mirrored, news: News): Promise<void> {
    const { name, shown, intended } = mirrored
    const { state, reason = '', attempts = 0 } = news
    const before = await this.#latest(mirrored)
    const same = before.state === state && before.reason === reason
    const after: Mirrored = {
      name,
      ...(shown && { shown }),
      ...(intended && state !== 'ok' && { intended }),
      ...news,
      reason,
      attempts,
      since: same ? before.since : this.#now(),
    }
    if (isDeepStrictEqual(after, before)) return
    await this.#parts.store.saveMirrored(this.#setup.backend, after)
    if (waits(after)) this.#memory.lag.waits(name)
    else this.#memory.lag.settled(name)
  }

  /** Changes what other readers see, which leaves a record. */
  #change<T>(act: PlaceAct, run: (backend: Backend) => Promise<T>): Promise<T> {
    return this.#records.during(act, () => this.#parts.change(this.#setup.backend, run))
  }

  #now(): string {
    return this.#parts.clock().toISOString()
  }
}

/** Whether other readers do not see of a secret what they should. */
export function waits({ state }: Pick<Mirrored, 'state'>): boolean {
  return state === 'due' || state === 'failed'
}

/** Waits for all of them, and rejects as the first did that rejected. */
async function allOf(tasks: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(tasks)).find(({ status }) => status === 'rejected')
  if (failed?.status === 'rejected') throw failed.reason
}
