/** Rotations as callers see them: how far each is, and what a run would do. */
import type { OperationResponse } from '../../client/api/operations.ts'
import type { RotationConfig } from '../../client/api/rotations.ts'
import type { Call, Gate } from '../gate/gate.ts'
import type { Waits } from '../rotation/converge.ts'
import type { Dates } from '../rotation/dates.ts'
import type { RotationRecord } from '../rotation/registry.ts'
import type { Runs } from '../rotation/runs.ts'
import { isOverdue, type Schedule } from '../rotation/schedule.ts'
import { nextWords } from '../rotation/words.ts'

type Shown = OperationResponse<'rotation-describe'>

/** What it takes to show one. */
export interface ShownParts {
  readonly gate: Pick<Gate, 'sees'>
  readonly runs: Pick<Runs, 'waits'>
  readonly dates: Dates
  readonly clock: () => Date
  /** Whether the job runs at all: not on a store that no operator adopted. */
  readonly adopted: () => boolean
}

/** Dates that a plan shows. */
const DATES = 5

/** A rotation as `call` may see it: what is of the secret only with `info` on that. */
export async function rotationShown(
  parts: ShownParts,
  call: Call,
  record: RotationRecord,
): Promise<Shown> {
  const { gate, runs, dates, clock, adopted } = parts
  const { name, config, state, createdAt } = record
  const now = clock()
  const due = await dates.dueOf(record, now)
  const waits = await runs.waits(record)
  const isSeen = gate.sees(call, 'info', config.secret)
  const { run, step, since, missed, attempts, error, held, done, candidate, from } = state
  const paused = adopted()
    ? ''
    : 'Nothing runs until an operator adopts the store: see `sotto branch`. '
  const ofSecret = isSeen && {
    Secret: config.secret,
    ...(candidate !== undefined && { Version: candidate }),
    ...(from !== undefined && from.active > 0 && { Previous: from.active }),
  }
  return {
    Name: name,
    Kind: config.kind,
    ...ofSecret,
    CreatedAt: createdAt,
    Run: run,
    Step: step,
    Since: since,
    ...(due !== undefined && { Due: due.toISOString() }),
    Overdue: isOverdue(config, { step, due }, now),
    Missed: missed,
    Attempts: attempts,
    ...(error !== undefined && { Error: error }),
    ...(held && { Held: { Reason: held.reason, At: held.at } }),
    ...(done && {
      Done: {
        Run: done.run,
        At: done.at,
        ...(isSeen && done.version !== undefined && { Version: done.version }),
      },
    }),
    ...(waits && isSeen && { Waits: shownWaits(waits) }),
    Next: isSeen
      ? `${paused}${nextWords(record, name, waits)}`
      : 'You have no `info` on its secret.',
  }
}

function shownWaits(waits: Waits): NonNullable<Shown['Waits']> {
  const { current, behind, unknown, doubts, sessions } = waits
  return {
    Current: current,
    Behind: behind,
    Unknown: unknown,
    Doubts: [...doubts],
    Sessions: sessions,
  }
}

/** The steps of a run that begins now, in words. */
export function plannedSteps({ config }: RotationRecord): string[] {
  const { converge } = config
  const until =
    converge === 'manual'
      ? 'an operator retires the old version'
      : `all holders have it${converge === 'all' ? '' : `, or for ${converge.allOrAfter}`}`
  return [...made(config), 'activate it', `wait until ${until}`, ...retired(config)]
}

function made(config: RotationConfig): string[] {
  switch (config.kind) {
    case 'generated':
      return [`make a value of the shape ${config.template.shape}, and put it as a new version`]
    case 'manual':
      return ['wait for a person who puts a new version, and says so']
    case 'postgres-pair':
      return [
        `make a value of the shape ${config.template.shape} for the login whose turn it is (${config.logins.join(', ')}), and put it as a new version`,
        `set the password of that login at ${config.server}, and log in with it`,
      ]
    case 'postgres-single':
      return [
        `make a value of the shape ${config.template.shape}, and put it as a new version`,
        `set the password of ${config.login} at ${config.server}: until programs have the new version, they are refused`,
      ]
    case 'valkey-acl':
      break
  }
  return [
    `make a value of the shape ${config.template.shape}, and put it as a new version`,
    `add its password to those of ${config.user} at ${config.servers.join(', ')}, and log in with it`,
  ]
}

function retired(config: RotationConfig): string[] {
  const deletes = config.kind !== 'manual' && config.deleteOld
  const refuses = config.kind === 'postgres-pair' || config.kind === 'valkey-acl'
  const { grace } = deletes || refuses ? config : { grace: '0s' }
  const after = grace === '0s' ? '' : ` after ${grace}`
  const deleted = deletes
    ? `delete the old version${after === '' ? ' after 0s' : after}`
    : 'leave the old version stored'
  return refuses ? [`have the server refuse the old login${after}`, deleted] : [deleted]
}

/** When the next runs are due, by the settings of now: the first at `due`. */
export function datesOf(
  { after }: Schedule,
  { config }: RotationRecord,
  due: Date | undefined,
  now: Date,
): string[] {
  const dates: Date[] = []
  for (let date = due; date !== undefined && dates.length < DATES; ) {
    dates.push(date)
    date = after(config, date > now ? date : now)
  }
  return dates.map((date) => date.toISOString())
}
