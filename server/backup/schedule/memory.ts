/** What is known of the backups of a server. A small file in its state directory keeps it over a restart. */
import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { replaceBy, writeDurably } from '../../../client/platform/durable.ts'
import { READ_NOW } from '../../../client/platform/private-file.ts'
import type { Timers } from '../../../client/platform/timers.ts'
import type { OwnBackup } from '../own.ts'

/** A backup that is in the target, whole. Later fields are absent in what an earlier release noted. */
const known = z.object({
  name: z.string(),
  /** UTC. */
  created: z.string(),
  /** In bytes. */
  size: z.int(),
  revision: z.int().optional(),
  branch: z.string().optional(),
  /** The id of the last audit record in it. */
  logged: z.int().optional(),
})

const proven = known.extend({
  /** When it was restored and opened whole; UTC. */
  at: z.string(),
  /** Values that were opened. */
  values: z.int(),
})

const own = known.required().extend({
  version: z.string().optional(),
  follows: z.string().nullable(),
})

/** How the target is known again. */
const held = z.object({
  /** Its description. */
  target: z.string(),
  /** The name of the mark that was put there last. */
  mark: z.string().optional(),
  /** Marks that are known: earlier ones of this server, and those of others that an operator accepted. */
  accepted: z.array(z.string()),
  /** Whether the next run takes the target as it is. */
  takes: z.boolean(),
})

const memory = z.object({
  newest: known.optional(),
  proven: proven.optional(),
  own: z.array(own).optional(),
  held: held.optional(),
  /** Backups that were not there any more, though they were not deleted by the server. */
  lost: z.array(z.string()).optional(),
})

/** A backup that is known. */
export type KnownBackup = z.infer<typeof known>

/** A backup that was proven. */
export type ProvenBackup = z.infer<typeof proven>

/** How a target is known again. */
export type HeldTarget = z.infer<typeof held>

type Found = z.infer<typeof memory>

/** More backups than retention leaves; of more, the newest are remembered. */
const MAX_OWN = 2000

/** The newest backup, the last one that was proven, and those that opened. */
export class BackupMemory {
  readonly #path: string
  readonly #timers: Timers
  #found: Found
  /** Ends, in whatever way, with what is being written. */
  #writing: Promise<void> = Promise.resolve()
  /** The backup that this process made last, and when, by the timers. */
  #made: { readonly name: string; readonly at: number } | undefined
  /** When this process last proved one, by the timers. */
  #provenAt: number | undefined

  private constructor(path: string, timers: Timers, found: Found) {
    this.#path = path
    this.#timers = timers
    this.#found = found
  }

  /** Reads the file at `path`. Without a file that can be read, and of another target than `target`, nothing is known. */
  static async open(path: string, target: string, timers: Timers): Promise<BackupMemory> {
    const text = await readFile(path, { encoding: 'utf8', flag: READ_NOW }).catch(() => '{}')
    try {
      const found = memory.parse(JSON.parse(text))
      return new BackupMemory(path, timers, (found.held?.target ?? target) === target ? found : {})
    } catch {
      return new BackupMemory(path, timers, {})
    }
  }

  /** The newest backup that the server knows of; undefined where there is none. It may be lost. */
  get newest(): KnownBackup | undefined {
    return this.#found.newest
  }

  /** The backup that was proven last; undefined where none ever was. It may be lost. */
  get proven(): ProvenBackup | undefined {
    return this.#found.proven
  }

  /** How old the newest backup is in milliseconds, whatever the clock did; undefined where another process made it. */
  get newestAge(): number | undefined {
    const made = this.#made
    return made && made.name === this.newest?.name ? this.#timers.now() - made.at : undefined
  }

  /** As `newestAge`: how long ago the last one was proven. */
  get provenAge(): number | undefined {
    return this.#provenAt === undefined ? undefined : this.#timers.now() - this.#provenAt
  }

  /** Those that opened, when they were last looked at. */
  get own(): readonly OwnBackup[] {
    return this.#found.own ?? []
  }

  /** How the target is known again; undefined before the first backup. */
  get held(): HeldTarget | undefined {
    return this.#found.held
  }

  /** Names of backups that were lost since the last one was proven. */
  get lost(): readonly string[] {
    return this.#found.lost ?? []
  }

  /** Notes what the newest backup is. Rejects, as every note, where it cannot be kept over a restart. */
  async noteNewest(newest: KnownBackup): Promise<void> {
    await this.#keep({ ...this.#found, newest })
  }

  /** Notes that the backup of that name was made just now. */
  noteMade(name: string): void {
    this.#made = { name, at: this.#timers.now() }
  }

  /** Notes that a backup was proven just now. What was lost before is told no longer. */
  async noteProven(found: ProvenBackup): Promise<void> {
    this.#provenAt = this.#timers.now()
    await this.#keep({ ...this.#found, proven: found, lost: [] })
  }

  /** Notes which backups opened. */
  async noteOwn(all: readonly OwnBackup[]): Promise<void> {
    await this.#keep({ ...this.#found, own: all.slice(-MAX_OWN) })
  }

  /** Notes that backups are not there any more, though the server did not delete them. */
  async noteLost(names: readonly string[]): Promise<void> {
    await this.#keep({ ...this.#found, lost: [...new Set([...this.lost, ...names])] })
  }

  /** Notes how the target is known again. */
  async noteHeld(target: HeldTarget): Promise<void> {
    await this.#keep({ ...this.#found, held: target })
  }

  /** Two jobs and operators note things: they write one after another, each what is known by then. */
  async #keep(found: Found): Promise<void> {
    this.#found = found
    const written = this.#writing.then(() => this.#write())
    this.#writing = written.catch(() => {})
    await written
  }

  async #write(): Promise<void> {
    const draft = `${this.#path}.new`
    await writeDurably(draft, JSON.stringify(this.#found))
    await replaceBy(draft, this.#path)
  }
}
