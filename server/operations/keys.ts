/** What operators ask of the keys of a store that is served, each through the gate. */
import { asSottoError, SottoError } from '../../client/api/errors.ts'
import type { OperationRequest, OperationResponse } from '../../client/api/operations.ts'
import type { KeyProvider } from '../crypto/provider.ts'
import type { Store } from '../store/contract.ts'
import type { Call, Gate } from '../gate/gate.ts'
import type { EntryUse, Rotation } from '../keys/rotation.ts'
import { type WrapInfo, Wraps } from '../keys/wraps.ts'

/** What the keys are served with. */
export interface KeysParts {
  readonly store: Store
  readonly gate: Gate
  readonly rotation: Rotation
  /** The keys that are here, in the order in which they are asked. */
  readonly providers: () => Promise<readonly KeyProvider[]>
  readonly clock: () => Date
  /** Called when a rotation has begun, to have it continued. */
  readonly begun: () => void
}

type KeyStatus = OperationResponse<'key-status'>
type ShownWrap = OperationResponse<'key-rewrap'>[number]

/** The keys, as callers with rules see them. */
export class Keys {
  readonly #parts: KeysParts

  constructor(parts: KeysParts) {
    this.#parts = parts
  }

  /** Every wrap of the root key, and every entry of the keyring. Needs `keys`. */
  async status(call: Call): Promise<KeyStatus> {
    const pass = await this.#parts.gate.operate(call, 'keys', 'key-status')
    const status = await this.#status()
    await pass.record('ok')
    return status
  }

  /**
   * Begins a rotation of the keyring, which continues by itself, or joins the one that is under way.
   * Resolves with the keys after that. Needs `keys`. Rejects as `openKeyring` when no key opens the store.
   */
  async rotate(call: Call): Promise<KeyStatus> {
    const { gate, rotation, begun } = this.#parts
    const pass = await gate.operate(call, 'keys', 'key-rotate')
    await pass.announce()
    await rotation.begin(pass)
    begun()
    return this.#status()
  }

  /**
   * Re-wraps the root key with the key that `Key` names, or else with each that is here. Needs `keys`.
   * Rejects as `Wraps.rewrap`.
   */
  async rewrap(call: Call, { Key }: OperationRequest<'key-rewrap'>): Promise<ShownWrap[]> {
    const { store, gate, providers, clock } = this.#parts
    const pass = await gate.operate(call, 'keys', 'key-rewrap')
    await pass.announce()
    const wraps = new Wraps({ store, providers: await providers(), acts: async () => pass, clock })
    try {
      return (await wraps.rewrap(Key)).map(shownWrap)
    } catch (error) {
      // What is a usage error for a command line is, for a caller, a key that does not exist.
      const { code, message } = asSottoError(error)
      throw code === 'usage' ? new SottoError('not_found', message) : error
    }
  }

  async #status(): Promise<KeyStatus> {
    const { store, rotation } = this.#parts
    const { wraps } = await store.keys()
    return shownKeys(wraps, await rotation.entries(), rotation.failure?.message)
  }
}

/** The keys of a store, as the API shows them. */
export function shownKeys(
  wraps: readonly WrapInfo[],
  entries: readonly EntryUse[],
  failure?: string,
): KeyStatus {
  return {
    Wraps: wraps.map(shownWrap),
    Entries: entries.map(({ id, fingerprint, createdAt, state, versions }) => ({
      Id: id,
      ...(fingerprint !== undefined && { Fingerprint: fingerprint }),
      Created: createdAt,
      State: state,
      Versions: versions,
    })),
    ...(failure !== undefined && { Failure: failure }),
  }
}

/** A wrap, as the API shows it. */
export function shownWrap({ provider, fingerprint, createdAt, provenAt }: WrapInfo): ShownWrap {
  return {
    Provider: provider,
    Fingerprint: fingerprint,
    Created: createdAt,
    ...(provenAt !== undefined && { Proven: provenAt }),
  }
}
