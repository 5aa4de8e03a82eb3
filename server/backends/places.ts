/**
 * Where backends keep what they have. Two that are one place would take each other's values for their own, so
 * they cannot both exist; and at each place stands which start of which server wrote there last, so that a
 * server which finds a start that it never made writes there no more.
 */
import { isDeepStrictEqual } from 'node:util'
import { mirrorTree, type OpenBaoConfig } from '../../client/api/backends.ts'
import { asSottoError, quote, SottoError } from '../../client/api/errors.ts'
import { type Adoption, notAdopted } from '../store/adoption.ts'
import type { Backend, BackendReader, Claim, FoundClaim, Owner } from './contract.ts'
import type { BackendRecord } from './registry.ts'

/** A backend, or what is to become one. */
export type Placed = Pick<BackendRecord, 'id' | 'name' | 'config'>

/** What places are told apart with. */
export interface PlacesParts {
  /** Every backend, whose counts may be old. */
  readonly all: () => Promise<readonly BackendRecord[]>
  /** What the place of a backend says that it is. */
  readonly identity: (placed: Placed) => Promise<string>
  readonly owner: Pick<Owner, 'store' | 'branch' | 'former'>
  readonly adoption: Adoption
  /** Whether the start with that record is one of this store's own. */
  readonly knows: (record: string) => Promise<boolean>
}

/** What of a config says where a backend is. */
const where = ['url', 'mount', 'pathPrefix', 'namespace'] as const

/** What this server would do at a place, to follow "Cannot". Callers see it, so that it names no backend. */
const WRITE = 'write to this backend'

/** The places of the backends of one store. */
export class Places {
  readonly #parts: PlacesParts

  constructor(parts: PlacesParts) {
    this.#parts = parts
  }

