/** What a server told of the secrets of a store, and what comes of it. */
import type { Change } from '../watch.ts'
import type { Contents } from './contents.ts'
import { isOlder, type Position, positionOf } from './position.ts'
import { denied, notFound, type Renewer, rolledBack } from './renewer.ts'
import type { HeldSecret } from './secret.ts'
import type { ToldChanges } from './watcher.ts'

/** Takes what is told. */
export class Told {
  readonly #contents: Contents
  /** Names the server in messages. */
  readonly #server: string
  #position: Position | undefined

  constructor(contents: Contents, server: string) {
    this.#contents = contents
    this.#server = server
  }

  /** How far the server was when it told last; undefined where it never did. */
  get position(): Position | undefined {
    return this.#position
  }

  /** One change. A secret that is denied counts as that at once. */
  change({ Name, Denied }: Change, at: string | undefined): void {
    const position = positionOf(at)
    if (position && !isOlder(position, this.#position)) this.#position = position
    const held = this.#contents.find(Name)
    if (held && Denied) this.#contents.refuse(held, denied(Name))
  }

  /**
   * All changes up to `at` were told: gets what is not held. Rejects with what that failed of, and with `rolled_back` where
   * the server told of more before.
   */
  async all(told: ToldChanges, at: string | undefined, renewer: Renewer): Promise<void> {
    const position = positionOf(at)
    if (isOlder(position, this.#position)) throw rolledBack(this.#server)
    this.#position = position
    const [failure] = await renewer.renew([...this.#toRenew(told, position)])
    if (failure) throw failure
    this.#contents.confirm()
  }

  #toRenew({ changes, compared }: ToldChanges, position: Position | undefined): Set<HeldSecret> {
    this.#refuseUntold({ changes, compared })
    const toRenew = new Set<HeldSecret>()
    for (const { Name, Version, Denied } of changes) {
      const held = this.#contents.find(Name)
      if (!held || Denied) continue
      const isOfBranch = held.at?.branch === position?.branch
      if (Version === 0) this.#contents.refuse(held, notFound(Name))
      else if (Version === held.value.Version && isOfBranch) {
        this.#contents.take(held, undefined, position)
      } else toRenew.add(held)
    }
    // Nothing is told of a version whose number is the same: on another branch, it may be of another value.
    for (const held of this.#contents.all()) {
      if (!held.refusal && held.at?.branch !== position?.branch) toRenew.add(held)
    }
    return toRenew
  }
  /** Of what was denied, and is neither denied any more nor there, nothing is told. */
  #refuseUntold({ changes, compared }: ToldChanges): void {
    const told = new Set(changes.map(({ Name }) => Name))
    for (const [name, version] of compared ?? []) {
      const held = this.#contents.find(name)
      const isDenied = version === 0 && held?.refusal?.code === 'denied'
      if (isDenied && !told.has(name)) this.#contents.refuse(held, notFound(name))
    }
  }
}
