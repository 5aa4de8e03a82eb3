/** The rotations of a store, each authenticated. */
import { quote, SottoError } from '../../client/api/errors.ts'
import { type RotationConfig, rotationConfig } from '../../client/api/rotations.ts'
import type { Keyring } from '../crypto/keyring.ts'
import type { OperatorPass } from '../gate/gate.ts'
import type { Store, StoredRotation } from '../store/contract.ts'
import { type HeldReason, inBranch, type RotationState, type Step } from './state.ts'

/** A rotation, as it is to be taken in the branch of the store. */
export interface RotationRecord extends Omit<StoredRotation, 'config' | 'state'> {
  readonly config: RotationConfig
  readonly state: RotationState
}

/** What a rotation is, without what the store adds. */
export type RotationSettings = Omit<RotationRecord, 'mac'>

/** What is told of a step in the audit log, besides where it leads. */
export interface StepTold {
  /** The step that was tried in vain. */
  readonly failed?: Step
  readonly reason?: HeldReason | (string & {})
}

/** The rotations of one store. */
export class RotationRegistry {
  readonly #store: Store
  readonly #keyring: Keyring

  constructor(store: Store, keyring: Keyring) {
    this.#store = store
    this.#keyring = keyring
  }

  /** The branch of the store. */
  get branch(): string {
    return this.#store.identity.branch
  }

  /** Every rotation, and the id of the next. Rejects with `store_damaged` for one that was altered outside Sotto. */
  async read(): Promise<{ rotations: RotationRecord[]; nextId: number }> {
    const { rotations, nextId } = await this.#store.rotations()
    return { rotations: rotations.map((each) => this.#verified(each)), nextId }
  }

  /** The rotation that is called `name`. Rejects with `not_found`. */
  async named(name: string): Promise<RotationRecord> {
    const found = (await this.read()).rotations.find((each) => each.name === name)
    if (found) return found
    throw missingRotation(name)
  }

  /** Stores a new rotation, or one that is set up differently: `before` is what it replaces. Rejects with `conflict`. */
  async set(
    pass: OperatorPass,
    before: RotationRecord | undefined,
    settings: RotationSettings,
  ): Promise<void> {
    const { name: rotation, config } = settings
    const verb = before ? 'edit' : 'create'
    await pass.changeRotation({ verb, rotation, secret: config.secret }, (stamp) =>
      this.#store.saveRotation(stamp, this.#saved(before, settings)),
    )
  }

  /** Stores what a step made of `before`, records it, and resolves with what it is then. Rejects with `conflict` where that is not what is stored. */
  async step(
    pass: OperatorPass,
    before: RotationRecord,
    state: RotationState,
    { failed, reason }: StepTold = {},
  ): Promise<RotationRecord> {
    const { name: rotation, config } = before
    const { run, step, candidate } = state
    const what = {
      verb: 'step',
      rotation,
      secret: config.secret,
      ...(candidate !== undefined && { secretVersion: candidate }),
      run,
      step: failed ?? step,
      result: failed === undefined ? 'ok' : 'failed',
      ...(reason !== undefined && { reason }),
    } as const
    let { mac } = before
    await pass.changeRotation(what, (stamp) => {
      const saved = this.#saved(before, { ...before, state })
      ;({ mac } = saved.rotation)
      return this.#store.saveRotation(stamp, saved)
    })
    return { ...before, state, mac }
  }

  /** Erases a rotation. Rejects with `conflict` where it is not what is stored. */
  async remove(pass: OperatorPass, { id, mac, name, config }: RotationRecord): Promise<void> {
    await pass.changeRotation({ verb: 'delete', rotation: name, secret: config.secret }, (stamp) =>
      this.#store.removeRotation(stamp, id, mac),
    )
  }

  /** The row for `settings`, with a MAC by the key of now: the root key may have been replaced since it was asked for. */
  #saved(before: RotationRecord | undefined, settings: RotationSettings) {
    const { id, name, createdAt } = settings
    const [config, state] = [JSON.stringify(settings.config), JSON.stringify(settings.state)]
    const row = { id, name, config, state, createdAt }
    const rotation: StoredRotation = { ...row, mac: this.#keyring.rotationMac(row) }
    return { rotation, expected: before?.mac ?? null }
  }

  #verified({ config, state, ...row }: StoredRotation): RotationRecord {
    this.#keyring.verifyRotation({ ...row, config, state }, row.mac)
    const parsed = rotationConfig.safeParse(JSON.parse(config))
    // What authenticates was written by a release that knew it.
    if (!parsed.success) {
      const found = `Rotation ${quote(row.name)} is set up in a way that this release does not know`
      throw new SottoError('store_newer', found, {
        hint: 'Upgrade the program to the release that made it, or a later one.',
      })
    }
    const known = inBranch(JSON.parse(state) as RotationState, this.branch)
    return { ...row, config: parsed.data, state: known }
  }
}

/** The error for a rotation that does not exist. */
export function missingRotation(name: string): SottoError {
  return new SottoError('not_found', `There is no rotation ${quote(name)}`, {
    hint: 'See `sotto rotation list`.',
  })
}
