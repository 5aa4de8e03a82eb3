/** Where `sotto run` gets values from: the server, as the store asks it. */
import { asSottoError, quote, SottoError } from '../../../client/api/errors.ts'
import type { SecretValue } from '../../../client/api/types.ts'
import type { CallOptions, Client, Held, WatchOptions } from '../../../client/client.ts'
import type { WatchEvent } from '../../../client/watch.ts'
import type { Source } from '../../../client/store/source.ts'
import type { Reference } from '../../mapping/reference.ts'

/** What stands for a secret that is not there and may be absent. */
const absent: SecretValue = { Value: new Uint8Array(0), Version: 0 }

/** What the store calls a secret: its name, and a given version after a character that no name has. */
export function keyOf({ secret, version }: Pick<Reference, 'secret' | 'version'>): string {
  return version === 0 ? secret : `${secret}\n${version}`
}

/** The secret that `key` stands for. */
export function referenceOf(key: string): Pick<Reference, 'secret' | 'version'> {
  const [secret = '', version = '0'] = key.split('\n')
  return { secret, version: Number(version) }
}

/** A source of a store, by the keys of `keyOf`. */
export class RunSource implements Source {
  readonly server: string
  readonly fixed: boolean
  readonly #client: Client
  readonly #optional: ReadonlySet<string>
  /** The versions that the program has, by key, where those are other ones. */
  #kept: ReadonlyMap<string, number> = new Map()
  /** Of which the server saw that. */
  #seen = new Set<string>()
  /** What the server told last of each key, and how far it was, while it tells of all changes; undefined while it does not. */
  #told:
    | { readonly versions: ReadonlyMap<string, number>; readonly at: string | undefined }
    | undefined
  /** Whether given versions, which never change, are asked for too: for whether that is still allowed. */
  #asksAll = true

  /** `optional` are keys of secrets that may be absent. `offline`: the server is not asked. */
  constructor(client: Client, optional: ReadonlySet<string>, offline = false) {
    this.server = client.server
    this.fixed = offline
    this.#client = client
    this.#optional = optional
  }

  /** The start is over: what never changes is not asked for again. */
  settle(): void {
    this.#asksAll = false
  }

  /** The server is to see that the program has these versions, and not those that it was last given. */
  keep(versions: ReadonlyMap<string, number>): void {
    this.#kept = versions
    this.#seen = new Set()
  }

  async get(key: string, options?: CallOptions): Promise<SecretValue> {
    const { secret, version } = referenceOf(key)
    if (this.fixed) {
      if (this.#optional.has(key)) return absent
      const message = `Cannot get ${quote(secret)}: the cache does not have it`
      throw new SottoError('not_found', message, { hint: 'Run once without --offline.' })
    }
    try {
      return await this.#client.getVersion(secret, version, options)
    } catch (error) {
      if (asSottoError(error).code === 'not_found' && this.#optional.has(key)) return absent
      throw error
    }
  }

  async getIfChanged(
    key: string,
    held: number,
    options?: CallOptions,
  ): Promise<SecretValue | undefined> {
    const { secret, version } = referenceOf(key)
    if (version !== 0 && !this.#asksAll) return undefined
    if (version !== 0 || held === 0) {
      const value = await this.get(key, options)
      return value.Version === held ? undefined : value
    }
    const kept = this.#kept.get(key)
    // Each time that it is asked with another version, it would have to be shown again, and record it.
    if (kept !== undefined && this.#seen.has(key) && this.#told?.versions.get(key) === held) {
      if (this.#told.at !== undefined) options?.revision?.(this.#told.at)
      return undefined
    }
    const answer = await this.#client.getIfChanged(secret, held, options)
    if (answer || kept === undefined || kept === held || kept === 0) return answer
    // What was last asked for is what a program is taken to have. It is no longer there where that fails.
    const seen = this.#seen
    await this.#client.getVersion(secret, kept, options).catch(() => {})
    seen.add(key)
    return undefined
  }

  /** Tells of active versions: given ones never change. */
  async *watch(held: Held, options?: WatchOptions): AsyncGenerator<WatchEvent, void, undefined> {
    const active = [...held].filter(([key]) => referenceOf(key).version === 0)
    const asked = new Map(active.map(([key, version]) => [key, this.#kept.get(key) ?? version]))
    const versions = new Map(asked)
    try {
      for await (const event of this.#client.watch(asked, options)) {
        if (event.event === 'change') versions.set(event.change.Name, event.change.Version ?? 0)
        else if (event.event === 'synced') this.#told = { versions, at: event.at }
        yield event
      }
    } finally {
      this.#told = undefined
    }
  }
}
