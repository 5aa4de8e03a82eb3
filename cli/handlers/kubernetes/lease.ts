/**
 * One controller at a time: who has the Lease works, and others wait. How long a holder was silent is counted here, from
 * when its last sign was seen, and no clocks are compared.
 */
import type { Timers } from '../../../client/platform/timers.ts'
import { pause } from '../../../client/store/aborted.ts'
import { isStatus, type KubernetesApi } from './api.ts'
import type { Resource } from './reflector.ts'

/** After so long without a sign of its holder a Lease is free. */
const DURATION_MS = 15_000
/** A holder that could not renew it for so long stops: before it is free for others. */
const GIVE_UP_MS = 10_000
const RENEW_MS = 3_000
const NAME = 'sotto-kubernetes'

interface LeaseResource extends Resource {
  readonly spec?: { readonly holderIdentity?: string; readonly leaseTransitions?: number }
}

/** What a lease is held with. */
export interface LeaseParts {
  readonly api: Pick<KubernetesApi, 'get' | 'create' | 'replace'>
  /** Where the Lease is. */
  readonly namespace: string
  /** Another one for each process. */
  readonly identity: string
  readonly clock: () => Date
  readonly timers: Timers
}

/** The Lease of one process. */
export class Lease {
  readonly #parts: LeaseParts
  readonly #path: string
  readonly #lost = new AbortController()
  readonly #ended = new AbortController()
  #live: LeaseResource | undefined
  #renewing: Promise<void> | undefined

  constructor(parts: LeaseParts) {
    this.#parts = parts
    this.#path = `/apis/coordination.k8s.io/v1/namespaces/${parts.namespace}/leases`
  }

  /** Aborted when it can no longer be relied on. */
  get lost(): AbortSignal {
    return this.#lost.signal
  }

  /** Resolves when it is held, and rejects when `signal` is aborted. What fails is tried again. */
  async acquire(signal: AbortSignal, failed: (error: unknown) => void): Promise<void> {
    const { timers } = this.#parts
    let seen: string | undefined
    let seenAt = timers.now()
    for (;;) {
      signal.throwIfAborted()
      try {
        const live = await this.#read()
        const version = live?.metadata.resourceVersion
        if (version !== seen) {
          seen = version
          seenAt = timers.now()
        }
        const isFree = !live?.spec?.holderIdentity || timers.now() - seenAt >= DURATION_MS
        if (isFree) {
          await this.#write(live, this.#parts.identity)
          this.#renewing = this.#renew()
          return
        }
      } catch (error) {
        // Someone else was faster: not a failure.
        if (!isStatus(error, 409)) failed(error)
      }
      await pause(timers, RENEW_MS, signal)
    }
  }

  /** Gives it back, so that another one need not wait. */
  async release(): Promise<void> {
    this.#ended.abort()
    await this.#renewing
    if (this.#lost.signal.aborted || !this.#live) return
    await this.#write(this.#live, '').catch(() => {})
  }

  async #renew(): Promise<void> {
    const { timers } = this.#parts
    let renewedAt = timers.now()
    const { signal } = this.#ended
    for (;;) {
      await pause(timers, RENEW_MS, signal).catch(() => {})
      if (signal.aborted) return
      // After a sleep of the machine, one call may still find that nobody else has it.
      const rest = Math.max(RENEW_MS, GIVE_UP_MS - (timers.now() - renewedAt))
      const stop = timers.after(rest, () => this.#lost.abort())
      try {
        const began = timers.now()
        await this.#write(this.#live, this.#parts.identity)
        renewedAt = began
      } catch (error) {
        if (isStatus(error, 409) || isStatus(error, 404)) this.#lost.abort()
      }
      if (timers.now() - renewedAt >= GIVE_UP_MS) this.#lost.abort()
      stop()
      if (this.#lost.signal.aborted) return
    }
  }

  async #read(): Promise<LeaseResource | undefined> {
    try {
      return await this.#parts.api.get<LeaseResource>(`${this.#path}/${NAME}`)
    } catch (error) {
      if (isStatus(error, 404)) return undefined
      throw error
    }
  }

  /** Over `live` alone: the API server refuses it over another one. */
  async #write(live: LeaseResource | undefined, holder: string): Promise<void> {
    const now = this.#parts.clock().toISOString().replace('Z', '000Z')
    const changes = live?.spec?.holderIdentity === holder ? 0 : 1
    const body = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: {
        name: NAME,
        ...(live && { resourceVersion: live.metadata.resourceVersion }),
      },
      spec: {
        ...(holder !== '' && { holderIdentity: holder }),
        leaseDurationSeconds: DURATION_MS / 1000,
        renewTime: now,
        leaseTransitions: (live?.spec?.leaseTransitions ?? 0) + changes,
      },
    }
    const { api } = this.#parts
    this.#live = live
      ? await api.replace(`${this.#path}/${NAME}`, body)
      : await api.create(this.#path, body)
  }
}
