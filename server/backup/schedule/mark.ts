/**
 * The mark that a server leaves in a target: a small object with the store, its branch and the start of the server
 * that put it. Without it an empty mount point would pass for the target, and with it a server finds that another
 * one with a copy of its store backs up to the same place.
 */
import { hash, randomBytes } from 'node:crypto'
import { asSottoError, quote, SottoError } from '../../../client/api/errors.ts'
import type { Keyring } from '../../crypto/keyring.ts'
import type { Adoption, Start } from '../../store/adoption.ts'
import { ByteReader } from '../byte-reader.ts'
import type { BackupTarget, TargetObject } from '../targets/target.ts'
import type { BackupMemory, HeldTarget } from './memory.ts'

/** What marks are put and found with. */
export interface MarkParts {
  readonly store: string
  readonly branch: string
  readonly adoption: Pick<Adoption, 'start'>
  readonly keyring: Pick<Keyring, 'newFileKey' | 'openFileKey'>
  readonly target: BackupTarget
  readonly memory: BackupMemory
}

interface Mark extends TargetObject {
  readonly branch: string
  readonly number: number
}

const pattern = /^sotto-target-([0-9a-f]{32})-([0-9a-f]{16})-s(\d{1,15})-[0-9a-f]{16}$/
/** More bytes than a mark has. */
const MAX_BYTES = 4096
/** How many marks that are no longer there are known again, should somebody put them back. */
const MOST_KNOWN = 500

/** The mark of one server. */
export class TargetMark {
  readonly #parts: MarkParts
  #given: string | undefined
  /** Whether a mark is sealed under the root key, by name. */
  readonly #genuine = new Map<string, boolean>()

  constructor(parts: MarkParts) {
    this.#parts = parts
  }

