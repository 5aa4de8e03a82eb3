/** Keeps in one backend what its mirror is for: one way, and without touching what someone else wrote. */
import { isDeepStrictEqual } from 'node:util'
import { asSottoError, SottoError } from '../../client/api/errors.ts'
import { contentOf } from '../backends/content.ts'
import type { Backend, Projection } from '../backends/contract.ts'
import { systemCall } from '../gate/system.ts'
import type { SecretRow } from '../store/contract.ts'
import type { Mirrored, Shown } from '../store/mirrors.ts'
import { type Decision, decide, type Drift, driftReasons, type Seen } from './decide.ts'
import type { MirrorParts, MirrorSetup } from './parts.ts'
import { Feed } from './feed.ts'

/** What a run did, in secrets. */
export interface Tally {
  checked: number
  written: number
  removed: number
  failed: number
  drifted: number
}

/** What a dry run tells of a secret that is not as it should be. */
export interface Planned {
  readonly name: string
  readonly act: Exclude<Decision['act'], 'nothing' | 'forget'>
  readonly reason: string
}

/** How a run differs from the usual. */
export interface RunOptions {
  readonly signal: AbortSignal
  /** Whether everything is compared with the backend, and not only what changed here. */
  readonly check: boolean
  /** Whether nobody waits for the end, so that callers of the server come first. Default: false. */
  readonly gentle?: boolean
}

const AT_ONCE = 8
const AT_ONCE_GENTLE = 2
const PAGE = 200
const ATTEMPTS = 3
/** How long a standby may be behind. */
const STANDBY_MS = 250
const FIRST_RETRY_MS = 30_000
const MAX_RETRY_MS = 3_600_000
/** Refusals with no success among them that end a run: it is not about single secrets. */
const MAX_REFUSALS = 10

