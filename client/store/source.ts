/** Where a store gets values from: a server, through a `Client`, or a file. */
import type { CallOptions, Got, Held, Wanted, WatchOnceOptions, WatchOptions } from '../client.ts'
import type { Change, WatchEvent } from '../watch.ts'
import type { SecretInfo, SecretValue } from '../api/types.ts'

/** What a store asks for values. `Client` is one. Each method throws SottoError, as those of `Client` do. */
export interface Source {
  /** Names it in messages, and binds sealed caches to it. */
  readonly server: string
  /** Whether it never has more than now: waiting for what is missing is then of no use. False when absent. */
  readonly fixed?: boolean
  /** The active version of `name`. */
  get(name: string, options?: CallOptions): Promise<SecretValue>
  /** The active version of `name` if it is another than `held`; undefined while it is that one. */
  getIfChanged(name: string, held: number, options?: CallOptions): Promise<SecretValue | undefined>

  /** For versioned secrets, as are the two that follow: what `Client` has by these names. A store works without them. */
  info?(name: string, options?: CallOptions): Promise<SecretInfo>
  getVersion?(name: string, version: number, options?: CallOptions): Promise<SecretValue>
  createVersion?(
    name: string,
    version: number,
    value: Uint8Array,
    options?: CallOptions,
  ): Promise<void>
  /** Several at once, as `Client.getMany`. Without it, each is asked for alone. */
  getMany?(wanted: readonly Wanted[], options?: CallOptions): Promise<Got[]>
  /** Tells what changes, as `Client.watch`. Without it, the source is polled. */
  watch?(held: Held, options?: WatchOptions): AsyncIterable<WatchEvent>
  /** What changed, as `Client.watchOnce`: for where streams are held back on their way. */
  watchOnce?(held: Held, options?: WatchOnceOptions): Promise<Change[]>
}

/** A source that tells what changes. */
export type WatchedSource = Source & Required<Pick<Source, 'watch'>>

/** Whether a source tells what changes. */
export function isWatched(source: Source): source is WatchedSource {
  return 'watch' in source
}
