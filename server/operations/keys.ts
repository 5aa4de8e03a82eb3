/** What operators ask of the keys of a store that is served, each through the gate. */
import { asSottoError, errorTable, SottoError } from '../../client/api/errors.ts'
import type { OperationRequest, OperationResponse } from '../../client/api/operations.ts'
import type { KeyProvider } from '../crypto/provider.ts'
import { recipientProvider } from '../crypto/recovery.ts'
import type { Store } from '../store/contract.ts'
import type { Call, Gate } from '../gate/gate.ts'
import type { KeyActs } from '../gate/key-acts.ts'
import type { EntryUse, RootInfo, Rotation } from '../keys/rotation.ts'
import { type NewKey, type WrapInfo, type WrapProof, Wraps } from '../keys/wraps.ts'

/** What the keys are served with. */
export interface KeysParts {
  readonly store: Store
  readonly gate: Gate
  readonly rotation: Rotation
  /** The keys that are here, in the order in which they are asked. */
  readonly providers: () => Promise<readonly KeyProvider[]>
  readonly clock: () => Date
  /** The key of a provider that settings name. Rejects with `usage`. */
  readonly newKey: (provider: string, settings: NamedSettings) => Promise<NewKey>
  /** Called when a rotation has begun, to have it continued. */
  readonly begun: () => void
}

/** Settings by their flags. */
export type NamedSettings = ReadonlyMap<string, string>

type KeyStatus = OperationResponse<'key-status'>
type ShownWrap = OperationResponse<'key-rewrap'>[number]
type ShownProof = OperationResponse<'key-check'>[number]

/** The keys, as callers with rules see them. */
export class Keys {
  readonly #parts: KeysParts
  /** Resolves when the last change is made. */
  #last: Promise<void> = Promise.resolve()

  constructor(parts: KeysParts) {
    this.#parts = parts
  }

  /** Every wrap of the root key, and every entry of the keyring. Needs `keys`. */
  async status(call: Call): Promise<KeyStatus> {
    const pass = await this.#parts.gate.operate(call, 'keys', 'key-status')
    const status = await this.#status(call)
    await pass.record('ok')
    return status
  }

