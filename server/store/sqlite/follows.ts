/**
 * Compares the state that a change would store with the stored one. The service computes states; this
 * keeps a fault there from giving a number twice, or from making a secret's row differ from its versions.
 */
import type { HistoryItem } from '../contract.ts'
import { hasNumber, joinNumbers, withoutNumber } from '../numbers.ts'

/** The columns of a secret that a change sets; version numbers as runs. */
export interface SecretColumns {
  readonly incarnation: number
  readonly active: number
  readonly highest: number
  readonly versions: string
  readonly removed: string
}

const unused: SecretColumns = { incarnation: 0, active: 0, highest: 0, versions: '', removed: '' }

/** Whether the change leads from `stored` (undefined: the name was never used) to `next`. */
export function follows(
  verb: HistoryItem['verb'],
  version: number | null,
  next: SecretColumns,
  stored: SecretColumns | undefined,
): boolean {
  return rules[verb](stored ?? unused, next, version ?? 0)
}

type Rule = (was: SecretColumns, next: SecretColumns, version: number) => boolean

const rules: Record<HistoryItem['verb'], Rule> = {
  append: (was, next, version) =>
    isNew(was, version) &&
    staysActive(was, next, version) &&
    same(next, {
      ...raised(was, version),
      active: next.active,
      versions: joinNumbers(was.versions, `${version}`),
    }),
  reserve: (was, next, version) =>
    isNew(was, version) &&
    same(next, {
      ...raised(was, version),
      removed: joinNumbers(was.removed, `${version}`),
    }),
  fill: (was, next, version) =>
    hasNumber(was.removed, version) &&
    staysActive(was, next, version) &&
    same(next, {
      ...was,
      active: next.active,
      versions: joinNumbers(was.versions, `${version}`),
      removed: withoutNumber(was.removed, version),
    }),
  rehome: (was, next) => was.active !== 0 && same(next, was),
  activate: (was, next, version) =>
    hasNumber(was.versions, version) && same(next, { ...was, active: version }),
  'remove-version': (was, next, version) =>
    hasNumber(was.versions, version) &&
    version !== was.active &&
    same(next, {
      ...was,
      versions: withoutNumber(was.versions, version),
      removed: joinNumbers(was.removed, `${version}`),
    }),
  remove: (was, next) =>
    was.active !== 0 &&
    same(next, {
      ...was,
      active: 0,
      versions: '',
      removed: joinNumbers(was.removed, was.versions),
    }),
}

/** Whether `version` was never given. */
function isNew({ versions, removed }: SecretColumns, version: number): boolean {
  return !hasNumber(versions, version) && !hasNumber(removed, version)
}

/** Whether what is active next is what was, if anything, or `version`. */
function staysActive(was: SecretColumns, next: SecretColumns, version: number): boolean {
  return next.active === version || (was.active !== 0 && next.active === was.active)
}

/** `was`, to which `version` is given: in the next incarnation where the secret was deleted. */
function raised(was: SecretColumns, version: number): SecretColumns {
  const incarnation = was.active === 0 ? was.incarnation + 1 : was.incarnation
  return { ...was, incarnation, highest: Math.max(was.highest, version) }
}

const columns = Object.keys(unused) as (keyof SecretColumns)[]

function same(one: SecretColumns, other: SecretColumns): boolean {
  return columns.every((column) => one[column] === other[column])
}
