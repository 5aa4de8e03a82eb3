/** How a store is opened, what it tells of itself, and how it is. */
import type { SottoError } from '../api/errors.ts'
import type { Timers } from '../platform/timers.ts'
import type { Cache } from './cache.ts'
import type { Source } from './source.ts'

/** How a store is opened. */
export interface StoreOptions {
  /** The server's URL, as `Client` takes it, or where else values come from. */
  readonly server: string | URL | Source
  /** The names of the secrets that the program needs. */
  readonly secrets?: readonly string[]
  /** Whether `lookup` may get secrets that were not declared. False when absent. */
  readonly lookup?: boolean
  /** Where values are kept between runs. Nowhere when absent. */
  readonly cache?: Cache
  /**
   * Whether the server is asked to tell of changes as they happen, beside the polls. True when absent. A server that has
   * no such thing, as a setec server, and a store of more than 1,000 secrets is polled alone.
   */
  readonly watch?: boolean
  /**
   * What the server is to call this program beside its node: 1 to 64 printable characters of ASCII, no blanks. It is for
   * a `server` that is a URL. At random when absent: two stores with one label count as one holder.
   */
  readonly label?: string
  /** Milliseconds from one question for newer versions to the next, give or take a tenth. An hour when absent; 0: never. */
  readonly pollMs?: number
  /** Milliseconds after which a secret that the cache has, and that nobody declared or used, is forgotten. Never when absent. */
  readonly expireMs?: number
  /** How old the server's last word on a cached secret may be, in milliseconds; an older one is not used. Any when absent. */
  readonly maxStaleMs?: number
  /** Gives up the opening. */
  readonly signal?: AbortSignal
  /** Hears what happens. What it throws is the program's own. */
  readonly report?: (event: StoreEvent) => void
  readonly clock?: () => Date
  readonly timers?: Timers
  /** From 0 to below 1. */
  readonly random?: () => number
}

/** What a store tells of itself. No event has a value. */
export type StoreEvent =
  /** Another version is held. */
  | { readonly kind: 'changed'; readonly name: string; readonly version: number }
  /** The server refuses a secret, or has it no more; the store keeps what it holds of a declared one. */
  | { readonly kind: 'denied' | 'missing'; readonly name: string; readonly error: SottoError }
  /** The server gives a secret again that it refused or did not have. */
  | { readonly kind: 'allowed'; readonly name: string }
  /** A secret that the cache had, and that nobody used, is forgotten. */
  | { readonly kind: 'expired'; readonly name: string }
  /** The server was asked in vain; the store asks again. */
  | { readonly kind: 'failed'; readonly error: SottoError }
  /** Values are of another branch of the server's store, as after a restore: they are taken whatever their numbers. */
  | { readonly kind: 'branch'; readonly before: string; readonly branch: string }
  /** The server answers again. */
  | { readonly kind: 'recovered' }
  /** Something that concerns the cache, in words. */
  | { readonly kind: 'cache'; readonly message: string; readonly error?: SottoError }

/** Hears events. */
export type Report = (event: StoreEvent) => void

/** How a store is. */
export interface Health {
  /**
   * `live`: the server tells of each change. `polling`: it does not, and answered when it was last asked. `stale`: it did
   * not answer, and values may be old.
   */
  readonly state: 'live' | 'polling' | 'stale'
  /** When that began. */
  readonly since: Date
  /** When the server last answered or told for all secrets; undefined where it never did. */
  readonly confirmed: Date | undefined
  /** What went wrong when the server was last asked, or asked to tell. */
  readonly error: SottoError | undefined
  /** The secrets that the server refuses. */
  readonly denied: readonly string[]
  /** The secrets that the server has no more. */
  readonly missing: readonly string[]
  /** How often the server was asked for all secrets, and how often in vain. */
  readonly polls: number
  readonly failedPolls: number
}
