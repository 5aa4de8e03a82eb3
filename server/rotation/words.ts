/** What works now of a rotation, and what is to be done about it, in words that name no secret. */
import type { RotationConfig } from '../../client/api/rotations.ts'
import { isConverged, type Waits } from './converge.ts'
import { MAX_ATTEMPTS } from './machine.ts'
import type { HeldReason, RotationState } from './state.ts'

/** In one or two sentences. */
export function nextWords(
  { config, state }: { readonly config: RotationConfig; readonly state: RotationState },
  name: string,
  waits: Waits | undefined,
): string {
  if (state.held) return `${whyHeld(state, name)} ${whatWorks(state)}`
  switch (state.step) {
    case 'planned':
      return config.kind === 'manual'
        ? `A person is to make the new version, put it, and say so: sotto rotation done ${name} --version N.${asked(config)}`
        : `A new version is being made. ${whatWorks(state)}`
    case 'converging':
      return waits === undefined ? whatWorks(state) : convergingWords(config, waits, name)
    case 'retiring':
      return 'Nobody is waited for any more; the old version is being retired.'
    case 'idle':
    case 'done':
    case 'aborted':
      return state.due === undefined
        ? 'Nothing is due: it runs when it is told to.'
        : 'Nothing is to be done.'
    case 'staged':
    case 'applied':
    case 'tested':
    case 'activated':
    case 'aborting':
    case 'held':
      break
  }
  return whatWorks(state)
}

function convergingWords(config: RotationConfig, waits: Waits, name: string): string {
  const { behind, unknown, doubts, sessions } = waits
  if (config.converge === 'manual') {
    const found = isConverged(waits) ? 'All holders have the new version.' : countsOf(waits)
    return `${found} The old one is retired by: sotto rotation retire ${name}.`
  }
  if (isConverged(waits)) return 'All holders have the new version.'
  const inDoubt = doubts[0] === undefined ? `${sessions} sessions of the old one` : doubts[0]
  const why = behind + unknown > 0 ? countsOf(waits) : `In doubt: ${inDoubt}.`
  return `${why} It waits for them; the old version works, too.`
}

function countsOf({ behind, unknown, sessions }: Waits): string {
  const old = sessions > 0 ? `, ${sessions} sessions of the old one` : ''
  return `Holders behind: ${behind}, unknown: ${unknown}${old}.`
}

function whyHeld({ held, error, found, attempts }: RotationState, name: string): string {
  const continued = `sotto rotation reconcile ${name}`
  const at = held?.at ?? ''
  const words: Readonly<Record<HeldReason, string>> = {
    restored: `The store came back from a backup. Look whether the active version is the right one, then: ${continued}.`,
    changed: `Someone else changed the secret during the run, and nothing was overwritten. To go on from what there is: ${continued}.`,
    deleted: `The secret was deleted. To end the run: ${continued}.`,
    failed: `It failed ${Math.min(attempts, MAX_ATTEMPTS)} times at the step ${at}: ${endless(found) ?? error ?? ''}. Fix that, then: ${continued}; or end it: sotto rotation abort ${name}.`,
  }
  return words[held?.reason ?? 'failed']
}

/** A message as a part of a sentence. */
function endless(text: string | undefined): string | undefined {
  return text?.replace(/\.$/, '')
}

function whatWorks({ activated = false, candidate, from }: RotationState): string {
  if (from === undefined || from.active === 0) return 'No run has changed anything.'
  if (activated) return `Version ${candidate} is active; version ${from.active} was before it.`
  const staged = candidate === undefined ? '' : ` Version ${candidate} is stored and not used.`
  return `Version ${from.active} is active.${staged}`
}

function asked({ owner, runbook }: RotationConfig): string {
  return `${owner === undefined ? '' : ` Ask ${owner}.`}${runbook === undefined ? '' : ` See ${runbook}.`}`
}
