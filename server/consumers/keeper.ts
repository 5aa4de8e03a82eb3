/**
 * Keeps holdings over a restart: written behind to a file of their own, which may lack the last seconds. What left in
 * these, and everything where the file is missing or damaged, is read from the audit log. What is read is of
 * another run: nobody was heard in this one, and no time of it counts.
 */
import { readFile, rm } from 'node:fs/promises'
import type { Receipt } from '../../audit/record.ts'
import { replaceBy, writeDurably } from '../../client/platform/durable.ts'
import { READ_NOW } from '../../client/platform/private-file.ts'
import { isAbsent, reasonOf } from '../../client/platform/system-error.ts'
import { orLate, type Timers } from '../../client/platform/timers.ts'
import type { Logger } from '../platform/logger.ts'
import { turns } from '../platform/turns.ts'
import { decodeHoldings, encodeHoldings } from './file.ts'
import type { Holdings } from './holdings.ts'
import { recall, type Release } from './recall.ts'

/** What a keeper works with. */
export interface KeeperParts {
  /** The file. */
  readonly path: string
  /** The folder of the audit log. */
  readonly audit: string
  /** The log, for its last durable record. */
  readonly log: { readonly head: Receipt }
  /** What it is about: of another one nothing is taken over. */
  readonly store: { readonly id: string; readonly branch: string }
  readonly timers: Timers
  readonly logger: Logger
}

/** How long after a write the next one is, in milliseconds; and at least so many times what it took. */
const KEEP_MS = 10_000
const REST = 20
/** The same where something is known that no record tells. */
const HURRY_MS = 500
/** How long a stop waits for the disk, in milliseconds. */
const CLOSE_MS = 5000
/**
 * How long one listens for programs until what is known of the past from the audit log alone is good enough, in
 * milliseconds: a day, the longest interval that any is taken to have.
 */
const LISTEN_MS = 24 * 60 * 60 * 1000

/** Reads holdings, and keeps them. */
export class Keeper {
  /** Whether there is something to keep. */
  changed = false
  readonly #parts: KeeperParts
  readonly #stop = new AbortController()
  #holdings: (() => Promise<Holdings>) | undefined
  #stopTimer: (() => void) | undefined
  /** When it is kept next, by the timers, and until when the disk has a rest. */
  #next = Number.POSITIVE_INFINITY
  #restsUntil = 0
  /** Whether it is to be kept soon, by what was told since it was last begun. */
  #hurries = false
  #keeping: Promise<void> = Promise.resolve()
  #warned = false
  /** Secrets whose past is known from the audit log alone; undefined: all of them. */
  #rough: Set<string> | undefined = new Set()
  /** When that is good enough, by the timers. */
  #listensUntil = 0

  /** The last record that there was when it was made: what is told from then on is in none up to it. */
  readonly #first: number

  constructor(parts: KeeperParts) {
    this.#parts = parts
    this.#first = parts.log.head.id
  }

