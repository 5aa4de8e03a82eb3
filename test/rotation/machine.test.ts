/** The steps of a run: whatever happens in whatever order, a run is somewhere that is known. */
import { expect, test } from 'vitest'
import { rotationSteps } from '../../client/api/rotations.ts'
import { canAbort, MAX_ATTEMPTS, next, type RotationEvent } from '../../server/rotation/machine.ts'
import { inBranch, isUnderWay, newState, type RotationState } from '../../server/rotation/state.ts'

const now = '2026-03-28T03:00:00.000Z'
const from = { incarnation: 1, active: 1, latest: 1, revision: 7 }
const fresh = newState('b'.repeat(16), now, undefined)

const events: readonly RotationEvent[] = [
  { is: 'begun', from, due: undefined },
  { is: 'missed', due: now },
  { is: 'staged', version: 2 },
  { is: 'named', version: 2, from },
  ...(['applied', 'tested', 'activated', 'converging', 'retiring', 'done'] as const).map(
    (step) => ({ is: 'reached', step }) as const,
  ),
  { is: 'failed', code: 'backend_refused', found: 'Cannot do it' },
  { is: 'held', reason: 'changed' },
  { is: 'waited', minutes: 61 },
  { is: 'abort' },
  { is: 'aborted' },
]

function after(state: RotationState, ...given: RotationEvent[]): RotationState {
  return given.reduce((reached, event) => next(reached, event, now), state)
}

const toActivated: RotationEvent[] = [
  { is: 'begun', from, due: now },
  { is: 'staged', version: 2 },
  { is: 'reached', step: 'applied' },
  { is: 'reached', step: 'tested' },
  { is: 'reached', step: 'activated' },
]

test('a run goes from step to step, and says what came of it', () => {
  const done = after(
    fresh,
    ...toActivated,
    { is: 'reached', step: 'converging' },
    { is: 'reached', step: 'retiring' },
    { is: 'reached', step: 'done' },
  )
  expect(done).toMatchObject({ step: 'done', run: 1, done: { run: 1, version: 2 }, due: now })
  const again = after(done, { is: 'begun', from, due: undefined })
  expect(again).toMatchObject({ step: 'planned', run: 2, done: { run: 1 } })
  expect([again.candidate, again.activated, again.due]).toEqual([undefined, undefined, undefined])
})

test('a step that fails is held after ten times, and counts from the beginning at the next', () => {
  let state = after(fresh, toActivated[0] as RotationEvent)
  for (let at = 1; at < MAX_ATTEMPTS; at++) {
    state = after(state, { is: 'failed', code: 'backend_refused', found: 'Cannot do it' })
    expect(state).toMatchObject({ step: 'planned', attempts: at, error: 'backend_refused' })
  }
  const staged = after(state, { is: 'staged', version: 2 })
  expect([staged.attempts, staged.error]).toEqual([0, undefined])
  const held = after(state, { is: 'failed', code: 'backend_refused', found: 'Cannot do it' })
  expect(held).toMatchObject({ step: 'held', held: { reason: 'failed', at: 'planned' } })
})

test('a run can be aborted until the old version is being retired, also one that is held', () => {
  const activated = after(fresh, ...toActivated)
  expect(canAbort(activated)).toBe(true)
  expect(canAbort(after(activated, { is: 'held', reason: 'changed' }))).toBe(true)
  const retiring = after(
    activated,
    { is: 'reached', step: 'converging' },
    { is: 'reached', step: 'retiring' },
  )
  expect(canAbort(retiring)).toBe(false)
  expect(canAbort(inBranch(activated, 'c'.repeat(16)))).toBe(false)
  expect(canAbort(fresh)).toBe(false)
})

test('in another branch every rotation is held, at the step where it was', () => {
  const activated = after(fresh, ...toActivated)
  expect(inBranch(activated, activated.branch)).toBe(activated)
  const other = inBranch(activated, 'c'.repeat(16))
  expect(other).toMatchObject({ step: 'held', held: { reason: 'restored', at: 'activated' } })
  expect(isUnderWay(other)).toBe(true)
  const idle = inBranch(fresh, 'c'.repeat(16))
  expect([idle.step, isUnderWay(idle)]).toEqual(['held', false])
  expect(() => next(idle, { is: 'begun', from, due: undefined }, now)).toThrow(/held/)
  const back = after(other, { is: 'reconciled', step: 'activated', branch: 'c'.repeat(16) })
  expect(inBranch(back, 'c'.repeat(16))).toMatchObject({ step: 'activated', candidate: 2 })
})

test('events in any order are refused, or lead to a step that fits', () => {
  const demand = (holds: boolean, state: RotationState): void => {
    if (!holds) throw new Error(JSON.stringify(state))
  }
  // What is only counted decides nothing.
  const essence = ({ step, held, candidate, activated, attempts, done }: RotationState): string =>
    JSON.stringify([step, held, candidate, activated, attempts, done !== undefined])
  const states = new Map([[essence(fresh), fresh]])
  // Those that are found are gone through in their turn.
  for (const before of states.values()) {
    for (const event of events) {
      let state: RotationState
      try {
        state = next(before, event, now)
      } catch (error) {
        demand((error as { code?: string }).code === 'rotation_state', before)
        continue
      }
      const { step, held, candidate, activated = false, attempts } = state
      demand((step === 'held') === (held !== undefined), state)
      demand(attempts <= MAX_ATTEMPTS, state)
      const needs = ['staged', 'applied', 'tested', 'activated', 'converging', 'retiring', 'done']
      if (needs.includes(step)) demand(candidate === 2, state)
      if (['activated', 'converging', 'retiring'].includes(step)) demand(activated, state)
      if (!states.has(essence(state))) states.set(essence(state), state)
    }
  }
  const reached = new Set(Array.from(states.values(), ({ step }) => step))
  expect([...reached].toSorted()).toEqual(rotationSteps.toSorted())
})
