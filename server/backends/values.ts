/**
 * Values that are kept in backends. The store has a sealed reference of each, with a fingerprint: what a
 * backend returns is what was written there, or is refused.
 */
import { type KeyObject, timingSafeEqual } from 'node:crypto'
import { asSottoError, quote, SottoError } from '../../client/api/errors.ts'
import type { BackendReader, Leaf } from './contract.ts'
import type { Place } from '../crypto/binding.ts'
import type { DataKey, Keyring, Sealed } from '../crypto/keyring.ts'
import type { Reference } from '../crypto/reference.ts'
import type { OpenableVersion } from '../catalog/cache.ts'
import type { OpenBackends } from './opened.ts'

/** The values of one store that are kept in backends. */
export class Values {
  readonly #keyring: Keyring
  readonly #backends: OpenBackends

  constructor(keyring: Keyring, backends: OpenBackends) {
    this.#keyring = keyring
    this.#backends = backends
  }

  /**
   * The value of `version`, which the caller zeroes. Rejects with `store_damaged`, with what the backend
   * rejects with, and with `backend_altered` when the value is gone or is not the one that was written.
   */
  async read(place: Place, version: OpenableVersion): Promise<Buffer> {
    const reference = this.#reference(place, version)
    return this.#backends.use(reference.backend, async (backend) => {
      const value = await backend.readLeaf(place)
      if (!value) throw altered(backend, place, 'it is gone')
      if (this.#isOf(reference, place, value)) return value
      value.fill(0)
      throw altered(backend, place, 'it is not the value that was written')
    })
  }

  /** Reads `version` where it is kept now, the store or a backend. Rejects as `read` where it does not come back. */
  async demandReadable(place: Place, version: OpenableVersion): Promise<void> {
    const { backend, dataKey, sealed } = version
    const value =
      backend === undefined
        ? this.#keyring.openSealed(place, dataKey, sealed)
        : await this.read(place, version)
    value.fill(0)
  }

  /** Whether `value` is what `version` holds; no backend is asked. Throws `store_damaged`. */
  isSame(place: Place, version: OpenableVersion, value: Uint8Array): boolean {
    return this.#isOf(this.#reference(place, version), place, value)
  }

  /**
   * What the store keeps of `value` when it is in the backend `id`. `kept` is the data key of the sealed value, where the
   * store keeps that besides.
   */
  refer(id: number, place: Place, value: Uint8Array, kept?: KeyObject): Sealed {
    const fingerprint = this.#keyring.fingerprintOf(place, value)
    return this.#keyring.sealReference(place, {
      backend: id,
      ...fingerprint,
      ...(kept && { kept }),
    })
  }

  /** What opens the sealed value that the store keeps of `version` besides; undefined where it keeps none. */
  keptKey(place: Place, version: OpenableVersion): DataKey | undefined {
    const { kept } = this.#reference(place, version)
    return kept && { ...version.dataKey, key: kept }
  }

  /**
   * The number of `place` if the backend `id` has nothing there, else the first one after all that are
   * there: before a restore, the store may have given more numbers. Rejects when the backend cannot be used, or
   * may not be written to.
   */
  async vacant(id: number, place: Place): Promise<number> {
    return this.#backends.change(id, async (backend) => {
      if (!(await isTaken(backend, place))) return place.version
      const taken = await backend.leaves(place.name)
      return taken.reduce((highest, each) => Math.max(highest, each), place.version) + 1
    })
  }

  /** Writes a value to the backend `id`, or finds that it is there. */
  async write(id: number, place: Place, value: Uint8Array): Promise<void> {
    await this.#backends.change(id, (backend) => backend.writeLeaf(place, value))
  }

  /** Reads back what was written to the backend `id`. Rejects with `backend_altered` for anything else. */
  async prove(id: number, place: Place, value: Uint8Array): Promise<void> {
    await this.#backends.use(id, async (backend) => {
      const found = await backend.readLeaf(place)
      const same = found?.length === value.length && timingSafeEqual(found, value)
      found?.fill(0)
      if (!same) throw altered(backend, place, 'what was written does not come back')
    })
  }

  /**
   * Whether the value was removed from the backend `id`, or is not there. What is there but is not ours stays.
   * `kept` is the backend that has the version now, if there is one: where it is not shown to be another
   * place, that rejects with `backend_refused`.
   */
  async remove(id: number, place: Place, kept?: number): Promise<boolean> {
    if (kept !== undefined) await this.demandDistinct(id, kept)
    return this.#backends.change(id, async (backend) => {
      try {
        await backend.removeLeaf(place)
        return true
      } catch (error) {
        if (asSottoError(error).code !== 'conflict') throw error
        return false
      }
    })
  }

  /** Rejects with `backend_refused` unless two backends are different places; undefined is the store itself. */
  async demandDistinct(one: number | undefined, other: number | undefined): Promise<void> {
    await this.#backends.places.demandDistinct(one, other)
  }

  #isOf({ number, fingerprint }: Reference, place: Place, value: Uint8Array): boolean {
    return timingSafeEqual(
      fingerprint,
      this.#keyring.fingerprintOf(place, value, number).fingerprint,
    )
  }

  #reference(place: Place, { version, backend, dataKey, sealed }: OpenableVersion): Reference {
    const reference = this.#keyring.openReference(place, dataKey, sealed)
    if (reference.backend === backend) return reference
    const why = 'its record names another backend than its reference'
    const message = `Cannot read version ${version} of ${quote(place.name)}: ${why}`
    throw new SottoError('store_damaged', message, { hint: 'Restore the store from a backup.' })
  }
}

async function isTaken(backend: BackendReader, leaf: Leaf): Promise<boolean> {
  try {
    const found = await backend.readLeaf(leaf)
    found?.fill(0)
    return found !== undefined
  } catch (error) {
    if (asSottoError(error).code === 'backend_altered') return true
    throw error
  }
}

function altered({ place }: BackendReader, { name, version }: Leaf, reason: string): SottoError {
  return new SottoError(
    'backend_altered',
    `Cannot read version ${version} of ${quote(name)} at ${place}: ${reason}`,
    { hint: 'Look who else writes there. Put the value again, or restore it there from a backup.' },
  )
}
