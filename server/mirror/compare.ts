/** Compares secrets with what is in the backend, and decides what a mirror does about each. */
import { asSottoError } from '../../client/api/errors.ts'
import type { Mark, Projection } from '../backends/contract.ts'
import type { SecretRow } from '../store/contract.ts'
import type { Mirrored, Shown } from '../store/mirrors.ts'
import { type Decision, decide, driftIn, driftReasons, type Seen } from './decide.ts'
import type { MirrorParts, MirrorSetup } from './parts.ts'

/** A secret that is not as it should be, and what a run would do about it. */
export interface Planned {
  readonly name: string
  readonly act: Exclude<Decision['act'], 'nothing' | 'forget'>
  readonly reason: string
}

/** How long a standby may lag. */
const STANDBY_MS = 250

const reasons = {
  write: 'other readers see another version, or none',
  remove: 'it was deleted here',
  keep: 'it was deleted here',
  report: 'someone else changed it there',
} as const

/** Compares for one mirror. */
export class Comparison {
  readonly #parts: MirrorParts
  readonly #setup: MirrorSetup

  constructor(parts: MirrorParts, setup: MirrorSetup) {
    this.#parts = parts
    this.#setup = setup
  }

  /** The state of a secret that is not deleted, authenticated; not from the cache, which would fill with it. */
  async current(name: string): Promise<SecretRow | undefined> {
    const { store, keyring } = this.#parts
    const row = await store.find(name)
    if (row) keyring.verify(row, row.mac)
    return row && row.active > 0 ? row : undefined
  }

  /** What to do about a secret; `row` is undefined where it is deleted here. */
  async decide(row: SecretRow | undefined, mirrored: Mirrored): Promise<Decision> {
    const { spec } = this.#setup
    const wanted = row && { incarnation: row.incarnation, version: row.active }
    const decision = decide(wanted, mirrored, await this.#look(mirrored), spec)
    const drift = driftIn(decision)
    if (drift !== 'removed' && drift !== 'recreated') return decision
    // A lagging standby looks the same.
    await new Promise<void>((resolve) => this.#parts.timers.after(STANDBY_MS, resolve))
    return decide(wanted, mirrored, await this.#look(mirrored), spec)
  }

  /** What a run would do about the secret `name`; undefined for nothing. */
  async plan(name: string): Promise<Planned | undefined> {
    const { store, clock } = this.#parts
    const mirrored = (await store.findMirrored(this.#setup.backend, name)) ?? {
      name,
      state: 'due',
      reason: '',
      attempts: 0,
      since: clock().toISOString(),
    }
    let decision: Decision
    try {
      decision = await this.decide(await this.current(name), mirrored)
    } catch (error) {
      const { code, message } = asSottoError(error)
      if (code !== 'conflict') throw error
      return { name, act: 'report', reason: message }
    }
    const { act } = decision
    if (act === 'nothing' || act === 'forget') return undefined
    const drift = driftIn(decision)
    return { name, act, reason: drift === undefined ? reasons[act] : driftReasons[drift] }
  }

  async #look(mirrored: Mirrored): Promise<Seen | undefined> {
    const { use } = this.#parts
    const found = await use(this.#setup.backend, (backend) => backend.readProjection(mirrored.name))
    if (!found) return undefined
    const { revision, content, expires } = found
    try {
      const whose = await this.#whose(found, mirrored)
      const ours = typeof whose === 'object' ? whose : undefined
      return { revision, deleted: !content, ours, branched: whose === 'branched', expires }
    } finally {
      content?.fill(0)
    }
  }

  /**
   * What of ours `found` is: nobody else can make its fingerprint. A mark shows it only for a version that this
   * store gave, so that a branch takes over what both it and the one before know. `branched`: another branch or
   * a copy of this store wrote it; undefined: someone else did.
   */
  async #whose(
    { revision, content, mark }: Projection,
    mirrored: Mirrored,
  ): Promise<Shown | 'branched' | undefined> {
    const { store, keyring } = this.#parts
    const { name, shown, intended } = mirrored
    const ownMark = mark?.store === store.identity.id ? mark : undefined
    if (ownMark && !(await this.#isOwn(ownMark, mirrored, revision))) return 'branched'
    const isOf = (each: Omit<Shown, 'revision'>): boolean => {
      const { incarnation, version, key = 1, fingerprint } = each
      if (content === undefined) return false
      const due = keyring.mirrorFingerprint({ name, incarnation, version }, content, key)
      return due?.fingerprint === fingerprint
    }
    const known = [shown, intended].find((each) => each?.revision === revision && isOf(each))
    if (known) return known
    // Up to there it is known what we wrote. A mark could be by a key that was replaced since somebody had it.
    const written = Math.max(shown?.revision ?? 0, intended?.revision ?? 0)
    if (!ownMark || revision <= written || !isOf(ownMark)) return undefined
    if (!(await this.#gave(name, ownMark))) return 'branched'
    const { incarnation, version, key = 1, fingerprint } = ownMark
    return { revision, incarnation, version, key, fingerprint }
  }

  /** Whether this store wrote that mark: a copy of it, or another branch, would write the same but for these. */
  async #isOwn(
    { backend, branch, start }: Mark,
    { shown, intended }: Mirrored,
    revision: number,
  ): Promise<boolean> {
    const { store, registry, adoption } = this.#parts
    const { identity } = store
    const others = (await registry.all()).filter(({ id }) => id !== this.#setup.backend)
    if (others.some(({ id }) => id === backend)) return false
    if (branch !== identity.branch) return identity.former.includes(branch)
    const written = Math.max(shown?.revision ?? 0, intended?.revision ?? 0)
    return start <= adoption.start.number && (written === 0 || revision <= written)
  }

  /** Whether this store ever gave that number to the secret. */
  async #gave(name: string, { incarnation, version }: Mark): Promise<boolean> {
    const { store, keyring } = this.#parts
    const row = await store.find(name)
    if (!row) return false
    keyring.verify(row, row.mac)
    const { versions, removed } = row
    return incarnation <= row.incarnation && [...versions, ...removed].includes(version)
  }
}
