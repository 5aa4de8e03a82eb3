/** The job that makes backups, and deletes those that are not to be kept any longer. */
import type { AuditLog } from '../../../audit/log.ts'
import { SottoError } from '../../../client/api/errors.ts'
import { createBackup, type CreateParts } from '../create.ts'
import { byOrder, isLater, type OwnBackup, OwnBackups, ownOf } from '../own.ts'
import { expired, dated, type Keep } from '../retention.ts'
import type { TargetObject } from '../targets/target.ts'
import type { BackupRecords } from '../../gate/backup-records.ts'
import type { Gate } from '../../gate/gate.ts'
import { Findings } from './findings.ts'
import { TargetMark } from './mark.ts'
import type { BackupMemory } from './memory.ts'
import { BACKUP_JOB } from './names.ts'
import type { Job, Run } from '../../jobs/scheduler.ts'
import type { Logger } from '../../platform/logger.ts'
import { described } from '../../../client/platform/system-error.ts'
import type { Timers } from '../../../client/platform/timers.ts'
import type { Adoption } from '../../store/adoption.ts'

/** What backups are made of, and with. */
export interface BackupJobParts
  extends Pick<CreateParts, 'store' | 'keyring' | 'auditDirectory' | 'target'> {
  readonly gate: Gate
  readonly log: AuditLog
  /** Undefined: nothing is deleted. */
  readonly keep: Keep | undefined
  readonly memory: BackupMemory
  readonly clock: () => Date
  readonly timers: Timers
  /** Whether the store may change what is outside of it, and the start of this server. */
  readonly adoption: Pick<Adoption, 'adopted' | 'start'>
  readonly logger: Logger
}

/** When a server that started looks whether there is a backup of what it has. */
const FIRST_MS = 10_000
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
/** How old the newest backup becomes where nothing changes: some less than a day, since runs are an hour apart. */
const DAILY_MS = 23 * HOUR_MS
/** How many are deleted in one run of those that are newer than the one that was proven last. */
const MOST_UNPROVEN = 3

/** Makes backups: one at most a minute when something changed, and one a day at least. */
export class BackupJob {
  /** What an operator is to know of the backups. */
  readonly findings: Findings = new Findings()
  readonly #parts: BackupJobParts
  readonly #mark: TargetMark
  readonly #own: OwnBackups
  /** How many backups were wanted, and how many of them when the last run began. */
  #wants = 0
  #begun = 0
  /** When the next backup is due where nothing changes, by the timers; undefined until the target was looked at. */
  #due: number | undefined
  #prunesAfter = 0
  /** Names of backups that are being read, which may take longer than until the next one is made. */
  readonly #reading = new Set<string>()
  /** Of the last look: what has a date that cannot be. */
  #odd: readonly OwnBackup[] = []

  constructor(parts: BackupJobParts) {
    const { store, memory } = parts
    const { id, branch } = store.identity
    this.#parts = parts
    this.#mark = new TargetMark({ ...parts, store: id, branch })
    this.#own = new OwnBackups({ ...parts, identity: store.identity, known: memory.own })
    if (memory.newest) this.#own.expect(memory.newest.name)
    this.#tellHeld()
  }

  /** The job, for the scheduler, which is to be woken when something changes. */
  job(): Job {
    return {
      name: BACKUP_JOB,
      action: 'backup',
      rules: [{ action: ['backup'], secret: ['*'] }],
      everyMs: HOUR_MS,
      firstMs: FIRST_MS,
      restMs: MINUTE_MS,
      retryMs: MINUTE_MS,
      maxMs: HOUR_MS,
      run: (run) => this.#run(run),
    }
  }

  /** The next run makes a backup also where nothing changed. The number is for `hasBegun`. */
  want(): number {
    return ++this.#wants
  }

  /** Whether a run has begun since `want` gave that number. */
  hasBegun(wanted: number): boolean {
    return wanted <= this.#begun
  }

  /**
   * The next run uses the target as it is, also where nothing is there any more, or another server with this
   * store used it. Rejects where that cannot be noted.
   */
  async takeTarget(): Promise<void> {
    await this.#mark.take()
  }

  /** The newest backup in the target, by what is inside: of this branch. */
  async newest(objects: readonly TargetObject[]): Promise<OwnBackup | undefined> {
    return this.#own.newest(objects)
  }