  /**
   * Makes sure that `objects`, which the target lists, are those of the target that was used before, and that no
   * other server uses it; then the mark is there. Resolves with the names of marks that are none. Rejects with
   * `target_unavailable` where it is another target, or another server uses it.
   */
  async hold(objects: readonly TargetObject[]): Promise<string[]> {
    const { memory, target, store } = this.#parts
    const before = memory.held
    const marks = objects.flatMap((object): Mark[] => {
      const [, of, branch = '', number] = pattern.exec(object.name) ?? []
      return of === store ? [{ ...object, branch, number: Number(number) }] : []
    })
    const takes = before?.takes === true
    // Another mark than before: who knew that one is to stop.
    if (takes) this.#given = nameOf(this.#parts, randomBytes(8).toString('hex'))
    const unknown = marks.filter((mark) => !this.#isKnown(mark, before))
    const others: Mark[] = []
    const strangers: string[] = []
    for (const mark of unknown) {
      if (await this.#isGenuine(mark)) others.push(mark)
      else strangers.push(mark.name)
    }
    const [other] = others
    if (other && !takes) throw this.#inUse(other)
    if (!takes) this.#refuseOther(objects, before)
    const mine = before?.mark === undefined || before.mark === this.#name ? [] : [before.mark]
    const accepted = [...(before?.accepted ?? []), ...mine, ...others.map(({ name }) => name)]
    const kept = accepted.slice(-MOST_KNOWN)
    await this.#put(marks, { target: target.description, accepted: kept, takes: false }, before)
    return strangers
  }

  /** The next run takes the target as it is then. Rejects where that cannot be noted. */
  async take(): Promise<void> {
    const { memory, target } = this.#parts
    const { accepted, mark } = memory.held ?? { accepted: [] }
    const kept = { accepted, ...(mark !== undefined && { mark }) }
    await memory.noteHeld({ ...kept, target: target.description, takes: true })
  }

  /** Where neither the mark is nor any backup that is known, it is not the target that was used. */
  #refuseOther(objects: readonly TargetObject[], before: HeldTarget | undefined): void {
    const { memory, target } = this.#parts
    const used = before !== undefined || memory.newest !== undefined
    const backups = [...memory.own, memory.newest, memory.proven].map((each) => each?.name)
    const known = new Set([before?.mark, ...backups])
    if (!used || objects.some(({ name }) => known.has(name))) return
    throw new SottoError(
      'target_unavailable',
      `Cannot back up to ${quote(target.description)}: it is not the target that was used, since none of what was there is`,
      {
        hint: 'Look whether the volume is mounted, and at --backup-to. If it is the right one, `sotto backup adopt` has it used as it is.',
      },
    )
  }

  get #name(): string {
    return (this.#given ??= nameOf(this.#parts, idOf(this.#parts.adoption.start)))
  }

  /** Whether a mark is of this start, or of one before it of this very server, or was accepted. */
  #isKnown({ name, branch, number }: Mark, before: HeldTarget | undefined): boolean {
    if (name === this.#name || name === before?.mark || before?.accepted.includes(name)) return true
    const isEarlier = branch === this.#parts.branch && number < this.#parts.adoption.start.number
    return before?.mark === undefined && isEarlier
  }

  async #isGenuine({ name, size }: Mark): Promise<boolean> {
    const before = this.#genuine.get(name)
    if (before !== undefined) return before
    let genuine = false
    try {
      const bytes = size > MAX_BYTES ? Buffer.alloc(0) : await read(this.#parts.target, name)
      const { seal } = JSON.parse(bytes.toString()) as { readonly seal: string }
      this.#parts.keyring.openFileKey(hash('sha256', name), Buffer.from(seal, 'base64'))
      genuine = true
    } catch (error) {
      // Whoever can write to the target can put anything there. What cannot be read is looked at again.
      if (asSottoError(error).code === 'target_unavailable') return false
    }
    this.#genuine.set(name, genuine)
    return genuine
  }

  async #put(
    marks: readonly Mark[],
    held: HeldTarget,
    before: HeldTarget | undefined,
  ): Promise<void> {
    const { target, memory, keyring, store, branch, adoption } = this.#parts
    const name = this.#name
    const isThere = marks.some((mark) => mark.name === name)
    if (!isThere) {
      const seal = keyring.newFileKey(hash('sha256', name)).sealed.toString('base64')
      const bytes = Buffer.from(
        `${JSON.stringify({ store, branch, start: adoption.start.number, seal })}\n`,
      )
      await target.put({ name, size: bytes.length, content: pieceOf(bytes) })
    }
    if (isThere && before?.mark === name && !before.takes) return
    await memory.noteHeld({ ...held, mark: name })
    // That of the start before; it may stay where that is not permitted.
    if (before?.mark !== undefined && before.mark !== name) {
      await target.delete(before.mark).catch(() => {})
    }
  }

  #inUse({ branch, number, name }: Mark): SottoError {
    const { target } = this.#parts
    const whose =
      branch === this.#parts.branch
        ? `a server that was started on a copy of this store (its start ${number})`
        : `branch ${branch} of this store`
    return new SottoError(
      'target_unavailable',
      `Cannot back up to ${quote(target.description)}: ${whose} backs up there, by its mark ${name}`,
      {
        hint: 'Stop one of the two. If this is the one that stays, `sotto backup adopt` has it use the target.',
      },
    )
  }
}

function nameOf({ store, branch, adoption }: MarkParts, id: string): string {
  return `sotto-target-${store}-${branch}-s${adoption.start.number}-${id}`
}

/** 16 hex digits that no other start has: the beginning of the hash of its record. */
function idOf({ record }: Start): string {
  return record.slice(record.indexOf(' ') + 1).slice(0, 16)
}

/** As much of an object as a mark has: since it was listed, others may have put something else in its place. */
async function read(target: BackupTarget, name: string): Promise<Buffer> {
  await using reader = new ByteReader(await target.get(name))
  return await reader.take(MAX_BYTES)
}

async function* pieceOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