  /**
   * What was known before, in holdings that `empty` makes. `missed` says whether something was missed that was told since
   * it was last called, or since the keeper was made: the log has it. Undefined when it is closed meanwhile. Never rejects.
   */
  async read(empty: () => Holdings, missed: () => boolean): Promise<Holdings | undefined> {
    let until = this.#first
    let { holdings, logged } = await this.#load(empty, until)
    let isWhole = logged === undefined
    try {
      for (;;) {
        await this.#recall(holdings, logged ?? 0, until, isWhole)
        isWhole = false
        // A turn of its own: each record up to the head was told by then.
        await new Promise(setImmediate)
        logged = until
        until = this.#parts.log.head.id
        if (!missed()) break
      }
    } catch (error) {
      if (this.#stop.signal.aborted) return undefined
      this.#listen(undefined)
      this.#parts.logger.warn(`who got what was not read from the audit log: ${reasonOf(error)}`)
    }
    if (this.#stop.signal.aborted) return undefined
    holdings.silence()
    this.changed = true
    return holdings
  }

  /** Keeps what `holdings` gives, from now on, and at once: without a file a kill would leave the audit log alone. */
  keep(holdings: () => Promise<Holdings>): void {
    this.#holdings = holdings
    this.#schedule(0)
  }

  /** Keeps what there is soon. */
  hurry(): void {
    this.#hurries = true
    this.#schedule(HURRY_MS)
  }

  /** How long it is to be listened until a word about `name` counts, in milliseconds. */
  listens(name: string): number {
    const left = Math.max(0, this.#listensUntil - this.#parts.timers.now())
    return this.#rough === undefined || this.#rough.has(name) ? left : 0
  }

  /** Keeps nothing any more, and has the next start make all of it again. */
  giveUp(): void {
    this.#holdings = undefined
    this.#stopTimer?.()
    void this.#keeping.then(() => rm(this.#parts.path, { force: true })).catch(() => {})
  }

  /** Keeps what there is, and ends. Never rejects. */
  async close(): Promise<void> {
    this.#stop.abort(new Error('the server stops'))
    this.#stopTimer?.()
    const { timers } = this.#parts
    await orLate(
      this.#keeping.then(() => this.#keep()),
      { timers, ms: CLOSE_MS },
    )
    this.#holdings = undefined
  }

  async #load(
    empty: () => Holdings,
    head: number,
  ): Promise<{ readonly holdings: Holdings; readonly logged: number | undefined }> {
    const { path, logger, store, timers } = this.#parts
    const nothing = (): { holdings: Holdings; logged: undefined } => ({
      holdings: empty(),
      logged: undefined,
    })
    try {
      const bytes = await readFile(path, { flag: READ_NOW })
      const holdings = empty()
      const { about, rough } = await turns.finish(decodeHoldings(bytes, holdings))
      const isOwn = about.store === store.id && about.branch === store.branch
      if (!isOwn || about.logged > head) return nothing()
      this.#rough = about.roughNames ? undefined : new Set(rough)
      this.#listensUntil = timers.now() + about.listens
      return { holdings, logged: about.logged }
    } catch (error) {
      if (!isAbsent(error)) {
        logger.warn(`${path} is of no use, since ${reasonOf(error)}: it is made again`, {
          hint: 'It says which versions programs hold; until they were heard again, a rollout is unknown.',
        })
      }
      return nothing()
    }
  }

  async #recall(holdings: Holdings, after: number, until: number, isWhole: boolean): Promise<void> {
    const { audit: directory } = this.#parts
    const take = async (releases: readonly Release[]): Promise<void> => {
      await turns.collect(releases, ({ principal, node, client, name, version, held = 0 }) => {
        const caller = { principal, ...(node !== undefined && { node }) }
        if (isWhole) this.#listen(name)
        if (isWhole && client === undefined) holdings.recalled({ caller }, name, version)
        else holdings.given({ caller, client }, name, version, held)
      })
    }
    const { whole } = await recall({ directory, after, until }, take, this.#stop.signal)
    if (!whole) this.#listen(undefined)
  }

  /** Has it be listened for programs that hold `name`, or any secret. */
  #listen(name: string | undefined): void {
    this.#listensUntil = this.#parts.timers.now() + LISTEN_MS
    if (name === undefined) this.#rough = undefined
    else this.#rough?.add(name)
  }

  /** Has it be kept in `ms` milliseconds, or before if that is planned, or when it has rested. */
  #schedule(ms: number): void {
    const { timers } = this.#parts
    const at = Math.max(timers.now() + ms, this.#restsUntil)
    if (at >= this.#next || this.#holdings === undefined || this.#stop.signal.aborted) return
    this.#stopTimer?.()
    this.#next = at
    this.#stopTimer = timers.after(Math.max(0, at - timers.now()), () => {
      const began = timers.now()
      // Until then it is not planned again.
      this.#next = 0
      this.#hurries = false
      const rest = (): void => {
        const now = timers.now()
        this.#restsUntil = now + REST * (now - began)
        this.#next = Number.POSITIVE_INFINITY
        this.#schedule(this.#hurries ? HURRY_MS : KEEP_MS)
      }
      this.#keeping = this.#keep().finally(rest)
    })
  }

  /** Never rejects. */
  async #keep(): Promise<void> {
    if (!this.changed || this.#holdings === undefined) return
    const { path, log, store, timers, logger } = this.#parts
    try {
      const holdings = await this.#holdings()
      // Each record up to the head was told by the end of its turn.
      await new Promise(setImmediate)
      const about = {
        store: store.id,
        branch: store.branch,
        logged: log.head.id,
        listens: Math.max(0, this.#listensUntil - timers.now()),
        roughNames: this.#rough === undefined,
      }
      this.changed = false
      const pieces = await turns.finish(encodeHoldings(holdings, about, this.#rough ?? new Set()))
      const draft = `${path}.new`
      await writeDurably(draft, pieces)
      if (this.#holdings === undefined) return await rm(draft, { force: true })
      await replaceBy(draft, path)
      this.#warned = false
    } catch (error) {
      this.changed = true
      if (this.#warned) return
      this.#warned = true
      logger.warn(`what programs hold is not kept over a restart: ${reasonOf(error)}`)
    }
  }
}
