/** Whether everybody took the new version, as `rollout` tells it: who is silent is unknown, and never converged. */
import type { RotationConfig } from '../../client/api/rotations.ts'
import { parseDuration } from '../../client/api/times.ts'
import type { Consumers } from '../consumers/consumers.ts'

/** What a run that converges waits for. */
export interface Waits {
  readonly current: number
  readonly behind: number
  readonly unknown: number
  readonly doubts: readonly string[]
  /** How many use the old version, by the witness of the target. */
  readonly sessions: number
}

/** Who holds which version of `secret`, whose version `active` is. */
export async function waitsOf(
  consumers: Pick<Consumers, 'rollout'>,
  secret: string,
  active: number,
  sessions = 0,
): Promise<Waits> {
  const { counts, doubts } = await consumers.rollout(secret, active)
  const { current, behind, unknown } = counts
  return { current, behind, unknown, doubts, sessions }
}

/** Whether nobody needs the old version any more. */
export function isConverged({ behind, unknown, doubts, sessions }: Waits): boolean {
  return behind + unknown + doubts.length + sessions === 0
}

/** Whether the old version may be retired, after so many minutes of waiting. */
export function mayRetire(
  policy: RotationConfig['converge'],
  waits: Waits,
  minutes: number,
): boolean {
  if (policy === 'manual') return false
  if (isConverged(waits)) return true
  if (policy === 'all') return false
  return minutes * 60_000 >= (parseDuration(policy.allOrAfter) ?? Infinity)
}
