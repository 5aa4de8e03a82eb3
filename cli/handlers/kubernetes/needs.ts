/** Which definitions need which secrets of Sotto: each is held as long as one needs it. */
import { asSottoError } from '../../../client/api/errors.ts'
import type { Client } from '../../../client/client.ts'
import type { Entry } from './definition.ts'
import type { Known, Values } from './values.ts'

/** A secret, or one version of it. */
type Need = Pick<Entry, 'name' | 'version'>

/** The needs of all definitions. */
export class Needs {
  readonly #values: Values
  readonly #client: Client
  /** The definitions that need each, by `keyOf`. */
  readonly #users = new Map<string, Set<string>>()
  readonly #needsOf = new Map<string, ReadonlyMap<string, Need>>()
  /** Versions that were fetched: those never change. */
  readonly #fixed = new Map<string, Known>()

  constructor(values: Values, client: Client) {
    this.#values = values
    this.#client = client
  }

  /** From now on `definition` needs `entries` and nothing else. */
  set(definition: string, entries: readonly Need[]): void {
    const before = this.#needsOf.get(definition) ?? new Map<string, Need>()
    const after = new Map(entries.map((each) => [keyOf(each), each]))
    for (const [key, need] of after) {
      if (!before.has(key)) this.#add(definition, key, need)
    }
    for (const [key, need] of before) {
      if (!after.has(key)) this.#remove(definition, key, need)
    }
    if (after.size === 0) this.#needsOf.delete(definition)
    else this.#needsOf.set(definition, after)
  }

  /** The definitions that need the active version of a secret. */
  usersOf(name: string): readonly string[] {
    return [...(this.#users.get(keyOf({ name, version: undefined })) ?? [])]
  }

  /** What is known of what an entry needs. Fetches a version that was not. */
  async find(need: Need): Promise<Known> {
    const { name, version } = need
    if (version === undefined) return this.#values.find(name)
    const key = keyOf(need)
    const fixed = this.#fixed.get(key)
    if (fixed) return fixed
    try {
      const { Value: bytes } = await this.#client.getVersion(name, version)
      const known: Known = { state: 'value', version, bytes }
      if (this.#users.has(key)) this.#fixed.set(key, known)
      return known
    } catch (error) {
      const { code } = asSottoError(error)
      return { state: code === 'denied' ? 'denied' : code === 'not_found' ? 'missing' : 'unknown' }
    }
  }

  #add(definition: string, key: string, { name, version }: Need): void {
    const users = this.#users.get(key) ?? new Set()
    this.#users.set(key, users.add(definition))
    if (version === undefined) this.#values.hold(name)
  }

  #remove(definition: string, key: string, { name, version }: Need): void {
    const users = this.#users.get(key)
    users?.delete(definition)
    if (users && users.size > 0) return
    this.#users.delete(key)
    this.#fixed.delete(key)
    if (version === undefined) this.#values.drop(name)
  }
}

function keyOf({ name, version = 0 }: Need): string {
  return `${version} ${name}`
}
