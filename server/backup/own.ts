/**
 * Which backups in a target are those of a store, by what is inside them. Whoever can write to the target can give
 * any name to any bytes: only what opens under the root key of the store counts, and its order is that of revisions.
 */
import type { Keyring } from '../crypto/keyring.ts'
import { described } from '../../client/platform/system-error.ts'
import type { StoreIdentity } from '../store/contract.ts'
import type { Manifest } from './manifest.ts'
import { type NamedBackup, namedBackups } from './name.ts'
import { OpenedBackup } from './open.ts'
import { keyringKeys, objectSource } from './source.ts'
import type { BackupTarget, TargetObject } from './targets/target.ts'

/** A backup that opened, and what is inside it. */
export interface OwnBackup {
  readonly name: string
  /** In bytes. */
  readonly size: number
  /** As `TargetObject` has it. */
  readonly version?: string | undefined
  /** UTC, by the clock that there was. */
  readonly created: string
  readonly branch: string
  readonly revision: number
  /** The id of the last audit record in it, 0 for none: of one revision, a later backup has a higher one. */
  readonly logged: number
  /** The backup that has the audit records before. */
  readonly follows: string | null
}

/** What was found in a target. */
export interface Survey {
  /** The backups of the branch, the oldest first. */
  readonly own: readonly OwnBackup[]
  /** Those of other branches of the store. */
  readonly others: readonly OwnBackup[]
  /** What has the name of a backup of the store and is none, and why. */
  readonly strangers: readonly Stranger[]
}

/** Something that has the name of a backup and is none. */
export interface Stranger {
  readonly name: string
  readonly why: string
  /** Whether it is none as long as its bytes are the same. */
  readonly lasting: boolean
}

/** What is looked at, and what opens it. */
export interface OwnParts {
  readonly target: BackupTarget
  readonly keyring: Keyring
  readonly identity: StoreIdentity
  /** Those that opened before: under an earlier root key, it may be. */
  readonly known?: readonly OwnBackup[]
}

/** How many names that were not looked into before are opened to find the newest backup. */
const TRIES = 20

/** Looks into each backup once, as long as its bytes are the same. */
export class OwnBackups {
  readonly #parts: OwnParts
  readonly #found = new Map<string, OwnBackup | Stranger>()
  readonly #known: Map<string, OwnBackup>
  readonly #expected: Set<string>

  constructor(parts: OwnParts) {
    this.#parts = parts
    this.#known = new Map((parts.known ?? []).map((each) => [each.name, each]))
    this.#expected = new Set(this.#known.keys())
    for (const each of parts.known ?? []) this.#found.set(keyOf(each), each)
  }

  /** The backup `name` is looked into however many others there seem to be. */
  expect(name: string): void {
    this.#expected.add(name)
  }

  /** Looks into every backup of the store among `objects`. What cannot be read is none. */
  async survey(objects: readonly TargetObject[], signal?: AbortSignal): Promise<Survey> {
    const opened: OwnBackup[] = []
    const strangers: Stranger[] = []
    for (const object of this.#named(objects)) {
      signal?.throwIfAborted()
      const found = await this.#look(object)
      if ('why' in found) strangers.push(found)
      else opened.push(found)
    }
    const { branch } = this.#parts.identity
    const [own, others] = [true, false].map((is) =>
      opened.filter((each) => (each.branch === branch) === is).toSorted(byOrder),
    ) as [OwnBackup[], OwnBackup[]]
    return { own, others, strangers }
  }

  /** The newest backup of the branch; undefined where none of the newest names is one. */
  async newest(objects: readonly TargetObject[]): Promise<OwnBackup | undefined> {
    const { branch } = this.#parts.identity
    let best: OwnBackup | undefined
    let tries = TRIES
    // A name that is not that of what is inside does not open, so the highest revision is the first that opens.
    for (const object of this.#named(objects).toReversed()) {
      if (object.revision < (best?.revision ?? 0)) break
      const isKnown = this.#found.has(keyOf(object)) || this.#expected.has(object.name)
      if (!isKnown && tries-- <= 0) continue
      const found = await this.#look(object)
      if ('why' in found || found.branch !== branch) continue
      if (best === undefined || byOrder(best, found) < 0) best = found
    }
    return best
  }

  /** The first backup of the day of `newest`: what those of that day follow. */
  async firstOfDay(objects: readonly TargetObject[], newest: OwnBackup): Promise<OwnBackup> {
    const day = newest.created.slice(0, 10)
    const named = this.#named(objects).filter(({ created }) => created.slice(0, 10) === day)
    for (const object of named.slice(0, TRIES)) {
      const found = await this.#look(object)
      if (!('why' in found) && found.branch === newest.branch) return found
    }
    return newest
  }

  /** By revision, then by date, the oldest first, as their names have it. */
  #named(objects: readonly TargetObject[]): (TargetObject & NamedBackup)[] {
    return namedBackups(objects, this.#parts.identity.id)
  }

  async #look(object: TargetObject & NamedBackup): Promise<OwnBackup | Stranger> {
    const before = this.#found.get(keyOf(object))
    if (before) return before
    const found = await this.#open(object)
    // The root key may be replaced before this is looked into again, as what was just put is once it is listed.
    if (!('why' in found)) this.#known.set(found.name, found)
    // What could not be read may be read the next time.
    if (!('why' in found) || found.lasting) this.#found.set(keyOf(object), found)
    return found
  }

  async #open(object: TargetObject): Promise<OwnBackup | Stranger> {
    const { name, size } = object
    const { target, keyring } = this.#parts
    try {
      await using opened = await OpenedBackup.open(
        objectSource(target, object),
        keyringKeys(keyring),
      )
      return ownOf(object, opened.manifest)
    } catch (error) {
      const { code, message } = described(error)
      const known = this.#known.get(name)
      if (code === 'store_foreign' && known?.size === size) {
        return { ...known, version: object.version }
      }
      return { name, why: message, lasting: code === 'backup_damaged' || code === 'store_foreign' }
    }
  }
}

/** What is inside a backup with that manifest, which lies in a target as `object`. */
export function ownOf(object: TargetObject, { created, store, log, follows }: Manifest): OwnBackup {
  const { branch, revision } = store
  return { ...object, created, branch, revision, logged: log?.last.id ?? 0, follows }
}

/** The order of backups of one branch: by revision, then by the audit log. */
export function byOrder(a: OwnBackup, b: OwnBackup): number {
  return a.revision - b.revision || a.logged - b.logged || (a.name < b.name ? -1 : 1)
}

/** Whether `backup` is later than one that is known, whatever their dates. */
export function isLater(
  backup: Pick<OwnBackup, 'revision' | 'logged'>,
  {
    revision = -1,
    logged = -1,
  }: { readonly revision?: number | undefined; readonly logged?: number | undefined },
): boolean {
  return backup.revision > revision || (backup.revision === revision && backup.logged > logged)
}

function keyOf({ name, size, version = '' }: TargetObject): string {
  return `${name} ${size} ${version}`
}
