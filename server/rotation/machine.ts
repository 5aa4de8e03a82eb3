/**
 * The steps of a run: what an event makes of a state. Nothing here looks or acts, so that every order of events can
 * be tried.
 */
import { SottoError } from '../../client/api/errors.ts'
import type { HeldReason, Origin, RotationState, Step } from './state.ts'
import { isCarriedOn, isUnderWay } from './state.ts'

/** What happens to a rotation. */
export type RotationEvent =
  /** A run begins; `due` is when the one after it is. */
  | { readonly is: 'begun'; readonly from: Origin; readonly due: string | undefined }
  /** The window passed without a run. */
  | { readonly is: 'missed'; readonly due: string | undefined }
  /** The candidate is stored, and not active. */
  | { readonly is: 'staged'; readonly version: number }
  /** A person named the candidate. */
  | { readonly is: 'named'; readonly version: number; readonly from: Origin }
  /** The step after this one is reached. */
  | { readonly is: 'reached'; readonly step: Forward }
  | { readonly is: 'failed'; readonly code: string; readonly found: string }
  | { readonly is: 'held'; readonly reason: HeldReason }
  | { readonly is: 'waited'; readonly minutes: number }
  | { readonly is: 'abort' }
  | { readonly is: 'aborted' }
  /** A person has it continue at `step`, by what was found. */
  | {
      readonly is: 'reconciled'
      readonly step: Step
      readonly branch: string
      readonly from?: Origin
    }

/** Steps that are reached by themselves after the candidate is staged. */
type Forward = 'applied' | 'tested' | 'activated' | 'converging' | 'retiring' | 'done'

/** The step before each. */
const before: Readonly<Record<Forward, Step>> = {
  applied: 'staged',
  tested: 'applied',
  activated: 'tested',
  converging: 'activated',
  retiring: 'converging',
  done: 'retiring',
}

/** After so many failures of a step in a row a person is to look. */
export const MAX_ATTEMPTS = 10

/** Characters that are kept of what a failure met. */
const MAX_FOUND = 600

/** What `event` at the time `now` makes of `state`. Throws `rotation_state` where it cannot happen then. */
export function next(state: RotationState, event: RotationEvent, now: string): RotationState {
  switch (event.is) {
    case 'begun':
      demand(!isUnderWay(state) && state.step !== 'held', state, 'begin a run')
      return begun(state, event, now)
    case 'missed':
      demand(!isUnderWay(state), state, 'skip a window')
      return { ...withDue(state, event.due), missed: state.missed + 1 }
    case 'staged':
      demand(state.step === 'planned', state, 'stage a version')
      return { ...entered(state, 'staged', now), candidate: event.version }
    case 'named': {
      demand(state.step === 'planned', state, 'take a version')
      const { from } = event
      return { ...entered(state, 'staged', now), candidate: event.version, from }
    }
    case 'reached':
      demand(state.step === before[event.step], state, `reach ${event.step}`)
      return reached(state, event.step, now)
    case 'failed':
      demand(isCarriedOn(state), state, 'fail')
      return failed(state, event, now)
    case 'held':
      demand(isCarriedOn(state), state, 'be held')
      return heldFor(state, event.reason, now)
    case 'waited':
      demand(isUnderWay(state), state, 'wait')
      return { ...state, waited: event.minutes }
    case 'abort':
      demand(canAbort(state), state, 'abort a run')
      return entered(state, 'aborting', now)
    case 'aborted':
      demand(state.step === 'aborting', state, 'have aborted')
      return entered(state, 'aborted', now)
    case 'reconciled':
      break
  }
  return {
    ...entered(state, event.step, now),
    branch: event.branch,
    ...(event.from && { from: event.from }),
  }
}

/** Whether a run can be ended, and what it changed undone: not once the old version is being retired. */
export function canAbort(state: RotationState): boolean {
  const at = state.held?.at ?? state.step
  const isPast = at === 'retiring' || at === 'aborting'
  return isUnderWay(state) && !isPast && state.held?.reason !== 'restored'
}

function begun(
  state: RotationState,
  { from, due }: Extract<RotationEvent, { is: 'begun' }>,
  now: string,
): RotationState {
  const { candidate: _candidate, activated: _activated, ...rest } = withDue(state, due)
  return { ...entered(rest, 'planned', now), run: state.run + 1, from }
}

function reached(state: RotationState, step: Forward, now: string): RotationState {
  const at = entered(state, step, now)
  if (step === 'activated') return { ...at, activated: true }
  if (step !== 'done') return at
  const { run, candidate } = state
  return { ...at, done: { run, at: now, ...(candidate !== undefined && { version: candidate }) } }
}

function failed(
  state: RotationState,
  { code: error, found }: Extract<RotationEvent, { is: 'failed' }>,
  now: string,
): RotationState {
  const attempts = state.attempts + 1
  const tried = { ...state, attempts, error, found: found.slice(0, MAX_FOUND) }
  return attempts < MAX_ATTEMPTS ? tried : heldFor(tried, 'failed', now)
}

function heldFor(state: RotationState, reason: HeldReason, now: string): RotationState {
  return { ...state, step: 'held', since: now, held: { reason, at: state.step } }
}

function entered(state: RotationState, step: Step, now: string): RotationState {
  const { held: _held, error: _error, found: _found, ...rest } = state
  return { ...rest, step, since: now, attempts: 0, waited: 0 }
}

function withDue(state: RotationState, due: string | undefined): RotationState {
  const { due: _due, ...rest } = state
  return due === undefined ? rest : { ...rest, due }
}

function demand(isPossible: boolean, { step, held }: RotationState, act: string): void {
  if (isPossible) return
  const found = held ? `it is held (${held.reason})` : `it is ${step}`
  throw new SottoError('rotation_state', `Cannot ${act}: ${found}`, {
    hint: held
      ? '`sotto rotation status` says why; `sotto rotation reconcile` lets it continue or ends it.'
      : 'See `sotto rotation status`.',
  })
}