  /**
   * Begins a rotation of the keyring, with `Root` of the root key too, which continues by itself, or joins the
   * one that is under way. Resolves with the keys after that. Needs `keys`. Rejects as `openKeyring` when no
   * key opens the store, and as `Rotation.beginRoot`.
   */
  async rotate(
    call: Call,
    { Root, Recipients }: OperationRequest<'key-rotate'>,
  ): Promise<KeyStatus> {
    const { gate, rotation, begun } = this.#parts
    const pass = await gate.operate(call, 'keys', 'key-rotate')
    await pass.announce()
    const recipients = await recipientsOf(Recipients ?? [])
    await this.#telling(call, () =>
      Root ? rotation.beginRoot(pass, recipients) : rotation.begin(pass),
    )
    begun()
    return this.#status(call)
  }

  /**
   * Re-wraps the root key with the key that `Key` names, or else with each that is here. Needs `keys`.
   * Rejects as `Wraps.rewrap`.
   */
  async rewrap(call: Call, { Key }: OperationRequest<'key-rewrap'>): Promise<ShownWrap[]> {
    const pass = await this.#parts.gate.operate(call, 'keys', 'key-rewrap', { Key })
    await pass.announce()
    return this.#change(call, pass, async (wraps) => (await wraps.rewrap(Key)).map(shownWrap))
  }

  /** Opens the store with each key that is here, and notes that it was proven. Needs `keys`. */
  async check(call: Call): Promise<OperationResponse<'key-check'>> {
    const { gate } = this.#parts
    const pass = await gate.operate(call, 'keys', 'key-check')
    await pass.announce()
    const proofs = await (await this.#wraps(pass)).check()
    // Why not may say where a key is kept.
    const isTold = gate.seesEach(call, 'info', '*')
    return proofs.map((proof) =>
      shownProof(isTold ? proof : { wrap: proof.wrap, state: proof.state }),
    )
  }

  /**
   * Lets another key open the store: the root key is unwrapped for that moment. Where that key is, and who is asked
   * for it, the caller says, so it needs `keys`, and an operator of the host. Rejects as `Wraps.add`.
   */
  async add(
    call: Call,
    { Provider, Settings }: OperationRequest<'key-add'>,
  ): Promise<OperationResponse<'key-add'>> {
    const pass = await this.#parts.gate.operateOnHost(call, 'keys', 'key-add')
    await pass.announce()
    const given = new Map(Settings.map(({ Name, Value }) => [Name, Value]))
    return this.#change(call, pass, async (wraps) => {
      const { target, prover, make } = await this.#newKey(Provider, given)
      // No file is made for a store that no key here opens.
      if (make) await wraps.demandOpen()
      await make?.()
      const added = await wraps.add(target, prover)
      return {
        ...shownWrap(added),
        RootFingerprint: added.rootFingerprint,
        Made: make !== undefined,
      }
    })
  }

  /** Removes a key from the store. Needs `keys`, and an operator of the host. Rejects as `Wraps.remove`. */
  async remove(
    call: Call,
    { Key, RecoveryAlone = false }: OperationRequest<'key-remove'>,
  ): Promise<ShownWrap> {
    const pass = await this.#parts.gate.operateOnHost(call, 'keys', 'key-remove')
    await pass.announce()
    return this.#change(call, pass, async (wraps) =>
      shownWrap(await wraps.remove(Key, { recoveryAlone: RecoveryAlone })),
    )
  }

  async #wraps(acts: KeyActs): Promise<Wraps> {
    const { store, providers, clock } = this.#parts
    return new Wraps({ store, providers: await providers(), acts: async () => acts, clock })
  }

  /** What a caller gave that does not fit is for them to change; `not_found` would say that there is no such key. */
  async #newKey(provider: string, given: NamedSettings): Promise<NewKey> {
    try {
      return await this.#parts.newKey(provider, given)
    } catch (error) {
      const { code, message, hint } = asSottoError(error)
      throw code === 'usage' ? new SottoError('bad_request', message, { hint }) : error
    }
  }

  /**
   * Changes run one after another: each looks at the wraps that there are before it asks for keys, and that must still
   * be so when it is made. Rejects with what a caller can be told.
   */
  async #change<T>(call: Call, acts: KeyActs, change: (wraps: Wraps) => Promise<T>): Promise<T> {
    const before = this.#last
    const done = Promise.withResolvers<void>()
    this.#last = done.promise
    try {
      await before
      return await this.#telling(call, async () => change(await this.#wraps(acts)))
    } catch (error) {
      throw answerable(error)
    } finally {
      done.resolve()
    }
  }

  /** Rejects with what the caller may know of why `act` failed: that may be where a key is kept. */
  async #telling<T>(call: Call, act: () => Promise<T>): Promise<T> {
    try {
      return await act()
    } catch (error) {
      const { gate } = this.#parts
      const known = asSottoError(error)
      const { open } = errorTable[known.code]
      const told = open ? gate.told(call, known) : known.message
      throw told === known.message ? error : new SottoError(known.code, told)
    }
  }

  async #status(call: Call): Promise<KeyStatus> {
    const { store, gate, rotation } = this.#parts
    const { failure } = rotation
    const { wraps } = await store.keys()
    const entries = await rotation.entries()
    return shownKeys(wraps, entries, rotation.root, failure && gate.told(call, failure))
  }
}

/** What is an error of a command line is, for a caller, a key that does not exist, or a request that cannot be carried out. */
function answerable(error: unknown): SottoError {
  const known = asSottoError(error)
  const { code, message, hint } = known
  if (code === 'usage') return new SottoError('not_found', message, { hint })
  return errorTable[code].status === 0 ? new SottoError('bad_request', message, { hint }) : known
}

/** The recovery keys of these recipients. Rejects with `bad_request` for a text that is none. */
async function recipientsOf(recipients: readonly string[]): Promise<KeyProvider[]> {
  try {
    return await Promise.all(recipients.map(recipientProvider))
  } catch (error) {
    const { message, hint } = asSottoError(error)
    throw new SottoError('bad_request', message, { hint })
  }
}

/** The keys of a store, as the API shows them. */
export function shownKeys(
  wraps: readonly WrapInfo[],
  entries: readonly EntryUse[],
  root: RootInfo,
  failure?: string,
): KeyStatus {
  return {
    Root: {
      Number: root.number,
      ...(root.fingerprint !== undefined && { Fingerprint: root.fingerprint }),
      ...(root.remade !== undefined && { Remade: root.remade }),
    },
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

/** What was proven of a wrap, as the API shows it. */
function shownProof({ wrap, state, reason, hint }: WrapProof): ShownProof {
  return {
    ...shownWrap(wrap),
    State: state,
    ...(reason !== undefined && { Reason: reason }),
    ...(hint !== undefined && { Hint: hint }),
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
