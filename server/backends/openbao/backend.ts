/**
 * A KV engine, version 2, of OpenBao as a backend. Below the prefix, `home/NAME/N` are leaves;
 * projections are below a tree of their own, `active` below the prefix unless a mirror says otherwise. The smallest policy in docs/guides/openbao.md is enough.
 */
import { timingSafeEqual } from 'node:crypto'
import type { Timers } from '../../../client/platform/timers.ts'
import { shared } from '../../platform/turns.ts'
import { base64 } from '../../../client/api/base64.ts'
import { isKept } from '../../../client/api/backends.ts'
import { quote, SottoError } from '../../../client/api/errors.ts'
import { isCleanPath, type OpenBaoAddress, OpenBaoConnection } from '../../openbao/connection.ts'
import type { Login } from '../../openbao/login.ts'
import { InlineSession } from '../../openbao/inline-session.ts'
import { type OpenBaoCalls, Session } from '../../openbao/session.ts'
import { NO_BRANCH } from '../../store/branch.ts'
import { canonical } from '../content.ts'
import type {
  Backend,
  BackendReport,
  BackendStatus,
  Claim,
  FoundClaim,
  Leaf,
  NewProjection,
  Owner,
  Projection,
  WrittenProjection,
} from '../contract.ts'
import { pathOf } from '../names.ts'
import { checkLeaf, checkContent } from './bounds.ts'
import { Kv, type Mount } from './kv.ts'
import { claimIn, type LeafData, leafIn } from './entries.ts'
import { markIn, noteOf } from './marks.ts'
import { expiring, probe } from './probe.ts'

/** Which OpenBao, where in it, and how to log in. */
export interface OpenBaoBackendOptions {
  readonly address: OpenBaoAddress
  readonly login: Login
  /** Whether each call logs in by itself. Not with a token. */
  readonly inline?: boolean
  /** Where the KV engine is mounted. Default: `secret`. */
  readonly mount?: string
  /** Below which everything is. Default: `sotto`. */
  readonly prefix?: string
  /** Below which path of the mount projections are; empty: the mount itself. Default: `active` below the prefix. */
  readonly projections?: string
  /** The origins, such as `https://bao.example.com:8200`, that a backend may be at. */
  readonly origins: readonly string[]
  /** Whose values these are. */
  readonly owner: Owner
  /** For one call with all its attempts, in milliseconds. */
  readonly waitMs?: number
  readonly timers?: Timers
  readonly random?: () => number
}

const LEAVES = 'home'

/** At the prefix itself, apart from every secret. */
const CLAIM = 'place'

/** An OpenBao that keeps values. */
export class OpenBaoBackend implements Backend {
  readonly place: string
  readonly #address: OpenBaoAddress
  readonly #owner: Owner
  readonly #session: OpenBaoCalls
  readonly #kv: Kv
  /** Projections. */
  readonly #shown: Kv
  readonly #prefix: string
  readonly #tree: string
  readonly #lookAtMount: () => Promise<Mount>
  /** Whether the mount was found to be of the right kind. */
  #isReady = false
  /** Whether a policy lets us mark projections; undefined until it was tried. */
  #marks: boolean | undefined

  /**
   * Makes no connection yet. Throws `backend_refused` for an address at an origin that is not allowed, and
   * `usage` or `unsafe` for one that cannot be used, and for a mount or prefix that is not a clean path.
   */
  constructor(options: OpenBaoBackendOptions) {
    const { address, login, mount = 'secret', prefix = 'sotto', origins, owner } = options
    const { projections = `${prefix}/active`, inline = false, waitMs, timers, random } = options
    const connection = new OpenBaoConnection(address, waitMs === undefined ? {} : { waitMs })
    checkOrigin(connection.origin, origins)
    checkPath('mount', mount)
    checkPath('path prefix', prefix)
    if (projections !== '') checkPath('path of a mirror', projections)
    this.#prefix = prefix
    this.#tree = projections
    this.#address = address
    this.#owner = owner
    const parts = { connection, ...(timers && { timers }), ...(random && { random }) }
    this.#session =
      inline && login.method !== 'token'
        ? new InlineSession({ ...parts, login })
        : new Session({ ...parts, login })
    this.#kv = new Kv(this.#session, mount, prefix)
    this.#shown = new Kv(this.#session, mount, projections)
    this.#lookAtMount = shared(() => this.#kv.mount())
    this.place = this.#kv.place
  }

