/**
 * Rotation of the keyring of a store that is in use: a new entry seals from now on, the data keys of all
 * versions move to it in batches, and the old entry is erased once it wraps nothing. The progress is in the
 * store, so that a rotation that was cut short continues from there.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { processTimers, type Timers } from '../../client/platform/timers.ts'
import { asSottoError, SottoError } from '../../client/api/errors.ts'
import { type EntryInfo, Keyring } from '../crypto/keyring.ts'
import type { MovedKey, Store, StoredKeys, WrappedVersion } from '../store/contract.ts'
import type { Gate } from '../gate/gate.ts'
import type { KeyActs } from '../gate/key-acts.ts'
import type { Job } from '../jobs/scheduler.ts'
import type { KeyProvider } from '../crypto/provider.ts'
import { RootRotation, type RootRotationParts } from './root-rotation.ts'
import { type OpenedKeyring, openKeyring } from './wraps.ts'

/** Versions whose data keys move in one transaction, while no other change is done. */
const BATCH_VERSIONS = 100

/** Data keys that are re-wrapped in one turn of the event loop. */
const TURN_VERSIONS = 10

/** How long a rotation rests after a batch, as a multiple of the time that the batch took. */
const REST = 2

/** What a keyring is rotated with. */
export interface RotationParts extends RootRotationParts {
  readonly timers?: Timers
  /** Whether others use the store at the same time, who come first. Default: yes. */
  readonly shared?: boolean
}

/** An entry of the keyring, with what it is in use for. */
export interface EntryUse extends Omit<EntryInfo, 'fingerprint'> {
  /** Absent while the keyring is not open. */
  readonly fingerprint?: string
  /** How many versions have their data key wrapped by it. */
  readonly versions: number
}

/** The root key, as an operator may see it. */
export interface RootInfo {
  /** 1 for the first of a store, then one more for each that replaced another. */
  readonly number: number
  /** Absent while the keyring is not open. */
  readonly fingerprint?: string
  /** While MACs by the one before are being replaced: of how many secrets they were. */
  readonly remade?: number
}

/** The rotation of one keyring, and of the root key that it is sealed under. */
export class Rotation {
  readonly #parts: Required<RotationParts>
  readonly #root: RootRotation
  #turns: Promise<unknown> = Promise.resolve()
  #failure: SottoError | undefined

  constructor(parts: RotationParts) {
    this.#parts = { timers: processTimers, shared: true, ...parts }
    this.#root = new RootRotation(parts)
  }

  /** Why the last `run` failed; undefined where it did not. */
  get failure(): SottoError | undefined {
    return this.#failure
  }

  /** The entries of the keyring, in the order of their ids. */
  async entries(): Promise<EntryUse[]> {
    return entriesOf(this.#parts.store, this.#parts.keyring)
  }

  /** The root key. */
  get root(): RootInfo {
    const { rootNumber: number, rootFingerprint: fingerprint } = this.#parts.keyring
    const { remade } = this.#root
    return { number, fingerprint, ...(remade !== undefined && { remade }) }
  }

  /**
   * Begins a rotation: from then on a new entry seals, and `run` has something to do. Resolves with
   * whether it did; it does not while one is under way. Rejects as `openKeyring`, and then changed nothing.
   */
  async begin(acts: KeyActs): Promise<boolean> {
    return this.#inTurn(() => this.#begin(acts))
  }

  /**
   * The same with a new root key, which a rotation of the keyring alone that is under way does not keep from
   * beginning. Rejects as `RootRotation.begin`.
   */
  async beginRoot(acts: KeyActs, recipients: readonly KeyProvider[]): Promise<boolean> {
    return this.#inTurn(async () => {
      await this.#catchUp()
      if (this.#parts.keyring.takesPrevious) return false
      await this.#root.begin(acts, recipients)
      return true
    })
  }

