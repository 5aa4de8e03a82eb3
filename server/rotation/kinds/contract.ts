/**
 * What a kind of rotation does outside of the store. The engine calls it, records before each call, and calls it
 * again after a crash: each act may have happened already, and does no harm then.
 */
import type { RotationConfig } from '../../../client/api/rotations.ts'

/** Which of the two versions of a run its target accepts. */
export interface Accepted {
  readonly candidate: boolean
  readonly previous: boolean
}

/** The two values of a run: each is read when it is asked for, which is recorded, and zeroed by the engine. */
export interface RunValues {
  readonly candidate: () => Promise<Buffer>
  readonly previous: () => Promise<Buffer>
}

/** A kind, as it is set up for one rotation. */
export interface Kind {
  /** Whether a person makes the candidate; then `generate` is never called. */
  readonly byHand: boolean

  /** What is in the way of a run, in words, without touching the target. */
  plan(): Promise<readonly string[]>

  /** A new value. The engine zeroes it, and `old`. */
  generate(old: Uint8Array): Promise<Uint8Array<ArrayBuffer>>

  /** Has the target accept the candidate. */
  apply(values: RunValues): Promise<void>

  /** Which of the two the target accepts now. */
  probe(values: RunValues): Promise<Accepted>

  /** Rejects with `backend_refused` unless the candidate works as a program would use it. */
  test(values: RunValues): Promise<void>

  /** How many use the previous version, by the target's own witness; undefined: it has none. */
  sessions(): Promise<number | undefined>

  /** Has the target accept the previous version no longer. */
  retire(values: RunValues): Promise<void>

  /** Has the target be as it was before `apply`. */
  restore(values: RunValues): Promise<void>
}

/** Gives the kind of a rotation. */
export type KindOf = (config: RotationConfig) => Kind
