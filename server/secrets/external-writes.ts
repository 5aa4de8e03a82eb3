/**
 * Adds versions whose values are kept in a backend. The number is reserved first, durably, and only then the
 * value is written: a write that failed, or half of one, leaves its number unused and blocks nobody.
 */
import type { Keyring } from '../crypto/keyring.ts'
import type { Orphan, SecretRow, Store } from '../store/contract.ts'
import type { Pass } from '../gate/gate.ts'
import type { Values } from '../backends/values.ts'
import { type Addition, changeOf, filled, nextIncarnation, reserved } from '../catalog/states.ts'

/** A version to be added with a value. */
export interface NewVersion extends Addition {
  /** The verb in the audit log. */
  readonly verb: string
  /** Stays the caller's, who zeroes it. */
  readonly value: Uint8Array
}

/** What external writes are made with. */
export interface ExternalWritesParts {
  readonly store: Store
  readonly keyring: Keyring
  readonly values: Values
  /** Called when a value may have been written, or may be yet, that no version has. */
  readonly doubtful: (place: Orphan) => void
}

/** Puts values into backends. */
export class ExternalWrites {
  readonly #parts: ExternalWritesParts

  constructor(parts: ExternalWritesParts) {
    this.#parts = parts
  }

  /** `version`, or the next number that the backend `id` has nothing at. Rejects when it cannot be used. */
  vacant(id: number, before: SecretRow | undefined, name: string, version: number) {
    return this.#parts.values.vacant(id, { name, incarnation: nextIncarnation(before), version })
  }

  /**
   * Adds a version whose value goes to the backend `id`. Rejects with what the backend rejects with, and
   * then the number is never used again; otherwise as a change of the store.
   */
  async add(
    pass: Pass,
    id: number,
    before: SecretRow | undefined,
    { verb, value, ...addition }: NewVersion,
  ): Promise<void> {
    const { store, keyring, values, doubtful } = this.#parts
    const { name, version } = addition
    const taken = reserved(before, { ...addition, home: id })
    const next = filled(taken, addition)
    const place = { name, incarnation: taken.incarnation, version }
    const sealed = values.refer(id, place, value)
    // With the MAC that is stored: the root key may be rotated in the meantime.
    let row: SecretRow | undefined
    await pass.change('reserve', version, (stamp) => {
      const change = changeOf(keyring, stamp, before, taken)
      row = change.next
      return store.reserve(change, version, id)
    })
    try {
      await values.write(id, place, value)
    } catch (error) {
      await pass.record('failed', version)
      doubtful({ backend: id, ...place })
      throw error
    }
    await pass.change(verb, version, (stamp) => {
      // An entry that was retired in the meantime may get no new versions: it is erased once it has none.
      const current = { version, backend: id, ...keyring.upToDate(place, sealed) }
      return store.fill(changeOf(keyring, stamp, row, next), current)
    })
  }
}
