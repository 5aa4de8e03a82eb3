/**
 * Rotation of the keyring of a store that is in use: a new entry seals from now on, the data keys of all
 * versions move to it in batches, and the old entry is erased once it wraps nothing. The progress is in the
 * store, so that a rotation that was cut short continues from there.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { processTimers, type Timers } from '../platform/timers.ts'
import { asSottoError, SottoError } from '../../client/api/errors.ts'
import { type EntryInfo, Keyring } from '../crypto/keyring.ts'
import type { MovedKey, Store, WrappedVersion } from '../store/contract.ts'
import type { Gate } from '../gate/gate.ts'
import type { KeyActs } from '../gate/key-acts.ts'
import type { Job } from '../jobs/scheduler.ts'
import type { OpenedKeyring } from './wraps.ts'

/** Versions whose data keys move in one transaction, while no other change is done. */
const BATCH_VERSIONS = 100

/** Data keys that are re-wrapped in one turn of the event loop. */
const TURN_VERSIONS = 10

/** How long a rotation rests after a batch, as a multiple of the time that the batch took. */
const REST = 2

/** What a keyring is rotated with. */
export interface RotationParts {
  readonly store: Store
  /** The keyring in use. */
  readonly keyring: Keyring
  /** Opens the root key again, with what the store has now. */
  readonly openAnew: () => Promise<OpenedKeyring>
  readonly clock: () => Date
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

/** The rotation of one keyring. */
export class Rotation {
  readonly #parts: Required<RotationParts>
  #beginning: Promise<boolean> | undefined
  #failure: SottoError | undefined

  constructor(parts: RotationParts) {
    this.#parts = { timers: processTimers, shared: true, ...parts }
  }

  /** Why the last `run` failed; undefined where it did not. */
  get failure(): SottoError | undefined {
    return this.#failure
  }

  /** The entries of the keyring, in the order of their ids. */
  async entries(): Promise<EntryUse[]> {
    return entriesOf(this.#parts.store, this.#parts.keyring)
  }

  /**
   * Begins a rotation: from then on a new entry seals, and `run` has something to do. Resolves with
   * whether it did; it does not while one is under way. Rejects with what `openAnew` rejects with, and
   * then changed nothing.
   */
  async begin(acts: KeyActs): Promise<boolean> {
    this.#beginning ??= this.#begin(acts).finally(() => {
      this.#beginning = undefined
    })
    return this.#beginning
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

  async #begin(acts: KeyActs): Promise<boolean> {
    const { store, keyring, openAnew, clock } = this.#parts
    await this.#catchUp()
    if (retiring(keyring).length > 0) return false
    const opened = await openAnew()
    const { keys } = await store.keys()
    const rotated = rotate(store.identity.id, opened, keys, clock)
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
    await this.#catchUp()
    let moved: number | undefined
    for (const { id, fingerprint } of retiring(keyring)) {
      moved = (moved ?? 0) + (await this.#empty(id, acts, signal))
      await acts.changeKeys({ kind: 'keyring', verb: 'erase', entry: id, fingerprint }, (change) =>
        store.eraseKey(change, id),
      )
      keyring.forget(id)
    }
    return moved
  }

  /** Moves all that the entry `id` wraps to the active one. Resolves with how many it moved. */
  async #empty(id: number, acts: KeyActs, signal: AbortSignal | undefined): Promise<number> {
    const { store, timers, shared } = this.#parts
    const damage: SottoError[] = []
    let moved = 0
    let cursor = 0
    for (;;) {
      signal?.throwIfAborted()
      const begun = timers.now()
      const page = await store.wrappedBy(id, cursor, BATCH_VERSIONS)
      const last = page.at(-1)
      if (last === undefined) break
      cursor = last.cursor
      moved += await this.#move(await this.#rewrap(page, damage), acts)
      if (shared) await rest(timers, REST * (timers.now() - begun), signal)
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

  /** Makes the keyring in use equal to the store's: the outcome of a change of it may not have been known. */
  async #catchUp(): Promise<void> {
    const { store, keyring, openAnew } = this.#parts
    const { keys } = await store.keys()
    const here = keyring.fingerprints()
    const known = keys.every(({ id, state }) =>
      here.some((entry) => entry.id === id && entry.state === state),
    )
    if (!known) {
      const opened = await openAnew()
      opened.rootKey.fill(0)
      keyring.adopt(opened.keyring)
    }
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
  keys: Parameters<typeof Keyring.rotate>[2],
  clock: () => Date,
): ReturnType<typeof Keyring.rotate> {
  try {
    return Keyring.rotate(storeId, rootKey, keys, { clock })
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
