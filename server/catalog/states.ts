/** The state of a secret after each kind of change. */
import type { Keyring } from '../crypto/keyring.ts'
import type { Change, SecretRow, SecretState } from '../store/contract.ts'
import { settingsWith } from './home.ts'

/** What every change carries to the store. */
export type ChangeStamp = Pick<Change, 'intent' | 'by' | 'at'>

/** A version that is to be added. */
export interface Addition {
  readonly name: string
  readonly version: number
  /** The version that is active after that. */
  readonly active: number
  /** The backend that keeps it; absent: the store itself. */
  readonly home?: number
}

/** After a version was added. */
export function appended(before: SecretRow | undefined, addition: Addition): SecretState {
  return filled(reserved(before, addition), addition)
}

/** After a number was reserved for a version that is about to be added: it counts as removed until then. */
export function reserved(
  before: SecretRow | undefined,
  { name, version, home }: Addition,
): SecretState {
  return {
    name,
    incarnation: nextIncarnation(before),
    active: before?.active ?? 0,
    highest: Math.max(before?.highest ?? 0, version),
    versions: before?.versions ?? [],
    removed: ascending([...(before?.removed ?? []), version]),
    ...settingsWith(before?.settings, home),
  }
}

/** After the version whose number was reserved was added. */
export function filled(row: SecretState, { version, active }: Addition): SecretState {
  return {
    ...row,
    active,
    versions: ascending([...row.versions, version]),
    removed: row.removed.filter((number) => number !== version),
  }
}

/** After all of its values were moved to the backend `home`; undefined is the store itself. */
export function moved(row: SecretState, home: number | undefined): SecretState {
  return { ...row, ...settingsWith(row.settings, home) }
}

/** The change from `before` (undefined: the name was never used) to `next`. */
export function changeOf(
  keyring: Keyring,
  stamp: ChangeStamp,
  before: SecretRow | undefined,
  next: SecretState,
): Change {
  return { ...stamp, expected: before?.mac ?? null, next: { ...next, mac: keyring.mac(next) } }
}

/** The same numbers, ascending. */
export function ascending(numbers: readonly number[]): number[] {
  return numbers.toSorted((a, b) => a - b)
}

/** The incarnation of the versions that are added next: a deleted name begins a new one. */
export function nextIncarnation(before: SecretRow | undefined): number {
  if (before === undefined) return 1
  return before.active === 0 ? before.incarnation + 1 : before.incarnation
}
