/**
 * What a kind of rotation does outside of the store. The engine calls it, records before each call, and calls it
 * again after a crash: each act may have happened already, and does no harm then.
 */
import type { RotationConfig } from '../../../client/api/rotations.ts'

/** The values that a kind may read: each is read when it is asked for, which is recorded, and zeroed by the engine. */
export interface RunValues {
  readonly candidate: () => Promise<Buffer>
  /** Rejects with `conflict` where it was deleted. */
  readonly previous: () => Promise<Buffer>
  /** The active version of another secret: of one that logs in to change the target. */
  readonly secret: (name: string) => Promise<Buffer>
}

/** A kind, as it is set up for one rotation. */
export interface Kind {
  /** Whether a person makes the candidate; then `generate` is never called. */
  readonly byHand: boolean

  /** Whether the target accepts the previous version, too, once it accepts the candidate. */
  readonly overlaps: boolean

  /** Whether `retire` does anything. */
  readonly retires: boolean

  /** What is in the way of a run, in words, without touching the target. */
  plan(): Promise<readonly string[]>

  /**
   * A new value. The engine zeroes it, and `old`. Rejects where it can be seen by now that a run would fail; nothing is
   * changed.
   */
  generate(old: Uint8Array, values: RunValues): Promise<Uint8Array<ArrayBuffer>>

  /** Has the target accept the candidate. */
  apply(values: RunValues): Promise<void>

  /** Whether the target accepts `value` now. */
  accepts(value: () => Promise<Buffer>): Promise<boolean>

  /** Rejects unless the candidate works as a program would use it. */
  test(values: RunValues): Promise<void>

  /** How many use the previous version, by the target's own witness; undefined: it has none. */
  sessions(values: RunValues): Promise<number | undefined>

  /** Has the target accept the previous version no longer. */
  retire(values: RunValues): Promise<void>

  /** Has the target be as it was before `apply`. */
  restore(values: RunValues): Promise<void>
}

/** Gives the kind of a rotation. */
export type KindOf = (config: RotationConfig) => Kind
