/** Which version of a secret is active, for the many who wait to hear of the same change. */
import type { SecretCache } from '../catalog/cache.ts'

/** Looks up active versions. Who asks has the right to know. */
export class ActiveVersions {
  readonly #cache: Pick<SecretCache, 'row'>
  /** Look-ups under way. One that a change overtook is not joined any more. */
  readonly #reading = new Map<string, Promise<number>>()

  constructor(cache: Pick<SecretCache, 'row'>) {
    this.#cache = cache
  }

  /** The active version of `name`; 0 where there is none. Rejects as `SecretCache.row`. */
  of(name: string): Promise<number> {
    const known = this.#reading.get(name)
    if (known) return known
    const reading = this.#read(name).finally(() => {
      if (this.#reading.get(name) === reading) this.#reading.delete(name)
    })
    this.#reading.set(name, reading)
    return reading
  }

  /** Notes that `name` was changed: called before anybody is told. */
  changed(name: string): void {
    this.#reading.delete(name)
  }

  async #read(name: string): Promise<number> {
    return (await this.#cache.row(name))?.active ?? 0
  }
}
