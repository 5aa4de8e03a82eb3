/** Compares secrets with what is in the backend, and decides what a mirror does about each. */
import type { Projection } from '../backends/contract.ts'
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
    const decision = await this.decide(await this.current(name), mirrored)
    const { act } = decision
    if (act === 'nothing' || act === 'forget') return undefined
    const drift = driftIn(decision)
    return { name, act, reason: drift === undefined ? reasons[act] : driftReasons[drift] }
  }

  async #look(mirrored: Mirrored): Promise<Seen | undefined> {
    const { use } = this.#parts
    const found = await use(this.#setup.backend, (backend) => backend.readProjection(mirrored.name))
    if (!found) return undefined
    const ours = this.#oursIn(found, mirrored)
    found.content?.fill(0)
    const { revision, expires } = found
    return { revision, deleted: !found.content, ours, expires }
  }

  /** What of ours `found` is: nobody else can make its fingerprint. */
  #oursIn({ revision, content, mark }: Projection, mirrored: Mirrored): Shown | undefined {
    if (!content) return undefined
    const { store, keyring } = this.#parts
    const { name, shown, intended } = mirrored
    const ownMark = mark?.store === store.identity.id ? { ...mark, revision } : undefined
    for (const each of [shown, intended, ownMark]) {
      if (each?.revision !== revision) continue
      const { incarnation, version, fingerprint } = each
      const due = keyring.mirrorFingerprint({ name, incarnation, version }, content)
      if (due === fingerprint) return { revision, incarnation, version, fingerprint }
    }
    return undefined
  }
}