  /** Keeps the backup `name` until what this returns is disposed of. */
  hold(name: string): Disposable {
    this.#reading.add(name)
    return { [Symbol.dispose]: () => void this.#reading.delete(name) }
  }

  async #run({ call, signal }: Run): Promise<string> {
    const { store, target, gate, timers } = this.#parts
    const pass = await gate.operate(call, 'backup', BACKUP_JOB)
    const wanted = this.#wants > this.#begun
    this.#begun = this.#wants
    if (this.#tellHeld()) {
      if (!wanted) return HELD
      throw new SottoError('target_unavailable', `Cannot make a backup: ${HELD}`)
    }
    const skipped: string[] = []
    const objects = await target.list((words) => skipped.push(words))
    this.findings.set('skipped', skipped)
    const strangers = await this.#mark.hold(objects)
    await this.#noteLost(objects)
    this.#tellDated()
    const newest = await this.#own.newest(objects)
    this.#due ??= timers.now() + this.#restOf(newest)
    if (newest) await this.#note(newest, objects)
    const { revision } = await store.head()
    const same = newest?.revision === revision && timers.now() < this.#due
    if (same && !wanted) return `nothing changed since ${newest.name}`
    const records = pass.backups(target.description)
    const logHead = () => this.#parts.log.head
    const own = this.#own
    const made = await createBackup({ ...this.#parts, own, logHead, objects, records, signal })
    this.#due = timers.now() + DAILY_MS
    const { name, size, manifest } = made
    this.#parts.memory.noteMade(name)
    this.#own.expect(name)
    await this.#note(ownOf({ name, size }, manifest), [])
    const { secrets, versions } = manifest.store.counts
    const words = `${name}: ${size} bytes; secrets: ${secrets}; values: ${versions}`
    if (this.#parts.keep === undefined) {
      this.findings.set(
        'stranger',
        strangers.map((each) => `${each} is not a mark of this store`),
      )
      return words
    }
    const survey = await this.#own.survey([...objects, { name, size }], signal)
    await this.#keepSurvey(survey.own)
    this.#tell(survey, strangers)
    return words + (await this.#prune(survey.own, name, { records, signal }))
  }

  /** Whether backups are held since the store is not adopted. */
  #tellHeld(): boolean {
    const held = !this.#parts.adoption.adopted()
    this.findings.set('held', held ? [HELD] : [])
    return held
  }

  /**
   * How long the newest backup of another run of the server may still be the newest. How old it is only the clock
   * tells: where it is dated ahead, that is not known.
   */
  #restOf(newest: OwnBackup | undefined): number {
    const age = newest ? this.#parts.clock().getTime() - Date.parse(newest.created) : -1
    return age < 0 ? 0 : DAILY_MS - age
  }

  /** Notes and tells what the server knows of and did not delete, and is gone. */
  async #noteLost(objects: readonly TargetObject[]): Promise<void> {
    const { memory, target, logger } = this.#parts
    const there = new Set(objects.map(({ name }) => name))
    const known = [memory.newest?.name, memory.proven?.name]
    const lost = known.filter((name) => name !== undefined && !there.has(name)) as string[]
    const fresh = lost.filter((name) => !memory.lost.includes(name))
    if (fresh.length > 0) {
      for (const name of new Set(fresh))
        logger.error(`the backup ${name} is not in ${target.description} any more`)
      await memory.noteLost(fresh)
    }
    this.findings.set(
      'lost',
      memory.lost.map(
        (name) =>
          `${name} is not in ${target.description} any more, and the server did not delete it`,
      ),
    )
  }

  #tell(survey: Awaited<ReturnType<OwnBackups['survey']>>, marks: readonly string[]): void {
    const { own, others, strangers } = survey
    const sure = new Set(dated(own, this.#parts.clock()))
    this.#odd = own.filter((each) => !sure.has(each))
    this.#tellDated()
    this.findings.set('stranger', [
      ...strangers.map(({ name, why }) => `${name} is not a backup of this store: ${why}`),
      ...marks.map((name) => `${name} is not a mark of this store`),
    ])
    this.findings.set(
      'other',
      others.map(({ name }) => `${name} is of another branch of this store: it is kept`),
    )
  }

  /** Tells which dates cannot be. */
  #tellDated(): void {
    const { memory, clock } = this.#parts
    const isKnown = memory.provenAge !== undefined
    const isAhead = !isKnown && Date.parse(memory.proven?.at ?? '') > clock().getTime()
    this.findings.set('dated', [
      ...(isAhead ? ['the last rehearsal is dated ahead: when it was is not known'] : []),
      ...this.#odd.map(({ name }) => `${name} is dated as it cannot be: it is kept`),
    ])
  }

  /** Deletes what is not kept; resolves with words about it. What cannot be deleted is left for an hour. */
  async #prune(
    backups: readonly OwnBackup[],
    made: string,
    { records, signal }: { readonly records: BackupRecords; readonly signal: AbortSignal },
  ): Promise<string> {
    const { keep, target, memory, logger, clock, timers } = this.#parts
    if (keep === undefined || timers.now() < this.#prunesAfter) return ''
    let deleted = 0
    try {
      const proven = backups.find(({ name }) => name === memory.proven?.name)
      const needed = new Set([made, memory.proven?.name ?? made, ...this.#reading])
      let unproven = 0
      for (const each of expired(backups, keep, { now: clock(), needed })) {
        signal.throwIfAborted()
        const { name } = each
        const isOlder = proven !== undefined && byOrder(each, proven) < 0
        if (!isOlder && ++unproven > MOST_UNPROVEN) break
        await records.prune(name, () => target.delete(name))
        deleted++
      }
      return deleted === 0 ? '' : `; ${deleted} deleted that were not to be kept`
    } catch (error) {
      const { code, message } = described(error)
      this.#prunesAfter = timers.now() + HOUR_MS
      // A lock is meant to do that.
      if (code !== 'backup_locked')
        logger.warn(`old backups were not deleted: ${message}`, { code })
      return `; ${deleted} deleted, then: ${message}`
    }
  }

  /** Notes the newest backup, unless a newer one is known that is there: it could not be read, and a rehearsal tells. */
  async #note(newest: OwnBackup, objects: readonly TargetObject[]): Promise<void> {
    const { memory } = this.#parts
    const before = memory.newest
    const isThere = before && objects.some(({ name }) => name === before.name)
    if (isThere && !isLater(newest, before)) return
    const { name, size, created, branch, revision, logged } = newest
    await this.#kept(memory.noteNewest({ name, size, created, branch, revision, logged }))
  }

  async #keepSurvey(own: readonly OwnBackup[]): Promise<void> {
    const { memory } = this.#parts
    const same = own.length === memory.own.length && own.at(-1)?.name === memory.own.at(-1)?.name
    if (!same) await this.#kept(memory.noteOwn(own))
  }

  async #kept(noted: Promise<void>): Promise<void> {
    await noted.catch((error: unknown) => {
      const { code, message } = described(error)
      this.#parts.logger.warn(`what is known of the backups was not written down: ${message}`, {
        code,
      })
    })
  }
}

const HELD = 'the store is not adopted here: `sotto branch` shows what it would take over'
