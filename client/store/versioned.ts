/** Given versions of a secret in a store, for a program that says itself which version it means. */
import { quote, SottoError } from '../api/errors.ts'
import type { SecretValue } from '../api/types.ts'
import type { CallOptions } from '../client.ts'
import { abortable } from './aborted.ts'
import { isRefusal } from './renewer.ts'
import type { Source } from './source.ts'

/** Given versions of one secret. `Store.versionedSecret` gives one. */
export interface VersionedSecret {
  readonly name: string
  /**
   * A copy of the value of a version. One that the store does not hold is asked for, once, and held until a poll finds
   * it deleted. Rejects with `usage` for version 0, and as `Client.getVersion`. Permission: `get`; and `info`, without
   * which no poll leaves anything held.
   */
  get(version: number, options?: CallOptions): Promise<Uint8Array>
  /**
   * Adds a version, which is the active one then: the store holds it as both. Rejects as `Client.createVersion`.
   * Permission: `create-version`.
   */
  create(version: number, value: Uint8Array, options?: CallOptions): Promise<void>
}

/** A source that has versions. */
export type VersionedSource = Source &
  Required<Pick<Source, 'info' | 'getVersion' | 'createVersion'>>

/** Whether a source has versions. */
export function hasVersions(source: Source): source is VersionedSource {
  return 'info' in source && 'getVersion' in source && 'createVersion' in source
}

/** The versions that a store holds, of all secrets. */
export class Versions {
  readonly #source: VersionedSource
  /** Ends what is under way. */
  readonly #closed: AbortSignal
  readonly #held = new Map<string, Map<number, Uint8Array>>()
  readonly #pending = new Map<string, Promise<Uint8Array>>()

  constructor(source: VersionedSource, closed: AbortSignal) {
    this.#source = source
    this.#closed = closed
  }

  /** The names of which versions are held. */
  get names(): string[] {
    return [...this.#held.keys()]
  }

  /** The versions of `name`. `creating` is called before one is added, and what it gives after that. */
  of(name: string, creating: () => (value: SecretValue) => Promise<void>): VersionedSecret {
    return {
      name,
      get: async (version, { signal } = {}) => {
        const held = this.#held.get(name)?.get(version)
        return Uint8Array.from(held ?? (await abortable(this.#get(name, version), signal)))
      },
      create: async (version, value, { signal } = {}) => {
        const signals = [this.#closed, ...(signal ? [signal] : [])]
        const Value = Uint8Array.from(value)
        const options = { signal: AbortSignal.any(signals) }
        const created = creating()
        await this.#source.createVersion(name, version, Value, options)
        this.#hold(name, version, Value)
        await created({ Value, Version: version })
      },
    }
  }

  /** Forgets the versions of `name` that the server does not list any more, or all where it does not list them. */
  async forgetDeleted(name: string): Promise<void> {
    const held = this.#held.get(name)
    if (!held) return
    const listed = await this.#listed(name)
    for (const version of held.keys()) if (!listed.includes(version)) held.delete(version)
    if (held.size === 0) this.#held.delete(name)
  }

  async #listed(name: string): Promise<readonly number[]> {
    try {
      return (await this.#source.info(name, { signal: this.#closed })).Versions
    } catch (error) {
      if (error instanceof SottoError && isRefusal(error)) return []
      throw error
    }
  }

  /** Callers at the same time share a question. */
  #get(name: string, version: number): Promise<Uint8Array> {
    const key = `${version} ${name}`
    const pending =
      this.#pending.get(key) ?? this.#ask(name, version).finally(() => this.#pending.delete(key))
    this.#pending.set(key, pending)
    return pending
  }

  async #ask(name: string, version: number): Promise<Uint8Array> {
    if (version === 0) {
      throw new SottoError('usage', `Cannot get version 0 of ${quote(name)}: it has no such one`, {
        hint: 'Use `lookup`, whose handle has the active version.',
      })
    }
    const { Value } = await this.#source.getVersion(name, version, { signal: this.#closed })
    this.#hold(name, version, Value)
    return Value
  }

  #hold(name: string, version: number, value: Uint8Array): void {
    const held = this.#held.get(name) ?? new Map<number, Uint8Array>()
    held.set(version, value)
    this.#held.set(name, held)
  }
}