  /**
   * Continues a rotation until it is done, and resolves with how many data keys it moved; undefined
   * where none was under way. Rejects with `store_damaged` when some data keys do not open, after all others were moved;
   * with the reason of `signal`; and with what the store rejects with. What was done by then stays.
   */
  async run(acts: KeyActs, signal?: AbortSignal): Promise<number | undefined> {
    try {
      const moved = await this.#run(acts, signal)
      this.#failure = undefined
      return moved
    } catch (error) {
      if (!signal?.aborted) this.#failure = asSottoError(error)
      throw error
    }
  }

  /** Runs `task` after those that were called before: the entries are the same from its beginning to its end. */
  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const turn = this.#turns.then(task, task)
    this.#turns = turn
    return turn
  }

  async #begin(acts: KeyActs): Promise<boolean> {
    const { store, keyring, clock } = this.#parts
    await this.#catchUp()
    if (retiring(keyring).length > 0 || keyring.takesPrevious) return false
    const opened = await this.#open()
    const rotated = rotate(store.identity.id, opened, await store.keys(), clock)
    const { id: entry, fingerprint } = rotated.keyring.active()
    await acts.changeKeys({ kind: 'keyring', verb: 'add', entry, fingerprint }, (change) =>
      store.addKey(change, rotated.added, rotated.retired),
    )
    keyring.adopt(rotated.keyring)
    const { provider, fingerprint: by } = opened.wrap
    // The rotation has begun: a date that was not noted does not undo it.
    await store.noteProven(provider, by, clock().toISOString()).catch(() => {})
    return true
  }

  async #run(acts: KeyActs, signal: AbortSignal | undefined): Promise<number | undefined> {
    const { store, keyring } = this.#parts
    await this.#inTurn(() => this.#catchUp())
    let moved: number | undefined
    // Looked up again each time: the root key may be replaced meanwhile, which retires the active one.
    for (let [entry] = retiring(keyring); entry; [entry] = retiring(keyring)) {
      const { id, fingerprint } = entry
      moved = (moved ?? 0) + (await this.#empty(id, acts, signal))
      const intent = { kind: 'keyring', verb: 'erase', entry: id, fingerprint } as const
      await this.#inTurn(async () => {
        await acts.changeKeys(intent, (change) => store.eraseKey(change, id))
        keyring.forget(id)
      })
    }
    if (keyring.takesPrevious) moved ??= 0
    await this.#root.run(acts, (work) => this.#paced(signal, work))
    return moved
  }

  /** Moves all that the entry `id` wraps to the active one. Resolves with how many it moved. */
  async #empty(id: number, acts: KeyActs, signal: AbortSignal | undefined): Promise<number> {
    const { store } = this.#parts
    const damage: SottoError[] = []
    let moved = 0
    let cursor = 0
    for (;;) {
      const isEmpty = await this.#paced(signal, async () => {
        const page = await store.wrappedBy(id, cursor, BATCH_VERSIONS)
        cursor = page.at(-1)?.cursor ?? cursor
        moved += await this.#inTurn(async () => this.#move(await this.#rewrap(page, damage), acts))
        return page.length === 0
      })
      if (isEmpty) break
    }
    const [first] = damage
    if (first === undefined) return moved
    const found = `${damage.length} data keys do not open, the first one: ${first.message}`
    const hint =
      'Restore those versions from a backup, or delete them; the rotation then continues by itself.'
    throw new SottoError('store_damaged', `Cannot end the rotation of the keyring: ${found}`, {
      hint,
      cause: first,
    })
  }

  async #move(moves: readonly MovedKey[], acts: KeyActs): Promise<number> {
    if (moves.length === 0) return 0
    const { store, keyring } = this.#parts
    const { id: entry, fingerprint } = keyring.active()
    let moved = 0
    const intent = { kind: 'keyring', verb: 'move', entry, fingerprint } as const
    await acts.changeKeys({ ...intent, versions: moves.length }, async (change) => {
      const { revision, count } = await store.moveKeys(change, entry, moves)
      moved = count
      return revision
    })
    return moved
  }

  async #rewrap(page: readonly WrappedVersion[], damage: SottoError[]): Promise<MovedKey[]> {
    const moves: MovedKey[] = []
    for (const [index, stored] of page.entries()) {
      // A turn for every few: a reader waits no longer than these take.
      if (this.#parts.shared && index > 0 && index % TURN_VERSIONS === 0) await nextTurn()
      const { name, incarnation, version, wrappedKey: expected } = stored
      try {
        const { wrappedKey } = this.#parts.keyring.rewrap({ name, incarnation, version }, stored)
        moves.push({ name, version, wrappedKey, expected })
      } catch (error) {
        damage.push(asSottoError(error))
      }
    }
    return moves
  }

  /** Does `work`, then leaves the store to others for a multiple of the time that it took. */
  async #paced<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    signal?.throwIfAborted()
    const { timers, shared } = this.#parts
    const begun = timers.now()
    const result = await work()
    if (shared) await rest(timers, REST * (timers.now() - begun), signal)
    return result
  }

  /** Opens the root key again, with what the store has now. */
  async #open(): Promise<OpenedKeyring> {
    const { store, providers } = this.#parts
    return openKeyring(store.identity.id, await store.keys(), await providers())
  }

  /** Makes the keyring in use equal to the store's: the outcome of a change of it may not have been known. */
  async #catchUp(): Promise<void> {
    const { store, keyring } = this.#parts
    const { keys, root } = await store.keys()
    const here = keyring.fingerprints()
    const known = keys.every(({ id, state }) =>
      here.some((entry) => entry.id === id && entry.state === state),
    )
    if (!known || root.number !== keyring.rootNumber) {
      const opened = await this.#open()
      opened.rootKey.fill(0)
      keyring.adopt(opened.keyring)
    }
    if (root.previous === undefined) keyring.forgetPrevious()
    for (const { id } of keyring.fingerprints()) {
      if (!keys.some((entry) => entry.id === id)) keyring.forget(id)
    }
  }
}