  /**
   * Rejects with `backend_exists` where `placed` would be at the place of another backend, or within it, or
   * around it: by what both places say of themselves, and by their addresses where one does not answer. With
   * `before`, what it was set up with, only where that changes; then also with `backend_in_use` where values
   * are kept there and the new address is shown to lead elsewhere.
   */
  async refuseShared(placed: Placed, before?: BackendRecord): Promise<void> {
    const isSame = before && where.every((field) => before.config[field] === placed.config[field])
    if (isSame && isDeepStrictEqual(treesOf(before.config), treesOf(placed.config))) return
    if (before && before.secrets + before.orphans > 0) await this.#refuseElsewhere(placed, before)
    if ((await this.#sharing(placed)).length === 0) return
    // Not which: a caller who creates backends may not see the others.
    const message = `Cannot use that place for backend ${quote(placed.name)}: another backend is there already`
    throw new SottoError('backend_exists', message, {
      hint: 'Give another mount, or a path prefix and a path of the mirror that neither hold those of the other nor lie within them.',
    })
  }

  /** Rejects with `backend_refused` unless two backends are shown to be different places; undefined is the store itself. */
  async demandDistinct(one: number | undefined, other: number | undefined): Promise<void> {
    if (one === undefined || other === undefined) return
    const all = await this.#parts.all()
    const found = [one, other].flatMap((id) => all.find((each) => each.id === id) ?? [])
    const [a, b] = found
    if (a === undefined || b === undefined || !overlap(a.config, b.config)) return
    if ((await this.#parts.identity(a)) !== (await this.#parts.identity(b))) return
    const message = `Cannot move between backends ${quote(a.name)} and ${quote(b.name)}: they are one place`
    throw new SottoError('backend_refused', message, {
      hint: 'To give a backend another address, change it with `sotto backend apply`.',
    })
  }

  /**
   * Makes sure that this server may write to the place of `record`, and that it says so. Rejects with
   * `not_adopted` where another server of this store wrote there, with `backend_refused` where another
   * store or backend did, and as `backend`.
   */
  async claim(record: Placed, backend: Backend): Promise<void> {
    const found = await backend.readClaim()
    if (found?.claim && this.#isCurrent(found.claim, record)) return
    const problem =
      (await this.#stands(record, WRITE)) ?? (await this.#problem(found?.claim, record, WRITE))
    if (problem) throw problem
    await this.#write(record, backend, found)
  }

  /**
   * The same for the operator who adopts: also takes a place over where another server of this store wrote
   * last. Rejects with `backend_refused` where another store or another backend did.
   */
  async takeOver(record: Placed, backend: Backend): Promise<void> {
    const found = await backend.readClaim()
    const act = 'take over the place of this backend'
    const problem =
      (await this.#stands(record, act)) ??
      (found?.claim && (await this.#stranger(found.claim, record, act)))
    if (problem) throw problem
    await this.#write(record, backend, found)
  }

  /** Whose the place of `record` is: undefined where this server may write there, or takes it over by adopting. */
  async whose(record: Placed, backend: BackendReader): Promise<SottoError | undefined> {
    return this.#problem((await backend.readClaim())?.claim, record, WRITE)
  }

  /** What is wrong with the place of a backend that another one had first. */
  async #stands(record: Placed, act: string): Promise<SottoError | undefined> {
    const isShared = (await this.#sharing(record)).some(({ id }) => id < record.id)
    return isShared ? shared(act) : undefined
  }

  async #refuseElsewhere(placed: Placed, before: BackendRecord): Promise<void> {
    const identities = [this.#identity(before), this.#identity(placed)]
    const [old, next] = await Promise.all(identities)
    if (old === undefined || next === undefined || old === next) return
    const message = `Cannot change the address of backend ${quote(before.name)}: what it keeps is not there`
    throw new SottoError('backend_in_use', message, {
      hint: 'Set up another backend, and migrate the secrets to it.',
    })
  }

  async #problem(
    claim: Claim | undefined,
    record: Placed,
    act: string,
  ): Promise<SottoError | undefined> {
    if (claim === undefined) return undefined
    const stranger = await this.#stranger(claim, record, act)
    if (stranger) return stranger
    const { owner, knows } = this.#parts
    if (claim.branch === owner.branch && (await knows(claim.record))) return undefined
    const whose =
      claim.branch === owner.branch
        ? 'a copy of this store'
        : `branch ${claim.branch} of this store`
    return notAdopted(act, `start ${claim.start} of ${whose}, another server, wrote there`)
  }

  /** What is wrong with a claim of another store or backend. One of a backend that was deleted is none. */
  async #stranger(claim: Claim, { id }: Placed, act: string): Promise<SottoError | undefined> {
    const { owner, all } = this.#parts
    if (claim.store !== owner.store) {
      const found = `Cannot ${act}: store ${claim.store} keeps its values there`
      return new SottoError('backend_refused', found, {
        hint: 'Give each store a mount or a path prefix of its own.',
      })
    }
    if (claim.backend === id) return undefined
    const exists = (await all()).some((each) => each.id === claim.backend)
    return exists ? shared(act) : undefined
  }

  async #write({ id }: Placed, backend: Backend, found: FoundClaim | undefined): Promise<void> {
    const { owner, adoption } = this.#parts
    const { number: start, record } = adoption.start
    const claim = { store: owner.store, backend: id, branch: owner.branch, start, record }
    await backend.writeClaim(claim, found?.revision ?? 0)
  }

  #isCurrent({ store, backend, branch, record }: Claim, { id }: Placed): boolean {
    const { owner, adoption } = this.#parts
    const isOwn = store === owner.store && branch === owner.branch && backend === id
    return isOwn && record === adoption.start.record
  }

  /** The other backends at the place of `placed`, in the order of their ids. */
  async #sharing(placed: Placed): Promise<BackendRecord[]> {
    const { all } = this.#parts
    const near = (await all()).filter(
      ({ id, config }) => id !== placed.id && overlap(config, placed.config),
    )
    if (near.length === 0) return []
    const own = await this.#identity(placed)
    const others = await Promise.all(near.map((each) => this.#identity(each)))
    return near.filter((each, at) => {
      const other = others[at]
      if (own !== undefined && other !== undefined) return own === other
      return isSameAddress(each.config, placed.config)
    })
  }

  async #identity(placed: Placed): Promise<string | undefined> {
    try {
      return await this.#parts.identity(placed)
    } catch (error) {
      const { code } = asSottoError(error)
      if (code === 'backend_unavailable' || code === 'backend_refused') return undefined
      throw error
    }
  }
}

function shared(act: string): SottoError {
  const message = `Cannot ${act}: another backend of this store is at the same place`
  return new SottoError('backend_refused', message, {
    hint: 'Migrate the secrets of one of the two to the store, and delete it.',
  })
}

/** Whether a tree of one is a tree of the other, or lies within it. */
function overlap(one: OpenBaoConfig, other: OpenBaoConfig): boolean {
  return treesOf(one).some((tree) =>
    treesOf(other).some((its) => isWithin(tree, its) || isWithin(its, tree)),
  )
}

/** Below which paths of the mount it writes. */
function treesOf(config: OpenBaoConfig): string[] {
  return config.mirror ? [config.pathPrefix, mirrorTree(config)] : [config.pathPrefix]
}

function isWithin(tree: string, around: string): boolean {
  return around === '' || `${tree}/`.startsWith(`${around}/`)
}

/** Whether both are one mount, as far as their addresses tell: a namespace may be part of a path. */
function isSameAddress(one: OpenBaoConfig, other: OpenBaoConfig): boolean {
  return mountOf(one) === mountOf(other)
}

function mountOf({ url, namespace, mount }: OpenBaoConfig): string {
  return `${URL.parse(url)?.origin} ${namespace === undefined ? '' : `${namespace}/`}${mount}`
}
