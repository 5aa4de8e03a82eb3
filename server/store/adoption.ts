/**
 * Whether a server may change what is outside its store: not where the store was restored or copied, until
 * an operator adopts it. Everything that writes or deletes outside asks here.
 */
import { SottoError } from '../../client/api/errors.ts'
import { isSameHost } from '../platform/host.ts'
import type { AuditMark, Store } from './contract.ts'

/** The start of a server: no two of one store share the record, also where a copy gave the number again. */
export interface Start {
  readonly number: number
  /** The id and the hash of its audit record. */
  readonly record: string
}

/** Whether one running server is the one of its store that may act. */
export class Adoption {
  readonly #store: Store
  readonly #host: string
  #reason: string | undefined
  #start: Start | undefined

  /** `host` is where the server runs, as `hostOf` names it. */
  constructor(store: Store, host: string) {
    this.#store = store
    this.#host = host
    this.#reason = reasonIn(store, host)
  }

  /** Whether the server may change what is outside. */
  readonly adopted = (): boolean => this.#reason === undefined

  /** Why not, half a sentence; undefined where it may. */
  get reason(): string | undefined {
    return this.#reason
  }

  /** Throws `not_adopted` unless the server may change what is outside. `act` follows "Cannot". */
  demand(act: string): void {
    if (this.#reason !== undefined) throw notAdopted(act, this.#reason)
  }

  /** The start of this server. Throws `backend_unavailable` before it is noted. */
  get start(): Start {
    if (this.#start) return this.#start
    throw new SottoError(
      'backend_unavailable',
      'Cannot write outside the store: the server is starting',
    )
  }

  /** Notes in the store the start that `intent` records. A copy keeps naming where the store belongs. */
  async started(intent: AuditMark): Promise<void> {
    const { host } = this.#store.identity
    const home = this.adopted() || host === '' ? this.#host : host
    const number = await this.#store.started({ intent }, home)
    this.#start = { number, record: `${intent.id} ${intent.hash}` }
  }

  /** From now on this server is the one that may act; `intent` records that an operator said so. */
  async adopt(intent: AuditMark): Promise<void> {
    await this.#store.adopt({ intent }, this.#host)
    this.#reason = undefined
  }
}

/** The error that a server may not do `act`, which follows "Cannot", for `reason`. */
export function notAdopted(act: string, reason: string): SottoError {
  return new SottoError('not_adopted', `Cannot ${act}: ${reason}`, {
    hint: 'If no other server of this store runs: `sotto branch` shows what it would take over, `sotto branch adopt` does it.',
  })
}

function reasonIn({ identity }: Store, host: string): string | undefined {
  const { adopted, host: home } = identity
  if (!adopted) return 'the store came back from a backup, and no operator has adopted it'
  if (home === '' || isSameHost(home, host)) return undefined
  return 'the store is a copy or was moved: it ran in another directory or on another machine last'
}
