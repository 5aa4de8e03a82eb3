/**
 * Keeps what the API server has of one kind of resource in view: lists it by pages, then watches from there, and begins
 * again from whatever goes wrong. It never gives up.
 */
import { pause } from '../../../client/store/aborted.ts'
import { Backoff } from '../../../client/store/backoff.ts'
import type { Timers } from '../../../client/platform/timers.ts'
import { ApiFailure, isStatus, type KubernetesApi } from './api.ts'

/** Resources in one page of a list. */
const PAGE = 500
/** How long a watch may last, in seconds; up to twice that, so that not all end together. */
const WATCH_SECONDS = 300
/** Bookmarks come about once a minute. A watch that had one, and has nothing for so long, is dead. */
const SILENCE_MS = 150_000
/** A watch that ended before that was not well. */
const HEALTHY_MS = 5_000
const FIRST_PAUSE_MS = 800
const LONGEST_PAUSE_MS = 30_000

/** Who a resource is deleted with. */
export interface Owner {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  readonly uid: string
  readonly controller?: boolean
}

/** What every resource has. */
export interface Resource {
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly uid: string
    readonly resourceVersion?: string
    readonly generation?: number
    readonly deletionTimestamp?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
    readonly ownerReferences?: readonly Owner[]
  }
}

/** Hears what there is. */
export interface Seen<T> {
  /** Everything that there is now. */
  replace(all: readonly T[]): void
  /** One was added or changed. */
  set(one: T): void
  /** One was deleted; this is how it was last. */
  remove(one: T): void
}

/** What a reflector is made of. */
export interface ReflectorParts<T> {
  readonly api: Pick<KubernetesApi, 'get' | 'watch'>
  /** The path of the list. */
  readonly path: string
  readonly seen: Seen<T>
  /** It failed, and is tried again. */
  readonly failed: (failure: ApiFailure) => void
  /** Everything is in view, again or for the first time. */
  readonly listed?: () => void
  readonly timers: Timers
  /** From 0 to below 1. */
  readonly random: () => number
}

interface Page<T> {
  readonly items?: readonly T[]
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string }
}

interface WatchLine<T> {
  readonly type?: string
  readonly object?: T & { readonly code?: number; readonly reason?: string }
}

/** Reflects one kind. `run` ends with its signal. */
export class Reflector<T extends Resource> {
  readonly #parts: ReflectorParts<T>
  readonly #backoff: Backoff

  constructor(parts: ReflectorParts<T>) {
    this.#parts = parts
    this.#backoff = new Backoff(FIRST_PAUSE_MS, LONGEST_PAUSE_MS, parts.random)
  }

  /** Resolves when `signal` is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    let version: string | undefined
    while (!signal.aborted) {
      const began = this.#parts.timers.now()
      let failure: ApiFailure | undefined
      try {
        version ??= await this.#list()
        for await (const at of this.#changes(version, signal)) version = at
      } catch (error) {
        failure = error instanceof ApiFailure ? error : unexpected(error)
        // What was seen is no longer known to the server.
        if (failure.status === 410) version = undefined
      }
      if (signal.aborted) return
      if (failure && failure.status !== 410) this.#parts.failed(failure)
      const wasWell = this.#parts.timers.now() - began >= HEALTHY_MS
      if (wasWell) this.#backoff.reset()
      if (wasWell && !failure) continue
      const ms = this.#backoff.next(failure?.retryAfterMs)
      await pause(this.#parts.timers, ms, signal).catch(() => {})
    }
  }

  /** Everything, by pages. Resolves with the version that a watch begins after. */
  async #list(): Promise<string> {
    const { api, path, seen, listed } = this.#parts
    for (;;) {
      const items: T[] = []
      let token = ''
      try {
        for (;;) {
          const query = { limit: String(PAGE), ...(token !== '' && { continue: token }) }
          const page = await api.get<Page<T>>(path, query)
          items.push(...(page.items ?? []))
          token = page.metadata.continue ?? ''
          if (token !== '') continue
          seen.replace(items)
          listed?.()
          return page.metadata.resourceVersion
        }
      } catch (error) {
        // The rest of a list that is too old: it is begun again, from its first page.
        if (!isStatus(error, 410) || token === '') throw error
      }
    }
  }

  /** Tells of changes after `version`, and yields how far it is. */
  async *#changes(version: string, signal: AbortSignal): AsyncGenerator<string, void, undefined> {
    const { api, path, timers, random } = this.#parts
    const seconds = Math.round(WATCH_SECONDS * (1 + random()))
    const dead = new AbortController()
    let limit = seconds * 1500
    let stop: (() => void) | undefined
    const alive = (): void => {
      stop?.()
      stop = timers.after(limit, () => dead.abort())
    }
    const query = {
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: version,
      timeoutSeconds: String(seconds),
    }
    alive()
    try {
      const ends = AbortSignal.any([signal, dead.signal])
      for await (const line of api.watch(path, query, { signal: ends, alive })) {
        const { type, object } = line as WatchLine<T>
        if (type === 'BOOKMARK') {
          limit = SILENCE_MS
          alive()
        }
        if (type === 'ERROR') throw errorOf(path, object)
        if (object) yield this.#take(type, object)
      }
    } finally {
      stop?.()
    }
  }

  #take(type: string | undefined, object: T): string {
    const { seen } = this.#parts
    if (type === 'ADDED' || type === 'MODIFIED') seen.set(object)
    if (type === 'DELETED') seen.remove(object)
    return object.metadata.resourceVersion ?? ''
  }
}

function errorOf(path: string, object: WatchLine<Resource>['object']): ApiFailure {
  const { code = 0, reason = 'the server ended it' } = object ?? {}
  return new ApiFailure(`watch ${path}`, { status: code, reason })
}

function unexpected(error: unknown): ApiFailure {
  const reason = error instanceof Error ? error.message : 'unknown'
  return new ApiFailure('follow the cluster', { status: 0, reason })
}
