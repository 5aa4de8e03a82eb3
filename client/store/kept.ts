/** The cache of a store: what of it is used, and when it is written. */
import { asSottoError, type SottoError } from '../api/errors.ts'
import type { Contents } from './contents.ts'
import type { Report, StoreOptions } from './options.ts'

/** How far another clock may be ahead, in milliseconds. */
const MINUTE = 60_000

/** What a cache is used with. */
export interface KeptParts
  extends Pick<StoreOptions, 'cache' | 'secrets' | 'lookup' | 'maxStaleMs'> {
  /** The server, as the cache is bound to it. */
  readonly server: string
  readonly contents: Contents
  readonly report: Report
  readonly clock: () => Date
}

/** Reads and writes the cache of a store, if that has one. */
export class Kept {
  readonly #parts: KeptParts
  #writing: Promise<void> = Promise.resolve()

  constructor(parts: KeptParts) {
    this.#parts = parts
  }

  /** Holds what the cache has of use. */
  async read(): Promise<void> {
    const { cache, secrets = [], lookup, maxStaleMs, server, contents, report } = this.#parts
    if (!cache) return
    if (cache.notice !== undefined) report({ kind: 'cache', message: cache.notice })
    const content = await cache.read(server).catch((error: unknown) => {
      this.#reportError(asSottoError(error))
      return { secrets: [], faults: [] }
    })
    for (const fault of content.faults) {
      report({ kind: 'cache', message: `A part of the cache was left out: ${fault}` })
    }
    const now = this.#parts.clock().getTime()
    const declared = new Set(secrets)
    for (const secret of content.secrets) {
      const age = now - (secret.checked ?? Number.NEGATIVE_INFINITY) * 1000
      // A date to come was written by another clock, and tells no age.
      const isStale = maxStaleMs !== undefined && (age > maxStaleMs || age < -MINUTE)
      if (isStale || !(declared.has(secret.name) || lookup)) continue
      contents.restore(secret, declared.has(secret.name))
    }
  }

  /** Writes the cache where something changed that it should have. */
  writeChanges(): void {
    if (this.#parts.contents.isChanged) this.write()
  }

  /** Writes the cache, after what is being written. */
  write(): void {
    const { cache, contents, server } = this.#parts
    contents.isChanged = false
    if (!cache) return
    this.#writing = this.#writing.then(() =>
      cache
        .write(server, contents.forCache())
        .catch((error: unknown) => this.#reportError(asSottoError(error))),
    )
  }

  /** Resolves when everything is written. */
  async close(): Promise<void> {
    if (this.#parts.contents.all().length > 0) this.write()
    await this.#writing
  }

  #reportError(error: SottoError): void {
    this.#parts.report({ kind: 'cache', message: error.message, error })
  }
}
