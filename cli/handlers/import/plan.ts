/** What an import has to do for each secret, from what both servers answered. Pure. */
import { nameProblem } from '../../../client/api/names.ts'
import type { Action, Rule, SecretInfo } from '../../../client/api/types.ts'
import { allows, matches } from '../../../server/access.ts'

/** One secret of the source. */
export interface Task {
  readonly name: string
  /** Its versions at the source, ascending. */
  readonly versions: readonly number[]
  /** The active one of them. */
  readonly active: number
  /** Those of them that the destination has. */
  readonly shared: readonly number[]
  /** Those that it lacks, in the order in which they are to be written. */
  readonly missing: readonly number[]
  /** Versions that the destination alone has. */
  readonly own: readonly number[]
  /** The version that is active at the destination; 0 where it has no such secret. */
  readonly heldActive: number
  /** Why it is not to be touched; absent where nothing is in the way. */
  readonly obstacle?: Obstacle
}

/** Why a secret cannot be brought over, known before any value is read. */
export interface Obstacle {
  readonly kind: 'name' | 'denied' | 'moved-on' | 'answer'
  readonly reason: string
}

/** Everything that an import has to look at. */
export interface Plan {
  readonly tasks: readonly Task[]
  /** Secrets of the source that match, but for an exception. */
  readonly leftOut: readonly SecretInfo[]
  /** Names that the destination alone has. */
  readonly others: readonly string[]
}

/** What a plan is made from. */
export interface Known {
  readonly source: readonly SecretInfo[]
  readonly destination: readonly SecretInfo[]
  /** What the caller may do at the source; undefined where the server cannot say, as setec cannot. */
  readonly sourceRules: readonly Rule[] | undefined
  readonly destinationRules: readonly Rule[]
  /** A pattern that names must match. */
  readonly only: string
  /** Patterns of names to leave out of those. */
  readonly except: readonly string[]
}

/** The plan for what is known, by name in the order of the source. */
export function planImport({ source, destination, only, except, ...rules }: Known): Plan {
  const isExcepted = (name: string): boolean => except.some((pattern) => matches(pattern, name))
  const held = new Map(destination.map((secret) => [secret.Name, secret]))
  const matching = source.filter(({ Name }) => matches(only, Name))
  const wanted = matching.filter(({ Name }) => !isExcepted(Name))
  const names = new Set(wanted.map(({ Name }) => Name))
  return {
    tasks: wanted.map((secret) => taskOf(secret, held.get(secret.Name), rules)),
    leftOut: matching.filter(({ Name }) => isExcepted(Name)),
    others: [...held.keys()].filter(
      (name) => matches(only, name) && !isExcepted(name) && !names.has(name),
    ),
  }
}

/** Whether the destination has every version and the same active one. */
export function isComplete({ missing, heldActive, active }: Task): boolean {
  return missing.length === 0 && heldActive === active
}

type Rules = Pick<Known, 'sourceRules' | 'destinationRules'>

function taskOf(secret: SecretInfo, held: SecretInfo | undefined, rules: Rules): Task {
  const { Name: name, ActiveVersion: active } = secret
  const versions = secret.Versions.toSorted((a, b) => a - b)
  const there = new Set(held?.Versions)
  const task: Task = {
    name,
    versions,
    active,
    shared: versions.filter((version) => there.has(version)),
    missing: inOrder([...new Set(versions).difference(there)], active),
    own: [...there].filter((version) => !versions.includes(version)).toSorted((a, b) => a - b),
    heldActive: held?.ActiveVersion ?? 0,
  }
  const obstacle = obstacleOf(task, rules)
  return obstacle === undefined ? task : { ...task, obstacle }
}

/**
 * Each write makes its version active. The active one goes first, so that nothing is written where it
 * cannot be; the older ones come last, since a client that reads too early should see a value that
 * was once in use rather than one that never was.
 */
function inOrder(missing: readonly number[], active: number): number[] {
  return [
    ...missing.filter((version) => version === active),
    ...missing.filter((version) => version > active),
    ...missing.filter((version) => version < active),
  ]
}

function obstacleOf(task: Task, { sourceRules, destinationRules }: Rules): Obstacle | undefined {
  const { name, versions, active, missing, heldActive } = task
  if (!versions.includes(active)) {
    return { kind: 'answer', reason: 'the source names no active version of it' }
  }
  const problem = nameProblem(name)
  if (problem !== undefined) {
    return { kind: 'name', reason: `Sotto gives no such name: ${problem}` }
  }
  if (sourceRules && !allows(sourceRules, 'get', name)) {
    return { kind: 'denied', reason: 'no rule allows get on it at the source' }
  }
  const denied = needed(task).filter((action) => !allows(destinationRules, action, name))
  if (denied.length > 0) {
    const reason = `no rule allows ${denied.join(', ')} on it at the destination`
    return { kind: 'denied', reason }
  }
  // The client that made that version already uses the destination, so the source is outdated.
  if (heldActive > 0 && !versions.includes(heldActive)) {
    const left = missing.length > 0 ? '; what it lacks was not added' : ''
    const reason = `the destination has version ${heldActive} active, which the source lacks${left}`
    return { kind: 'moved-on', reason }
  }
  return undefined
}

function needed({ missing, active, heldActive }: Task): Action[] {
  const lastWritten = missing.at(-1) ?? heldActive
  return [
    'info',
    'get',
    ...(missing.length > 0 ? (['create-version'] as const) : []),
    ...(lastWritten === active ? [] : (['activate'] as const)),
  ]
}
