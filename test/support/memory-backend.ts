/** A backend in memory: what services above are tested on where no OpenBao is needed. */
import { quote, SottoError } from '../../client/api/errors.ts'
import type {
  Backend,
  BackendReport,
  BackendStatus,
  Claim,
  FoundClaim,
  Leaf,
  NewProjection,
  Owner,
  Projection,
  WrittenProjection,
} from '../../server/backends/contract.ts'
import { pathOf } from '../../server/backends/names.ts'

interface StoredLeaf extends Pick<Leaf, 'incarnation'> {
  readonly owner: Owner
  value: Buffer | undefined
}

/** The owner of what a test writes for the store `store`. */
export function ownerOf(store: string, more: Partial<Owner> = {}): Owner {
  return { store, backend: 1, branch: 'b'.repeat(16), former: [], ...more }
}

/** What several openings of a backend, by one store or several, share. */
export class SharedMemory {
  readonly leaves = new Map<string, StoredLeaf>()
  readonly projections = new Map<string, Projection>()
  identity: string | Promise<string> = 'memory'
  claim: FoundClaim | undefined
  status: BackendStatus = { logins: 0, failedLogins: 0, renewals: 0, failedRenewals: 0 }
  /** Called before each method does anything; what it throws is what the method rejects with. */
  before: (method: keyof Backend, name: string) => void = () => {}
}

/** A backend of the store that `owner` says. */
export class MemoryBackend implements Backend {
  readonly place = 'the memory of a test'
  readonly #owner: Owner
  readonly #shared: SharedMemory
  readonly #maxBytes: number

  constructor(owner: Owner, shared = new SharedMemory(), maxBytes = 760 * 1024) {
    this.#owner = owner
    this.#shared = shared
    this.#maxBytes = maxBytes
  }

  async writeLeaf(leaf: Leaf, value: Uint8Array): Promise<'written' | 'present'> {
    this.#shared.before('writeLeaf', leaf.name)
    this.#fits(value, leaf.name)
    const stored = this.#shared.leaves.get(keyOf(leaf))
    if (!stored) {
      const { incarnation } = leaf
      const kept = { owner: this.#owner, incarnation, value: Buffer.from(value) }
      this.#shared.leaves.set(keyOf(leaf), kept)
      return 'written'
    }
    const isOwn = this.#isOf(stored, leaf) && stored.owner.branch === this.#owner.branch
    if (isOwn && stored.value?.equals(value) === true) return 'present'
    throw new SottoError('conflict', `Cannot write ${quote(leaf.name)}: something else is there`)
  }

  async readLeaf(leaf: Leaf): Promise<Buffer | undefined> {
    this.#shared.before('readLeaf', leaf.name)
    const stored = this.#shared.leaves.get(keyOf(leaf))
    if (!stored) return undefined
    if (this.#isOf(stored, leaf) && stored.value) return Buffer.from(stored.value)
    throw new SottoError('backend_altered', `Cannot read ${quote(leaf.name)}: it is another's`)
  }

  async removeLeaf(leaf: Leaf): Promise<void> {
    this.#shared.before('removeLeaf', leaf.name)
    const stored = this.#shared.leaves.get(keyOf(leaf))
    const { branch, former } = this.#owner
    const isOurs = stored && [branch, ...former].includes(stored.owner.branch)
    if (stored?.value && !(isOurs && this.#isOf(stored, leaf))) {
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

  async *projections(): AsyncIterable<string> {
    for (const name of this.#shared.projections.keys()) yield pathOf(name)
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
    const { store, backend, branch } = this.#owner
    const mark = { ...next.mark, store, backend, branch }
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

  async readClaim(): Promise<FoundClaim | undefined> {
    this.#shared.before('readClaim', '')
    return this.#shared.claim
  }

  async writeClaim(claim: Claim, expected: number): Promise<void> {
    this.#shared.before('writeClaim', '')
    const { claim: found } = this.#shared
    if ((found?.revision ?? 0) !== expected) throw outdated('the place')
    this.#shared.claim = { revision: expected + 1, claim }
  }

  status(): BackendStatus {
    return this.#shared.status
  }

  async test(): Promise<BackendReport> {
    this.#shared.before('test', '')
    return { product: 'Memory', marks: true, notes: [] }
  }

  async close(): Promise<void> {}

  #isOf({ owner, incarnation }: StoredLeaf, leaf: Leaf): boolean {
    const { store, backend } = this.#owner
    return owner.store === store && owner.backend === backend && incarnation === leaf.incarnation
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
