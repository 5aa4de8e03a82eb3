/**
 * Compares the state that a change would store with the stored one. The service computes states; this
 * keeps a fault there from giving a number twice, or from making a secret's row differ from its versions.
 */
import type { HistoryItem } from '../contract.ts'
import { hasNumber, joinNumbers, withoutNumber } from './numbers.ts'

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
  append(was, next, version) {
    const isNew = was.active === 0
    return (
      !hasNumber(was.versions, version) &&
      !hasNumber(was.removed, version) &&
      (next.active === version || (!isNew && next.active === was.active)) &&
      same(next, {
        incarnation: isNew ? was.incarnation + 1 : was.incarnation,
        active: next.active,
        highest: Math.max(was.highest, version),
        versions: joinNumbers(was.versions, `${version}`),
        removed: was.removed,
      })
    )
  },
  reserve: (was, next, version) =>
    !hasNumber(was.versions, version) &&
    !hasNumber(was.removed, version) &&
    same(next, {
      ...was,
      incarnation: was.active === 0 ? was.incarnation + 1 : was.incarnation,
      highest: Math.max(was.highest, version),
      removed: joinNumbers(was.removed, `${version}`),
    }),
  fill: (was, next, version) =>
    hasNumber(was.removed, version) &&
    (next.active === version || (was.active !== 0 && next.active === was.active)) &&
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

function same(one: SecretColumns, other: SecretColumns): boolean {
  return (
    one.incarnation === other.incarnation &&
    one.active === other.active &&
    one.highest === other.highest &&
    one.versions === other.versions &&
    one.removed === other.removed
  )
}