/** The job that continues a rotation that was begun: soon after the start of the server, and when it is woken. */
export function rotationJob(rotation: Rotation, gate: Gate): Job {
  return {
    name: 'rotation',
    action: 'keys',
    rules: [{ action: ['keys'], secret: ['*'] }],
    everyMs: 10 * 60_000,
    firstMs: 500,
    retryMs: 5000,
    maxMs: 12 * 60 * 60_000,
    async run({ call, signal }) {
      const moved = await rotation.run(await gate.operate(call, 'keys', 'key-rotate'), signal)
      return moved === undefined ? 'no rotation was under way' : `moved ${moved} data keys`
    },
  }
}

/** The entries of a keyring, with their fingerprints where it is open. */
export async function entriesOf(store: Store, keyring?: Keyring): Promise<EntryUse[]> {
  const { keys } = await store.keys()
  const use = await store.keyUse()
  const known = keyring?.fingerprints() ?? []
  return keys.map(({ id, createdAt, state }) => {
    const fingerprint = known.find((entry) => entry.id === id)?.fingerprint
    return {
      id,
      ...(fingerprint !== undefined && { fingerprint }),
      createdAt,
      state,
      versions: use.get(id) ?? 0,
    }
  })
}

function rotate(
  storeId: string,
  { rootKey }: OpenedKeyring,
  { keys, lasting, root }: StoredKeys,
  clock: () => Date,
): ReturnType<typeof Keyring.rotate> {
  try {
    return Keyring.rotate(storeId, rootKey, keys, { clock, lasting, root })
  } finally {
    rootKey.fill(0)
  }
}

function retiring(keyring: Keyring): EntryInfo[] {
  return keyring.fingerprints().filter(({ state }) => state === 'retiring')
}

/** Resolves after `ms` milliseconds. Rejects with the reason of `signal` once that is aborted. */
async function rest(timers: Timers, ms: number, signal: AbortSignal | undefined): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const end = (): void => resolve()
  const stop = timers.after(ms, end)
  signal?.addEventListener('abort', end)
  await promise
  stop()
  signal?.removeEventListener('abort', end)
  signal?.throwIfAborted()
}
