/**
 * Where values are kept: sealed in the store, or in a backend. Of those the store has a sealed reference,
 * which holds a fingerprint: what comes back from a backend is what was written there, or is refused.
 */
import { timingSafeEqual } from 'node:crypto'
import { asSottoError, quote, SottoError } from '../../client/api/errors.ts'
import type { Backend, Leaf } from './contract.ts'
import type { Place } from '../crypto/binding.ts'
import type { Keyring, Sealed } from '../crypto/keyring.ts'
import type { Reference } from '../crypto/reference.ts'
import type { SecretState } from '../store/contract.ts'
import type { OpenableVersion } from '../catalog/cache.ts'
import type { OpenBackends } from './opened.ts'

/** What homes are made of. */
export interface ValuesParts {
  readonly keyring: Keyring
  readonly backends: OpenBackends
}

/** The homes of the values of one store. */
export class Values {
  readonly #keyring: Keyring
  readonly #backends: OpenBackends

  constructor({ keyring, backends }: ValuesParts) {
    this.#keyring = keyring
    this.#backends = backends
  }

  /**
   * The value of `version`, which the caller zeroes. Rejects with `store_damaged`, and, where it is kept
   * in a backend, with what that rejects with, and with `backend_altered` when it is not there any more or
   * not the one that was written.
   */
  async open(secret: SecretState, version: OpenableVersion): Promise<Buffer> {
    const place = placeOf(secret, version.version)
    if (version.backend === undefined) {
      return this.#keyring.openSealed(place, version.dataKey, version.sealed)
    }
    const reference = this.#reference(place, version)
    return this.#backends.use(reference.backend, (backend) => this.#read(backend, place, reference))
  }

  /** Whether `value` is what `version` holds; no backend is asked. Throws `store_damaged`. */
  same(secret: SecretState, version: OpenableVersion, value: Uint8Array): boolean {
    const place = placeOf(secret, version.version)
    if (version.backend !== undefined) {
      const { fingerprint } = this.#reference(place, version)
      return timingSafeEqual(fingerprint, this.#keyring.fingerprintOf(place, value))
    }
    const stored = this.#keyring.openSealed(place, version.dataKey, version.sealed)
    const same = stored.length === value.length && timingSafeEqual(stored, value)
    stored.fill(0)
    return same
  }

  /** What the store keeps of `value` when the backend `id` has it. */
  refer(id: number, place: Place, value: Uint8Array): Sealed {
    const fingerprint = this.#keyring.fingerprintOf(place, value)
    return this.#keyring.sealReference(place, { backend: id, fingerprint })
  }

  /**
   * The number of `place` if the backend `id` has nothing there, else the first one behind all that stands
   * there: a copy of the store from before a restore may have got further. Rejects when the backend cannot
   * be used.
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

  /** Removes a value from the backend `id`. What stands there but is not ours stays, and is no failure. */
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
    throw new SottoError(
      'store_damaged',
      `Cannot read version ${version} of ${quote(place.name)}: its record names another backend than its reference`,
      { hint: 'Restore the store from a backup.' },
    )
  }

  async #read(backend: Backend, place: Place, { fingerprint }: Reference): Promise<Buffer> {
    const value = await backend.readLeaf(place)
    if (!value) throw altered(backend, place, 'it is not there any more')
    if (timingSafeEqual(fingerprint, this.#keyring.fingerprintOf(place, value))) return value
    value.fill(0)
    throw altered(backend, place, 'it is not the value that was written')
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

function placeOf({ name, incarnation }: SecretState, version: number): Place {
  return { name, incarnation, version }
}

function altered({ place }: Backend, { name, version }: Leaf, reason: string): SottoError {
  return new SottoError(
    'backend_altered',
    `Cannot read version ${version} of ${quote(name)} at ${place}: ${reason}`,
    { hint: 'Look who else writes there. Put the value anew, or restore it there from a backup.' },
  )
}
