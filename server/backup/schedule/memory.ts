/** What is known of the backups of a server. A small file in its state directory keeps it over a restart. */
import { readFile, rename, writeFile } from 'node:fs/promises'
import { z } from 'zod'

/** A backup that is in the target, whole. */
const known = z.object({
  name: z.string(),
  /** UTC. */
  created: z.string(),
  /** In bytes. */
  size: z.int(),
})

const proven = known.extend({
  /** When it was restored and opened whole; UTC. */
  at: z.string(),
  /** Values that were opened. */
  values: z.int(),
})

const memory = z.object({ newest: known.optional(), proven: proven.optional() })

/** A backup that is known. */
export type KnownBackup = z.infer<typeof known>

/** A backup that was proven. */
export type ProvenBackup = z.infer<typeof proven>

type Found = z.infer<typeof memory>

/** The newest backup, and the last one that was proven. */
export class BackupMemory {
  readonly #path: string
  #found: Found

  private constructor(path: string, found: Found) {
    this.#path = path
    this.#found = found
  }

  /** Reads the file at `path`. Without a file that can be read, nothing is known. */
  static async open(path: string): Promise<BackupMemory> {
    const text = await readFile(path, 'utf8').catch(() => '{}')
    try {
      return new BackupMemory(path, memory.parse(JSON.parse(text)))
    } catch {
      return new BackupMemory(path, {})
    }
  }

  /** The newest backup in the target when it was last looked at; undefined where there was none. */
  get newest(): KnownBackup | undefined {
    return this.#found.newest
  }

  /** The backup that was proven last; undefined where none ever was. */
  get proven(): ProvenBackup | undefined {
    return this.#found.proven
  }

  /** Notes what the newest backup is. Rejects where it cannot be kept over a restart. */
  async noteNewest(newest: KnownBackup | undefined): Promise<void> {
    const { newest: _, ...others } = this.#found
    await this.#keep({ ...others, ...(newest && { newest }) })
  }

  /** Notes that a backup was proven. Rejects where it cannot be kept over a restart. */
  async noteProven(found: ProvenBackup): Promise<void> {
    await this.#keep({ ...this.#found, proven: found })
  }

  async #keep(found: Found): Promise<void> {
    this.#found = found
    const draft = `${this.#path}.new`
    await writeFile(draft, JSON.stringify(found), { mode: 0o600 })
    await rename(draft, this.#path)
  }
}
