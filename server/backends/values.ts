/**
 * Values that are kept in backends. The store has a sealed reference of each, with a fingerprint: what a
 * backend returns is what was written there, or is refused.
 */
import { timingSafeEqual } from 'node:crypto'
import { asSottoError, quote, SottoError } from '../../client/api/errors.ts'
import type { Backend, Leaf } from './contract.ts'
import type { Place } from '../crypto/binding.ts'
import type { Keyring, Sealed } from '../crypto/keyring.ts'
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
    const { backend: id, fingerprint } = this.#reference(place, version)
    return this.#backends.use(id, async (backend) => {
      const value = await backend.readLeaf(place)
      if (!value) throw altered(backend, place, 'it is gone')
      if (timingSafeEqual(fingerprint, this.#keyring.fingerprintOf(place, value))) return value
      value.fill(0)
      throw altered(backend, place, 'it is not the value that was written')
    })
  }

  /** Whether `value` is what `version` holds; no backend is asked. Throws `store_damaged`. */
  isSame(place: Place, version: OpenableVersion, value: Uint8Array): boolean {
    const { fingerprint } = this.#reference(place, version)
    return timingSafeEqual(fingerprint, this.#keyring.fingerprintOf(place, value))
  }

  /** What the store keeps of `value` when it is in the backend `id`. */
  refer(id: number, place: Place, value: Uint8Array): Sealed {
    const fingerprint = this.#keyring.fingerprintOf(place, value)
    return this.#keyring.sealReference(place, { backend: id, fingerprint })
  }

  /**
   * The number of `place` if the backend `id` has nothing there, else the first one after all that are
   * there: before a restore, the store may have given more numbers. Rejects when the backend cannot be used.
   */
  async vacant(id: number, place: Place): Promise<number> {
    return this.#backends.use(id, async (backend) => {
      if (!(await isTaken(backend, place))) return place.version
      const taken = await backend.leaves(place.name)
      return taken.reduce((highest, each) => Math.max(highest, each), place.version) + 1
    })
  }

  /** Writes a value to the backend `id`, or finds that it is there. */
  async write(id: number, place: Place, value: Uint8Array): Promise<void> {
    await this.#backends.use(id, (backend) => backend.writeLeaf(place, value))
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

  /** Removes a value from the backend `id`. What is there but is not ours stays, and that is not an error. */
  async remove(id: number, place: Place): Promise<void> {
    await this.#backends.use(id, async (backend) => {
      try {
        await backend.removeLeaf(place)
      } catch (error) {
        if (asSottoError(error).code !== 'conflict') throw error
      }
    })
  }

  #reference(place: Place, { version, backend, dataKey, sealed }: OpenableVersion): Reference {
    const reference = this.#keyring.openReference(place, dataKey, sealed)
    if (reference.backend === backend) return reference
    const why = 'its record names another backend than its reference'
    const message = `Cannot read version ${version} of ${quote(place.name)}: ${why}`
    throw new SottoError('store_damaged', message, { hint: 'Restore the store from a backup.' })
  }
}

async function isTaken(backend: Backend, leaf: Leaf): Promise<boolean> {
  try {
    const found = await backend.readLeaf(leaf)
    found?.fill(0)
    return found !== undefined
  } catch (error) {
    if (asSottoError(error).code === 'backend_altered') return true
    throw error
  }
}

function altered({ place }: Backend, { name, version }: Leaf, reason: string): SottoError {
  return new SottoError(
    'backend_altered',
    `Cannot read version ${version} of ${quote(name)} at ${place}: ${reason}`,
    { hint: 'Look who else writes there. Put the value again, or restore it there from a backup.' },
  )
}
