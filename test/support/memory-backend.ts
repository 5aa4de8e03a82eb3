/** A backend in memory: what services above are tested on where no OpenBao is needed. */
import { quote, SottoError } from '../../client/api/errors.ts'
import type {
  Backend,
  BackendReport,
  BackendStatus,
  Leaf,
  NewProjection,
  Projection,
  WrittenProjection,
} from '../../server/backends/contract.ts'

/** What several openings of a backend, by one store or several, share. */
export class SharedMemory {
  readonly leaves = new Map<string, { gen: string; value: Buffer | undefined }>()
  readonly projections = new Map<string, Projection>()
  identity = 'memory'
  /** Called before each method does anything; what it throws is what the method rejects with. */
  before: (method: keyof Backend, name: string) => void = () => {}
}

/** The backend of the store `storeId`. */
export class MemoryBackend implements Backend {
  readonly place = 'the memory of a test'
  readonly #storeId: string
  readonly #shared: SharedMemory
  readonly #maxBytes: number

  constructor(storeId: string, shared = new SharedMemory(), maxBytes = 760 * 1024) {
    this.#storeId = storeId
    this.#shared = shared
    this.#maxBytes = maxBytes
  }

  async writeLeaf(leaf: Leaf, value: Uint8Array): Promise<'written' | 'present'> {
    this.#shared.before('writeLeaf', leaf.name)
    this.#fits(value, leaf.name)
    const stored = this.#shared.leaves.get(keyOf(leaf))
    if (!stored) {
      this.#shared.leaves.set(keyOf(leaf), { gen: this.#gen(leaf), value: Buffer.from(value) })
      return 'written'
    }
    if (stored.gen === this.#gen(leaf) && stored.value?.equals(value) === true) return 'present'
    throw new SottoError('conflict', `Cannot write ${quote(leaf.name)}: something else is there`)
  }

  async readLeaf(leaf: Leaf): Promise<Buffer | undefined> {
    this.#shared.before('readLeaf', leaf.name)
    const stored = this.#shared.leaves.get(keyOf(leaf))
    if (!stored) return undefined
    if (stored.gen === this.#gen(leaf) && stored.value) return Buffer.from(stored.value)
    throw new SottoError('backend_altered', `Cannot read ${quote(leaf.name)}: it is another's`)
  }

  async removeLeaf(leaf: Leaf): Promise<void> {
    this.#shared.before('removeLeaf', leaf.name)
    const stored = this.#shared.leaves.get(keyOf(leaf))
    if (stored?.value && stored.gen !== this.#gen(leaf)) {
      throw new SottoError('conflict', `Cannot remove ${quote(leaf.name)}: it is another's`)
    }
    this.#shared.leaves.delete(keyOf(leaf))
  }

  async leaves(name: string): Promise<number[]> {
    this.#shared.before('leaves', name)
    const keys = [...this.#shared.leaves.keys()].map(
      (key) => JSON.parse(key) as [name: string, version: number],
    )
    return keys
      .filter(([of]) => of === name)
      .map(([, version]) => version)
      .toSorted((a, b) => a - b)
  }

  async readProjection(name: string): Promise<Projection | undefined> {
    this.#shared.before('readProjection', name)
    const stored = this.#shared.projections.get(name)
    return stored && { ...stored, ...(stored.content && { content: Buffer.from(stored.content) }) }
  }

  async writeProjection(
    name: string,
    next: NewProjection,
    expected: number,
  ): Promise<WrittenProjection> {
    this.#shared.before('writeProjection', name)
    const { bytes } = next.content
    this.#fits(bytes, name)
    const stored = this.#shared.projections.get(name)
    const found = stored?.revision ?? 0
    if (found === expected + 1 && stored?.content?.equals(bytes) === true) {
      return { revision: found, marked: true }
    }
    if (found !== expected) throw outdated(name)
    const mark = { ...next.mark, store: this.#storeId }
    const revision = expected + 1
    this.#shared.projections.set(name, { revision, content: Buffer.from(bytes), mark })
    return { revision, marked: true }
  }

  async removeProjection(name: string, expected: number): Promise<void> {
    this.#shared.before('removeProjection', name)
    const stored = this.#shared.projections.get(name)
    if (stored && stored.revision !== expected) throw outdated(name)
    this.#shared.projections.delete(name)
  }

  async identity(): Promise<string> {
    this.#shared.before('identity', '')
    return this.#shared.identity
  }

  status(): BackendStatus {
    return { logins: 0, failedLogins: 0, renewals: 0, failedRenewals: 0 }
  }

  async test(): Promise<BackendReport> {
    this.#shared.before('test', '')
    return { product: 'Memory', marks: true, notes: [] }
  }

  async close(): Promise<void> {}

  #gen({ incarnation }: Leaf): string {
    return `${this.#storeId}.${incarnation}`
  }

  #fits({ length }: Uint8Array, name: string): void {
    if (length <= this.#maxBytes) return
    throw new SottoError('backend_too_large', `Cannot write ${quote(name)}: it has ${length} bytes`)
  }
}

function keyOf({ name, version }: Leaf): string {
  return JSON.stringify([name, version])
}

function outdated(name: string): SottoError {
  return new SottoError('conflict', `Cannot change ${quote(name)}: it was changed meanwhile`)
}
