/** How far a rotation is, as the store keeps it. */
import type { heldReasons, rotationSteps } from '../../client/api/rotations.ts'

/** A step of a run. */
export type Step = (typeof rotationSteps)[number]

/** Why a run waits for a person. */
export type HeldReason = (typeof heldReasons)[number]

/** A step that a run can be held at. */
export type Held = { readonly reason: HeldReason; readonly at: Step }

/** How far a rotation is. Times are UTC, and for people alone, but for when it is due. */
export interface RotationState {
  /** The branch of the store that knows how far it is: in another one, after a restore, it is held. */
  readonly branch: string
  /** The number of the newest run; 0: none yet. */
  readonly run: number
  readonly step: Step
  /** When that step was reached. */
  readonly since: string
  /** When the next run is due; absent: not by itself. */
  readonly due?: string
  /** Windows that passed without a run, so far. */
  readonly missed: number
  /** What the secret was when the run began; absent before the first. */
  readonly from?: Origin
  /** The version that the run made, once it is known. */
  readonly candidate?: number
  /** Whether the candidate was made active by the run. */
  readonly activated?: boolean
  /** Failures of this step in a row. */
  readonly attempts: number
  /** The code of the last of them. */
  readonly error?: string
  /** What it met, in words: names, and never values. */
  readonly found?: string
  /** Minutes that were waited in this step, by timers: a clock that is moved does not count. */
  readonly waited: number
  /** Present while the step is `held`. */
  readonly held?: Held
  /** The last run that came to its end. */
  readonly done?: { readonly run: number; readonly at: string; readonly version?: number }
}

/** What a secret was when a run began. */
export interface Origin {
  readonly incarnation: number
  /** The active version. */
  readonly active: number
  /** The highest version that had a value. */
  readonly latest: number
  /** The revision of its newest change: what others do after it is by hand. */
  readonly revision: number
}

/** The steps in which no run is under way. */
const resting: ReadonlySet<Step> = new Set<Step>(['idle', 'done', 'aborted'])

/** Whether a run is under way, also one that is held. One that came back from a backup while nothing ran is held, too, and is not. */
export function isUnderWay({ step, held }: RotationState): boolean {
  return !resting.has(held?.at ?? step)
}

/** Whether the job carries a run on: one is under way, and waits for no person. */
export function isCarriedOn(state: RotationState): boolean {
  return isUnderWay(state) && state.step !== 'held'
}

/** The state of a rotation that is new, in `branch`. */
export function newState(branch: string, now: string, due: string | undefined): RotationState {
  return {
    branch,
    run: 0,
    step: 'idle',
    since: now,
    missed: 0,
    attempts: 0,
    waited: 0,
    ...(due !== undefined && { due }),
  }
}

/** `state` as it is to be taken in `branch`: one that another branch left is held. */
export function inBranch(state: RotationState, branch: string): RotationState {
  if (state.branch === branch) return state
  const at = state.held?.at ?? state.step
  return { ...state, step: 'held', held: { reason: 'restored', at } }
}
