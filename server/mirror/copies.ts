/** The versions of secrets that a mirror keeps beside what other readers see. */
import type { MirrorSetup } from './parts.ts'
import type { Backend } from '../backends/contract.ts'
import type { SecretRow, Store } from '../store/contract.ts'
import type { Mirrored } from '../store/mirrors.ts'

/** What leaves are kept with. */
export interface LeavesParts {
  readonly store: Store
  /** The id of the backend. */
  readonly backend: number
  readonly spec: Pick<MirrorSetup['spec'], 'history' | 'onDrift' | 'onDelete'>
  readonly use: <T>(act: (backend: Backend) => Promise<T>) => Promise<T>
  /** A value, which leaves a record. Whoever takes it zeroes it. */
  readonly value: (name: string, version: number) => Promise<Buffer>
}

/** How the leaves of a secret are now. */
interface Brought {
  /** Versions that have a leaf, ascending. */
  readonly leaves: number[]
  /** What someone else did to them, half a sentence; absent where nobody did. */
  readonly problem?: string
}

/** The leaves of one mirror. */
export class Leaves {
  readonly #parts: LeavesParts

  constructor(parts: LeavesParts) {
    this.#parts = parts
  }

  /**
   * Writes the leaves that are missing of the secret `row`, and removes those of versions that were deleted
   * here where the mirror is set up so. `check` also looks which of those that were written are there.
   */
  async bring(row: SecretRow, mirrored: Mirrored, check: boolean): Promise<Brought> {
    const { history, onDrift, onDelete } = this.#parts.spec
    const { name, versions } = row
    if (history === 'none' && mirrored.leaves.length === 0) return { leaves: [] }
    const lost = check ? await this.#lost(mirrored) : []
    const again = onDrift === 'report' ? [] : lost.filter((version) => versions.includes(version))
    const kept = new Set(mirrored.leaves.filter((version) => !again.includes(version)))
    const missing = [...again, ...this.#due(row).filter((version) => !kept.has(version))]
    // One that lives in this backend has its leaves there, which are not the mirror's.
    if (missing.length > 0 && (await this.#livesHere(name))) missing.length = 0
    for (const version of missing) {
      await this.#write(row, version)
      kept.add(version)
    }
    const deleted = [...kept].filter((version) => !versions.includes(version))
    if (onDelete === 'remove') await this.#remove(name, deleted)
    // What stays there now is not removed later because a setting changed.
    for (const version of deleted) kept.delete(version)
    const leaves = [...kept].toSorted((a, b) => a - b)
    const gone = lost.filter((version) => kept.has(version) && !again.includes(version))
    if (gone.length === 0) return { leaves }
    return {
      leaves,
      problem: `someone else removed what is kept there of version ${gone.join(', ')}`,
    }
  }

  /** Removes every leaf of a secret that was deleted here. */
  async removeAll({ name, leaves }: Mirrored): Promise<void> {
    await this.#remove(name, leaves)
  }

  #due({ versions, active }: SecretRow): readonly number[] {
    const { history } = this.#parts.spec
    if (history === 'all') return versions
    return history === 'active' ? [active] : []
  }

  async #livesHere(name: string): Promise<boolean> {
    const { store, backend } = this.#parts
    return (await store.read(name, 0))?.version?.backend === backend
  }

  async #lost({ name, leaves }: Mirrored): Promise<number[]> {
    if (leaves.length === 0) return []
    const there = new Set(await this.#parts.use((backend) => backend.leaves(name)))
    return leaves.filter((version) => !there.has(version))
  }

  async #write({ name, incarnation }: SecretRow, version: number): Promise<void> {
    const { use, value: open } = this.#parts
    const value = await open(name, version)
    try {
      await use((backend) => backend.writeLeaf({ name, incarnation, version }, value))
    } finally {
      value.fill(0)
    }
  }

  async #remove(name: string, versions: readonly number[]): Promise<void> {
    if (versions.length === 0) return
    const { store, use } = this.#parts
    const incarnations = new Map<number, number>()
    for (const { version, incarnation } of await store.history(name)) {
      if (version !== undefined && !incarnations.has(version))
        incarnations.set(version, incarnation)
    }
    for (const version of versions) {
      const incarnation = incarnations.get(version)
      if (incarnation === undefined) continue
      await use((backend) => backend.removeLeaf({ name, incarnation, version }))
    }
  }
}
