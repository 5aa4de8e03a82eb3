/** The verbs of the store that change it, each as an op for the writer. */
import { asSottoError, quote, SottoError } from '../../../client/api/errors.ts'
import type { Principal } from '../../../client/api/types.ts'
import type {
  AuditMark,
  BackendChange,
  Change,
  KeyChange,
  Moved,
  MovedKey,
  Orphan,
  SavedBackend,
  SealedVersion,
  StoredKey,
  StoredWrap,
} from '../contract.ts'
import type { StoreMetrics } from '../metrics.ts'
import type { Mirrored, MirrorHead } from '../mirrors.ts'
import type { ChangeOp, Op, OpValue } from './messages.ts'
import { formatNumbers } from './numbers.ts'
import type { WriteQueue } from './write-queue.ts'

/** An op that announces itself in the audit log first. */
type Announced = Extract<Op, { readonly intent: AuditMark }>

export class Writes {
  readonly #queue: WriteQueue
  readonly #changes: StoreMetrics['changes']

  constructor(queue: WriteQueue, { changes }: Pick<StoreMetrics, 'changes'>) {
    this.#queue = queue
    this.#changes = changes
  }

  append(change: Change, added: SealedVersion): Promise<number> {
    return this.#change('append', change, added.version, { added })
  }

  activate(change: Change): Promise<number> {
    return this.#change('activate', change, change.next.active)
  }

  removeVersion(change: Change, version: number): Promise<number> {
    return this.#change('remove-version', change, version)
  }

  remove(change: Change): Promise<number> {
    return this.#change('remove', change, null)
  }

  reserve(change: Change, version: number, backend: number): Promise<number> {
    return this.#change('reserve', change, version, { backend })
  }

  fill(change: Change, added: SealedVersion): Promise<number> {
    return this.#change('fill', change, added.version, { added })
  }

  rehome(change: Change, moved: readonly SealedVersion[], keepSource: boolean): Promise<number> {
    return this.#change('rehome', change, null, { moved, keepSource })
  }

  addWrap(change: KeyChange, added: StoredWrap): Promise<number> {
    const { provider, fingerprint } = added
    return this.#commit({
      kind: 'wrap',
      verb: 'add',
      ...stampOf(change),
      provider,
      fingerprint,
      added,
    })
  }

  removeWrap(change: KeyChange, provider: string, fingerprint: string): Promise<number> {
    return this.#commit({ kind: 'wrap', verb: 'remove', ...stampOf(change), provider, fingerprint })
  }

  replaceWrap(change: KeyChange, added: StoredWrap, expected: Uint8Array): Promise<number> {
    const { provider, fingerprint } = added
    const wrap = { provider, fingerprint, added, expected }
    return this.#commit({ kind: 'wrap', verb: 'rewrap', ...stampOf(change), ...wrap })
  }

  noteProven(provider: string, fingerprint: string, at: string): Promise<void> {
    return this.#note({ kind: 'proven', provider, fingerprint, at })
  }

  addKey(change: KeyChange, added: StoredKey, retired: StoredKey): Promise<number> {
    return this.#commit({ kind: 'keyring', verb: 'add', ...stampOf(change), added, retired })
  }

  moveKeys(change: KeyChange, keyId: number, moved: readonly MovedKey[]): Promise<Moved> {
    return this.#commit({ kind: 'keyring', verb: 'move', ...stampOf(change), keyId, moved })
  }

  eraseKey(change: KeyChange, keyId: number): Promise<number> {
    return this.#commit({ kind: 'keyring', verb: 'erase', ...stampOf(change), keyId })
  }

  saveBackend(change: BackendChange, saved: SavedBackend, demoted?: SavedBackend): Promise<number> {
    return this.#commit({ kind: 'backend', verb: 'save', ...stampOf(change), saved, demoted })
  }

  removeBackend(change: BackendChange, id: number, expected: Uint8Array): Promise<number> {
    const row = { id, expected }
    return this.#commit({ kind: 'backend', verb: 'erase-backend', ...stampOf(change), ...row })
  }

  noteWritten(places: readonly Orphan[]): Promise<void> {
    return this.#note({ kind: 'orphans', places, cleared: false })
  }

  forgetOrphan(place: Orphan): Promise<void> {
    return this.#note({ kind: 'orphans', places: [place], cleared: true })
  }

  takeUp(backend: number, head: MirrorHead, names: readonly string[], at: string): Promise<void> {
    const due = names.filter((name) => name.isWellFormed())
    return this.#note({ kind: 'mirror', verb: 'take-up', backend, head, due, at })
  }

  saveMirrored(backend: number, mirrored: Mirrored): Promise<void> {
    return this.#note({ kind: 'mirror', verb: 'save-mirrored', backend, mirrored })
  }

  async dropMirrored(backend: number, name: string): Promise<void> {
    if (!name.isWellFormed()) return
    await this.#note({ kind: 'mirror', verb: 'drop-mirrored', backend, name })
  }

  forgetStaleCopies(): Promise<void> {
    return this.#note({ kind: 'forget-stale-copies' })
  }

  remember(mark: AuditMark): Promise<void> {
    return this.#note({ kind: 'remember', mark })
  }

  async committed(intents: readonly number[]): Promise<Set<number>> {
    const found = await this.#queue.submit({ kind: 'committed', intents })
    return new Set(found as readonly number[])
  }

  async #change(
    verb: ChangeOp['verb'],
    { expected, next, ...change }: Change,
    version: number | null,
    more: Pick<Partial<ChangeOp>, 'added' | 'backend' | 'moved' | 'keepSource'> = {},
  ): Promise<number> {
    const { name, incarnation, active, highest, versions, removed, mac } = next
    if (!name.isWellFormed()) {
      throw new SottoError('invalid_name', `Cannot store ${quote(name)}: not well-formed Unicode`)
    }
    const numbers = { versions: formatNumbers(versions), removed: formatNumbers(removed) }
    return this.#commit({
      kind: 'change',
      verb,
      ...stampOf(change),
      name,
      version,
      expected,
      next: { incarnation, active, highest, ...numbers },
      mac,
      ...more,
    })
  }

  /** Has the writer do a change, and counts the outcome. Resolves with what the writer answers. */
  async #commit<T extends OpValue = number>(op: Announced): Promise<T> {
    try {
      const value = (await this.#queue.submit(op)) as T
      this.#changes.with({ result: 'done' }).add()
      return value
    } catch (error) {
      const unknown = asSottoError(error).code === 'store_unavailable'
      this.#changes.with({ result: unknown ? 'unknown' : 'refused' }).add()
      throw error
    }
  }

  /** Has the writer do what no intent announces. */
  async #note(op: Op): Promise<void> {
    await this.#queue.submit(op)
  }
}

/** What every announced op has. */
function stampOf({
  intent: { id, hash },
  by,
  at,
}: {
  readonly intent: AuditMark
  readonly by: Principal | string
  readonly at: string
}): Pick<Announced, 'intent' | 'by' | 'at'> {
  return { intent: { id, hash }, by: typeof by === 'string' ? by : JSON.stringify(by), at }
}