/** Errors that are about everything, and not about one secret. */
const ending: ReadonlySet<string> = new Set([
  'backend_unavailable',
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
  readonly #tally: Tally = { checked: 0, written: 0, removed: 0, failed: 0, drifted: 0 }
  #refusals = 0

  constructor(parts: MirrorParts, setup: MirrorSetup) {
    this.#parts = parts
    this.#setup = setup
    this.#feed = new Feed(parts, setup)
  }

  /**
   * Takes up what changed, and brings the backend up to it. Rejects with what is wrong with the backend as
   * a whole, or with the server; what is wrong with single secrets is kept beside them.
   */
  async run({ signal, check, gentle = false }: RunOptions): Promise<Tally> {
    await this.#feed.run()
    await this.#through(signal, check, gentle ? AT_ONCE_GENTLE : AT_ONCE)
    if (check && !signal.aborted) await this.#feed.checked()
    return this.#tally
  }

  /** Brings the secrets up that are named, at once, whether they are in drift or wait for another attempt. */
  async runOn(names: readonly string[]): Promise<Tally> {
    await this.#feed.run()
    for (const name of names) {
      const mirrored = await this.#parts.store.findMirrored(this.#setup.backend, name)
      if (mirrored) await this.#bring(mirrored)
    }
    return this.#tally
  }

  /** What a run that checks everything would do about the secrets of this page of states. */
  async plan(rows: readonly SecretRow[]): Promise<Planned[]> {
    await this.#feed.demandSamePlace()
    const planned: (Planned | undefined)[] = []
    for (const row of rows) {
      if (this.#feed.isFor(row.name)) planned.push(await this.#planFor(row))
    }
    return planned.filter((each) => each !== undefined)
  }

  /** The mount that is there now is the one that the mirror is kept in from now on. */
  async acceptPlace(): Promise<void> {
    await this.#feed.acceptPlace()
  }

  async #through(signal: AbortSignal, check: boolean, atOnce: number): Promise<void> {
    const { store } = this.#parts
    const dueBy = check ? undefined : this.#now()
    for (let cursor = 0; !signal.aborted; ) {
      const page = await store.mirrored(this.#setup.backend, cursor, PAGE, dueBy)
      const last = page.at(-1)
      if (!last) return
      cursor = last.cursor
      const waiting = page.filter(({ state }) => state !== 'left').values()
      const worker = async (): Promise<void> => {
        for (const each of waiting) {
          if (signal.aborted) return
          await this.#bring(each)
        }
      }
      await allOf(Array.from({ length: atOnce }, worker))
    }
  }

  /** Brings one secret up, or notes why not. Rejects with what is about everything. */
  async #bring(mirrored: Mirrored): Promise<void> {
    this.#tally.checked++
    try {
      await this.#settle(mirrored)
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
      const row = await this.#row(mirrored.name)
      // What was kept is not removed because a setting changed.
      if (!row && mirrored.state === 'kept') return
      try {
        await this.#carryOut(await this.#decide(row, mirrored), row, mirrored)
        return
      } catch (error) {
        // Somebody wrote in between, or a standby was behind: what is there now decides.
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
    if (act === 'keep') return this.#save(mirrored, 'kept', 'it was deleted here')
    if (row === undefined) {
      if (act === 'report') return this.#drifted(mirrored, decision.drift)
      await this.#remove(mirrored, act === 'remove' ? decision.expected : undefined)
      return
    }
    if (act === 'write') return this.#write(row, mirrored, decision.expected)
    if (act === 'report') return this.#drifted(mirrored, decision.drift)
    if (act === 'nothing') await this.#save({ ...mirrored, shown: decision.shown }, 'ok')
  }

  async #remove(mirrored: Mirrored, expected: number | undefined): Promise<void> {
    const { name } = mirrored
    if (expected !== undefined) {
      await this.#use((backend) => backend.removeProjection(name, expected))
      this.#tally.removed++
    }
    await this.#parts.store.dropMirrored(this.#setup.backend, name)
  }

  async #write(row: SecretRow, mirrored: Mirrored, expected: number): Promise<void> {
    const { name, incarnation, active: version } = row
    const value = await this.#value(name, version)
    const content = contentOf(value)
    value.fill(0)
    try {
      const fingerprint = this.#parts.keyring.mirrorFingerprint(
        { name, incarnation, version },
        content,
      )
      const mark = { incarnation, version, fingerprint }
      const intended = { ...mark, revision: expected + 1 }
      const intending = { ...mirrored, intended }
      await this.#parts.store.saveMirrored(this.#setup.backend, intending)
      const { revision, expires } = await this.#use((backend) =>
        backend.writeProjection(name, { content, mark }, expected),
      )
      this.#tally.written++
      const done = { ...intending, shown: { ...mark, revision } }
      if (expires === undefined) return await this.#save(done, 'ok')
      await this.#save(done, 'failed', `the backend deletes it by itself, at ${expires}`)
    } finally {
      content.fill(0)
    }
  }

  async #decide(row: SecretRow | undefined, mirrored: Mirrored): Promise<Decision> {
    const { spec } = this.#setup
    const wanted = row && { incarnation: row.incarnation, version: row.active }
    const decision = decide(wanted, mirrored, await this.#look(mirrored), spec)
    const drift = driftIn(decision)
    if (drift !== 'removed' && drift !== 'recreated') return decision
    // So looks what a standby that is behind answers, too.
    await new Promise<void>((resolve) => this.#parts.timers.after(STANDBY_MS, resolve))
    return decide(wanted, mirrored, await this.#look(mirrored), spec)
  }

  async #look(mirrored: Mirrored): Promise<Seen | undefined> {
    const found = await this.#use((backend) => backend.readProjection(mirrored.name))
    if (!found) return undefined
    const ours = this.#oursIn(found, mirrored)
    found.content?.fill(0)
    return { revision: found.revision, deleted: !found.content, ...(ours && { ours }) }
  }

  /** What of ours `found` is: its fingerprint can be nobody else's. */
  #oursIn({ revision, content, mark }: Projection, mirrored: Mirrored): Shown | undefined {
    if (!content) return undefined
    const { name, shown, intended } = mirrored
    const ownMark =
      mark?.store === this.#parts.store.identity.id ? { ...mark, revision } : undefined
    for (const each of [shown, intended, ownMark]) {
      if (each?.revision !== revision) continue
      const { incarnation, version, fingerprint } = each
      const due = this.#parts.keyring.mirrorFingerprint({ name, incarnation, version }, content)
      if (due === fingerprint) return { revision, incarnation, version, fingerprint }
    }
    return undefined
  }

  async #planFor(row: SecretRow): Promise<Planned | undefined> {
    const { backend } = this.#setup
    const blank: Mirrored = { name: row.name, ...fresh, since: this.#now() }
    const mirrored = (await this.#parts.store.findMirrored(backend, row.name)) ?? blank
    const live = await this.#row(row.name)
    const decision = await this.#decide(live, mirrored)
    const { act } = decision
    if (act === 'nothing' || act === 'forget') return undefined
    const drift = driftIn(decision)
    const reason = drift === undefined ? reasons[act] : driftReasons[drift]
    return { name: row.name, act, reason }
  }

  /** The state of a secret that is not deleted, authenticated; past the cache, which would fill with it. */
  async #row(name: string): Promise<SecretRow | undefined> {
    const { store, keyring } = this.#parts
    const row = await store.find(name)
    if (row) keyring.verify(row, row.mac)
    return row && row.active > 0 ? row : undefined
  }

  /** A value, which leaves a record. Whoever takes it zeroes it. */
  async #value(name: string, version: number): Promise<Buffer> {
    const call = systemCall('mirror', [{ action: ['get'], secret: this.#setup.spec.secrets }])
    const request = { Name: name, Version: version, UpdateIfChanged: false }
    const revealed = await this.#parts.secrets.get(call, request)
    if (revealed) return revealed.Value
    throw new SottoError('internal', 'a get without a condition found nothing changed')
  }

  async #failed(mirrored: Mirrored, { code, message }: SottoError): Promise<void> {
    const attempts = mirrored.attempts + 1
    const waitMs = Math.min(FIRST_RETRY_MS * 2 ** (attempts - 1), MAX_RETRY_MS)
    const retryAt = new Date(this.#parts.clock().getTime() + waitMs).toISOString()
    const again = code === 'backend_too_large' ? {} : { retryAt }
    // What was noted on the way, such as an intention, stays.
    await this.#save(await this.#latest(mirrored), 'failed', message, { attempts, ...again })
  }

  async #drifted(mirrored: Mirrored, drift: Drift): Promise<void> {
    this.#tally.drifted++
    await this.#save(mirrored, 'drift', driftReasons[drift])
  }

  async #latest(mirrored: Mirrored): Promise<Mirrored> {
    return (await this.#parts.store.findMirrored(this.#setup.backend, mirrored.name)) ?? mirrored
  }

  /** Stores where `mirrored` stands now, if that is news. */
  async #save(
    mirrored: Mirrored,
    state: Mirrored['state'],
    reason = '',
    tries: Pick<Mirrored, 'retryAt'> & { attempts: number } = { attempts: 0 },
  ): Promise<void> {
    const { store } = this.#parts
    const { name, shown, intended } = mirrored
    const before = await this.#latest(mirrored)
    const same = before.state === state && before.reason === reason
    const after: Mirrored = {
      name,
      state,
      reason,
      since: same ? before.since : this.#now(),
      ...tries,
      ...(shown && { shown }),
      ...(intended && state !== 'ok' && { intended }),
    }
    if (isDeepStrictEqual(after, before)) return
    await store.saveMirrored(this.#setup.backend, after)
  }

  #use<T>(act: (backend: Backend) => Promise<T>): Promise<T> {
    return this.#parts.use(this.#setup.backend, act)
  }

  #now(): string {
    return this.#parts.clock().toISOString()
  }
}

const fresh = { state: 'due', reason: '', attempts: 0 } as const

const reasons = {
  write: 'other readers see another version, or none',
  remove: 'it was deleted here',
  keep: 'it was deleted here',
  report: 'someone else changed it there',
} as const

function driftIn(decision: Decision): Drift | undefined {
  if (decision.act === 'report') return decision.drift
  return decision.act === 'write' ? decision.mends : undefined
}

/** Waits for all of them, and rejects as the first did that rejected. */
async function allOf(tasks: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(tasks)).find(({ status }) => status === 'rejected')
  if (failed?.status === 'rejected') throw failed.reason
}