  async writeLeaf(leaf: Leaf, value: Uint8Array): Promise<'written' | 'present'> {
    const attempted = `write ${describe(leaf)}`
    checkLeaf(value, attempted, this.place)
    await this.#ready()
    const { store, backend, branch } = this.#owner
    const gen = `${store}.${leaf.incarnation}.${backend}.${branch}`
    const leafData: LeafData = { value: base64(value), gen }
    const data = Buffer.from(JSON.stringify(leafData))
    const written = await this.#kv.write(leafPath(leaf), data, 0, attempted)
    data.fill(0)
    if (written?.expires !== undefined) throw expiring(attempted, this.place)
    if (written) return 'written'
    const found = leafIn(await this.#kv.read(leafPath(leaf), attempted), leaf, this.#owner)
    const same = found?.value && sameBytes(found.value, value)
    found?.value?.fill(0)
    if (same === true && found?.writtenBy === branch) return 'present'
    const other = same === true ? 'another backend or branch may have written it' : undefined
    const problem = found
      ? (found.problem ?? other ?? 'another value is there')
      : 'it was removed just now'
    throw new SottoError('conflict', `Cannot ${attempted} at ${this.place}: ${problem}`)
  }

  async readLeaf(leaf: Leaf): Promise<Buffer | undefined> {
    const attempted = `read ${describe(leaf)}`
    await this.#ready()
    const entry = await this.#kv.read(leafPath(leaf), attempted)
    const found = leafIn(entry, leaf, this.#owner)
    if (found?.problem === undefined) return found?.value
    const undelete = 'What was only deleted comes back with `bao kv undelete`.'
    const message = `Cannot ${attempted} at ${this.place}: ${found.problem}`
    const hint = entry?.data === undefined ? undelete : undefined
    throw new SottoError('backend_altered', message, { hint })
  }

  async removeLeaf(leaf: Leaf): Promise<void> {
    const attempted = `remove ${describe(leaf)}`
    await this.#ready()
    const entry = await this.#kv.read(leafPath(leaf), attempted)
    const found = leafIn(entry, leaf, this.#owner)
    if (found === undefined) return
    found.value?.fill(0)
    const { branch, former } = this.#owner
    // What was deleted no longer shows whose it was; only its writer asks to remove it.
    const problem = entry?.data && (found.problem ?? strange(found.writtenBy, [branch, ...former]))
    if (problem !== undefined) {
      throw new SottoError('conflict', `Cannot ${attempted} at ${this.place}: ${problem}`)
    }
    await this.#kv.remove(leafPath(leaf), attempted)
  }

  async leaves(name: string): Promise<number[]> {
    await this.#ready()
    const numbers: number[] = []
    const folder = `${LEAVES}/${pathOf(name)}`
    const listing = this.#kv.list(folder, `list the leaves of ${quote(name)}`)
    for await (const key of listing) if (/^[1-9]\d{0,9}$/.test(key)) numbers.push(Number(key))
    return numbers.toSorted((a, b) => a - b)
  }

  async readProjection(name: string): Promise<Projection | undefined> {
    await this.#ready()
    const entry = await this.#shown.read(this.#pathShown(name), `read ${quote(name)}`)
    if (entry === undefined) return undefined
    const mark = markIn(entry.notes, entry.revision)
    return {
      revision: entry.revision,
      ...(entry.data && { content: canonical(entry.data) }),
      ...(entry.expires !== undefined && { expires: entry.expires }),
      ...(mark && { mark }),
    }
  }

  async *projections(): AsyncIterable<string> {
    await this.#ready()
    // Not by recursion: someone else decides how deep it goes.
    for (const folders = ['']; folders.length > 0; ) {
      const folder = folders.pop() ?? ''
      for await (const key of this.#shown.list(folder, 'list what is shown')) {
        const path = folder === '' ? key : `${folder}/${key}`
        const below = path.endsWith('/') ? path.slice(0, -1) : undefined
        if (isKept(this.#prefix, this.#whole(below ?? path))) continue
        // A folder of a name that we never write is one entry of someone else, however much it holds.
        if (below !== undefined && isCleanPath(below)) folders.push(below)
        else yield path
      }
    }
  }

  async writeProjection(
    name: string,
    next: NewProjection,
    expected: number,
  ): Promise<WrittenProjection> {
    const attempted = `write ${quote(name)}`
    const path = this.#pathShown(name)
    checkContent(next.content, attempted, this.place)
    await this.#ready()
    const written = await this.#shown.write(path, next.content.bytes, expected, attempted)
    if (written) return { ...written, marked: await this.#mark(path, next, written.revision) }
    const found = await this.readProjection(name)
    const same = found?.content && sameBytes(found.content, next.content.bytes)
    found?.content?.fill(0)
    if (found && found.revision === expected + 1 && same === true) {
      const marked = found.mark !== undefined || (await this.#mark(path, next, found.revision))
      return { revision: found.revision, marked }
    }
    throw outdated(attempted, this.place, expected, found?.revision ?? 0)
  }

  async removeProjection(name: string, expected: number): Promise<void> {
    const attempted = `remove ${quote(name)}`
    await this.#ready()
    const found = await this.#shown.read(this.#pathShown(name), attempted)
    if (found === undefined) return
    const { revision } = found
    if (revision !== expected) throw outdated(attempted, this.place, expected, revision)
    await this.#shown.remove(this.#pathShown(name), attempted)
  }

  async identity(): Promise<string> {
    return (await this.#kv.mount()).accessor
  }

  async readClaim(): Promise<FoundClaim | undefined> {
    await this.#ready()
    const attempted = 'read whose the place is'
    const entry = await this.#kv.read(CLAIM, attempted)
    if (entry?.data === undefined) return entry && { revision: entry.revision }
    const claim = claimIn(entry.data)
    if (claim) return { revision: entry.revision, claim }
    const problem = `what is at ${quote(CLAIM)} below its prefix is not what Sotto writes`
    throw new SottoError('conflict', `Cannot ${attempted} at ${this.place}: ${problem}`)
  }

  async writeClaim(claim: Claim, expected: number): Promise<void> {
    const attempted = 'write whose the place is'
    await this.#ready()
    const data = Buffer.from(JSON.stringify(claim))
    if (await this.#kv.write(CLAIM, data, expected, attempted)) return
    const found = await this.readClaim()
    if (found?.claim?.record === claim.record && found.claim.backend === claim.backend) return
    throw outdated(attempted, this.place, expected, found?.revision ?? 0)
  }

  async test(): Promise<BackendReport> {
    this.#isReady = false
    const report = await probe(this.#kv, this.#address, this.#owner.store)
    this.#marks = report.marks
    return report
  }

  status(): BackendStatus {
    const { lastFailure, failure: _, ...status } = this.#session.status
    if (!lastFailure) return status
    const { kind, found } = lastFailure.failure
    const ofCredential = kind === 'credentials' || kind === 'exposed'
    return { ...status, lastFailure: { ms: lastFailure.ms, found, ofCredential } }
  }

  async close(): Promise<void> {
    await this.#session.close()
  }

  /** Checks the mount once: one of version 1 answers to the same paths, with another meaning. */
  async #ready(): Promise<void> {
    if (this.#isReady) return
    await this.#lookAtMount()
    this.#isReady = true
  }

  /** Where other readers see `name`, below the tree. Throws `conflict` where Sotto keeps something for itself. */
  #pathShown(name: string): string {
    const path = pathOf(name)
    if (!isKept(this.#prefix, this.#whole(path))) return path
    const message = `Cannot show ${quote(name)} at ${this.place}: its path is one that Sotto keeps for itself`
    throw new SottoError('conflict', message)
  }

  #whole(path: string): string {
    return this.#tree === '' ? path : `${this.#tree}/${path}`
  }

  /** Whether `revision` is marked now. What was written stays where that fails. */
  async #mark(path: string, { mark }: NewProjection, revision: number): Promise<boolean> {
    if (this.#marks === false) return false
    const { store, backend, branch } = this.#owner
    const note = noteOf({ ...mark, store, backend, branch }, revision)
    try {
      this.#marks = await this.#shown.note(path, note, 'mark what was written')
      return this.#marks
    } catch {
      return false
    }
  }
}

/** What is wrong with removing what the branch `found` wrote; undefined for nothing. */
function strange(found: string | undefined, own: readonly string[]): string | undefined {
  if (own.includes(found ?? NO_BRANCH)) return undefined
  return 'another branch of this store wrote it'
}

function leafPath({ name, version }: Leaf): string {
  return `${LEAVES}/${pathOf(name)}/${version}`
}

function describe({ name, version }: Leaf): string {
  return `version ${version} of ${quote(name)}`
}

function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && timingSafeEqual(one, other)
}

function outdated(attempted: string, place: string, expected: number, found: number): SottoError {
  return new SottoError(
    'conflict',
    `Cannot ${attempted} at ${place}: it has revision ${found} where ${expected} was expected`,
  )
}

function checkOrigin(origin: string, allowed: readonly string[]): void {
  if (allowed.includes(origin)) return
  throw new SottoError(
    'backend_refused',
    `Cannot use OpenBao at ${quote(origin)}: the configuration of this server does not allow it`,
    { hint: 'The operator of the server allows an origin with `--backend-origin`.' },
  )
}

function checkPath(what: string, path: string): void {
  if (isCleanPath(path)) return
  throw new SottoError('usage', `Cannot use ${quote(path)} as the ${what} in OpenBao`, {
    hint: 'It is one or more names of plain characters, with a slash between them.',
  })
}
