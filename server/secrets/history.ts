/**
 * What became of each version of a secret, told from its changes. A change does not say which version is active after it:
 * where a version was added, the digest of what it led to does.
 */
import type { Principal } from '../../client/api/types.ts'
import { settingsWith } from '../catalog/home.ts'
import { digestOfShape } from '../gate/mac-fields.ts'
import type { HistoryItem, SecretState } from '../store/contract.ts'
import { joinNumbers, withoutNumber } from '../store/numbers.ts'

/** Something that was done, by whom, and when in UTC. */
export interface Act {
  readonly by: Principal
  readonly at: string
}

/** A time in which a version was the active one. */
export interface Activation extends Act {
  /** When another one took its place, or it was deleted; absent: it is active. */
  readonly until?: string
}

/** A version number that was given. */
export interface VersionHistory {
  readonly version: number
  /** Absent where the value never arrived in its backend. */
  readonly put?: Act
  readonly activations: readonly Activation[]
  readonly deleted?: Act
}

/** What became of a secret. */
export interface SecretHistory {
  /** By number. */
  readonly versions: readonly VersionHistory[]
  /** The version that was active before the one that is; undefined: there was none. */
  readonly before: number | undefined
  /**
   * Versions of which it is not known whether they were active once they were put, since `before` came to be or since
   * there is no `before`; none where all is known.
   */
  readonly unsure: readonly number[]
}

/** A `VersionHistory` that is being made. */
interface Open {
  version: number
  put?: Act
  activations: Activation[]
  deleted?: Act
}

/** A version that became active, by the place of that in the history. */
interface Turn {
  readonly version: number
  readonly place: number
}

/**
 * Tells the history of a secret from all its `changes`; it is `now` what they made of it, and `homes` are the ids
 * of the backends that its values may have been in. Yields where it may rest.
 */
export function* historyOf(
  now: SecretState,
  changes: readonly HistoryItem[],
  homes: readonly number[],
): Generator<void, SecretHistory> {
  const versions = new Map<number, Open>()
  const turns: Turn[] = []
  let unsure: Turn[] = []
  const shapes = new Shapes(now, homes)
  let active = 0
  const versionOf = (version: number): Open => {
    const found = versions.get(version) ?? { version, activations: [] }
    versions.set(version, found)
    return found
  }
  const activate = (version: number, act: Act | undefined, place: number): void => {
    if (version === active) return
    const last = versions.get(active)?.activations
    const open = last?.pop()
    if (open && act) last?.push({ ...open, until: act.at })
    active = version
    if (version === 0 || !act) return
    versionOf(version).activations.push(act)
    turns.push({ version, place })
  }
  const deleted = (version: number, act: Act): void => void (versionOf(version).deleted = act)

  for (const [place, { verb, version = 0, incarnation, by, at, state }] of changes.entries()) {
    yield
    const act = { by, at }
    switch (verb) {
      case 'reserve':
        versionOf(version)
        shapes.reserve(version)
        break
      case 'append':
      case 'fill': {
        versionOf(version).put = act
        shapes.add(version)
        // The first of a secret is active.
        const known =
          active === 0 ? version : shapes.activeIn(incarnation, state, [active, version])
        if (known === undefined) unsure.push({ version, place })
        activate(known ?? active, act, place)
        break
      }
      case 'activate':
        activate(version, act, place)
        break
      case 'remove-version':
        shapes.remove(version)
        deleted(version, act)
        break
      case 'remove':
        for (const each of shapes.removeAll()) deleted(each, act)
        activate(0, act, place)
        break
      case 'rehome':
        break
    }
  }
  // What is active now was not activated: then it was when it was put.
  const last = unsure.find(({ version }) => version === now.active)
  if (last && active !== now.active) {
    unsure = unsure.filter((each) => each !== last)
    activate(now.active, versions.get(now.active)?.put, last.place)
  }
  const before = turns.findLast(({ version }) => version !== now.active)
  const since = before?.place ?? -1
  return {
    versions: [...versions.values()].toSorted((a, b) => a.version - b.version),
    before: before?.version,
    unsure: unsure.filter(({ place }) => place > since).map(({ version }) => version),
  }
}

/** What a secret looked like after a change, in as far as its changes tell. */
class Shapes {
  readonly #name: string
  /** In hex, the last that was found first. */
  #settings: string[]
  #versions = ''
  #removed = ''
  readonly #existing = new Set<number>()

  constructor({ name, settings }: SecretState, homes: readonly number[]) {
    this.#name = name
    // That of the store itself is told only of what was elsewhere.
    const elsewhere = settingsWith(undefined, 1).settings
    const possible = [settings, undefined, settingsWith(elsewhere, undefined).settings]
    for (const home of homes) possible.push(settingsWith(undefined, home).settings)
    this.#settings = [
      ...new Set(possible.map((each) => Buffer.from(each ?? new Uint8Array()).toString('hex'))),
    ]
  }

  reserve(version: number): void {
    this.#removed = joinNumbers(this.#removed, String(version))
  }

  add(version: number): void {
    this.#removed = withoutNumber(this.#removed, version)
    this.#versions = joinNumbers(this.#versions, String(version))
    this.#existing.add(version)
  }

  remove(version: number): void {
    this.#versions = withoutNumber(this.#versions, version)
    this.#removed = joinNumbers(this.#removed, String(version))
    this.#existing.delete(version)
  }

  /** Returns what was there. */
  removeAll(): number[] {
    const all = [...this.#existing]
    this.#removed = joinNumbers(this.#removed, this.#versions)
    this.#versions = ''
    this.#existing.clear()
    return all
  }

  /** Which of `candidates` is active in what has the digest `state`; undefined where none makes that. */
  activeIn(
    incarnation: number,
    state: string | undefined,
    candidates: readonly number[],
  ): number | undefined {
    if (state === undefined) return undefined
    for (const settings of this.#settings) {
      for (const active of candidates) {
        const numbers = [incarnation, active, this.#versions, this.#removed]
        if (digestOfShape([...numbers, settings, this.#name].join(' ')) !== state) continue
        this.#settings = [settings, ...this.#settings.filter((each) => each !== settings)]
        return active
      }
    }
    return undefined
  }
}
