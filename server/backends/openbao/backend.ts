/**
 * A KV engine, version 2, of OpenBao or Vault as a backend. Below the prefix, `home/NAME/N` are leaves and
 * `active/NAME` projections. The smallest policy in docs/backends.md is enough.
 */
import { timingSafeEqual } from 'node:crypto'
import type { Timers } from '../../platform/timers.ts'
import { quote, SottoError } from '../../../client/api/errors.ts'
import { isCleanPath, type OpenBaoAddress, OpenBaoConnection } from '../../openbao/connection.ts'
import type { Login } from '../../openbao/login.ts'
import { Session } from '../../openbao/session.ts'
import { canonical } from '../content.ts'
import type {
  Backend,
  BackendReport,
  BackendStatus,
  Leaf,
  NewProjection,
  Projection,
  WrittenProjection,
} from '../contract.ts'
import { pathOf } from '../names.ts'
import { checkLeaf, checkContent } from './bounds.ts'
import { type Entry, Kv, type Mount } from './kv.ts'
import { markIn, noteOf } from './marks.ts'
import { expiring, probe } from './probe.ts'

/** Which OpenBao, where in it, and how to log in. */
export interface OpenBaoBackendOptions {
  readonly address: OpenBaoAddress
  readonly login: Login
  /** Where the KV engine is mounted. Default: `secret`. */
  readonly mount?: string
  /** Below which everything is. Default: `sotto`. */
  readonly prefix?: string
  /** The origins, such as `https://bao.example.com:8200`, that a backend may be at. */
  readonly origins: readonly string[]
  /** The id of the store whose values these are. */
  readonly storeId: string
  /** For one call with all its attempts, in milliseconds. */
  readonly waitMs?: number
  readonly timers?: Timers
  readonly random?: () => number
}

const LEAVES = 'home'
const PROJECTIONS = 'active'

/** A leaf as OpenBao keeps it. */
interface LeafData {
  /** Base64. */
  readonly value: string
  /** Whose it is: the store and the incarnation. */
  readonly gen: string
}

/** What is in the place of a leaf. */
type FoundLeaf =
  | { readonly value: Buffer; readonly problem?: undefined }
  | { readonly problem: string; readonly value?: undefined }

const noLeaf: FoundLeaf = { problem: 'what is there is not a leaf' }

/** An OpenBao that keeps values. */
export class OpenBaoBackend implements Backend {
  readonly place: string
  readonly #address: OpenBaoAddress
  readonly #storeId: string
  readonly #session: Session
  readonly #kv: Kv
  /** The mount, once it was found to be of the right kind. */
  #mount: Promise<Mount> | undefined
  /** Whether a policy lets us mark projections; undefined until it was tried. */
  #marks: boolean | undefined

  /**
   * Makes no connection yet. Throws `backend_refused` for an address at an origin that is not allowed, and
   * `usage` or `unsafe` for one that cannot be used, and for a mount or prefix that is not a clean path.
   */
  constructor(options: OpenBaoBackendOptions) {
    const { address, login, mount = 'secret', prefix = 'sotto', origins, storeId } = options
    const { waitMs, timers, random } = options
    const connection = new OpenBaoConnection(address, waitMs === undefined ? {} : { waitMs })
    checkOrigin(connection.origin, origins)
    checkPath('mount', mount)
    checkPath('path prefix', prefix)
    this.#address = address
    this.#storeId = storeId
    this.#session = new Session({
      connection,
      login,
      ...(timers && { timers }),
      ...(random && { random }),
    })
    this.#kv = new Kv(this.#session, mount, prefix)
    this.place = this.#kv.place
  }

  async writeLeaf(leaf: Leaf, value: Uint8Array): Promise<'written' | 'present'> {
    const attempted = `write ${describe(leaf)}`
    checkLeaf(value, attempted, this.place)
    await this.#ready()
    const leafData: LeafData = { value: base64(value), gen: this.#gen(leaf) }
    const data = Buffer.from(JSON.stringify(leafData))
    const written = await this.#kv.write(leafPath(leaf), data, 0, attempted)
    data.fill(0)
    if (written?.expires !== undefined) throw expiring(attempted, this.place)
    if (written) return 'written'
    const found = this.#leafIn(await this.#kv.read(leafPath(leaf), attempted), leaf)
    const same = found?.value && sameBytes(found.value, value)
    found?.value?.fill(0)
    if (same === true) return 'present'
    const problem = found ? (found.problem ?? 'another value is there') : 'it was removed just now'
    throw new SottoError('conflict', `Cannot ${attempted} at ${this.place}: ${problem}`)
  }

  async readLeaf(leaf: Leaf): Promise<Buffer | undefined> {
    const attempted = `read ${describe(leaf)}`
    await this.#ready()
    const entry = await this.#kv.read(leafPath(leaf), attempted)
    const found = this.#leafIn(entry, leaf)
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
    const found = this.#leafIn(entry, leaf)
    if (found === undefined) return
    found.value?.fill(0)
    // What was deleted no longer shows whose it was; only its writer asks to remove it.
    if (found.problem !== undefined && entry?.data) {
      throw new SottoError('conflict', `Cannot ${attempted} at ${this.place}: ${found.problem}`)
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
    const entry = await this.#kv.read(projectionPath(name), `read ${quote(name)}`)
    if (entry === undefined) return undefined
    const mark = markIn(entry.notes, entry.revision)
    return {
      revision: entry.revision,
      ...(entry.data && { content: canonical(entry.data) }),
      ...(entry.expires !== undefined && { expires: entry.expires }),
      ...(mark && { mark }),
    }
  }

  async writeProjection(
    name: string,
    next: NewProjection,
    expected: number,
  ): Promise<WrittenProjection> {
    const attempted = `write ${quote(name)}`
    const path = projectionPath(name)
    checkContent(next.content, attempted, this.place)
    await this.#ready()
    const written = await this.#kv.write(path, next.content.bytes, expected, attempted)
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
    const found = await this.#kv.read(projectionPath(name), attempted)
    if (found === undefined) return
    const { revision } = found
    if (revision !== expected) throw outdated(attempted, this.place, expected, revision)
    await this.#kv.remove(projectionPath(name), attempted)
  }

  async identity(): Promise<string> {
    return (await this.#kv.mount()).accessor
  }

  async test(): Promise<BackendReport> {
    this.#mount = undefined
    const report = await probe(this.#kv, this.#address, this.#storeId)
    this.#marks = report.marks
    return report
  }

  status(): BackendStatus {
    return this.#session.status
  }

  async close(): Promise<void> {
    await this.#session.close()
  }

  /** Checks the mount once: one of version 1 answers to the same paths, with another meaning. */
  async #ready(): Promise<void> {
    this.#mount ??= this.#kv.mount().catch((error: unknown) => {
      this.#mount = undefined
      throw error
    })
    await this.#mount
  }

  /** Whether `revision` is marked now. What was written stays where that fails. */
  async #mark(path: string, { mark }: NewProjection, revision: number): Promise<boolean> {
    if (this.#marks === false) return false
    const note = noteOf({ ...mark, store: this.#storeId }, revision)
    try {
      this.#marks = await this.#kv.note(path, note, 'mark what was written')
      return this.#marks
    } catch {
      return false
    }
  }

  /** The value in `entry`, or what is wrong with it; undefined where there is no entry. */
  #leafIn(entry: Entry | undefined, leaf: Leaf): FoundLeaf | undefined {
    if (entry === undefined) return undefined
    if (entry.data === undefined) return { problem: 'someone deleted it there' }
    const { value, gen } = entry.data as Partial<LeafData>
    if (typeof value !== 'string' || typeof gen !== 'string') return noLeaf
    const bytes = Buffer.from(value, 'base64')
    if (bytes.toString('base64') !== value) return noLeaf
    if (gen === this.#gen(leaf)) return { value: bytes }
    bytes.fill(0)
    return { problem: 'what is there is of another store, or of an earlier secret of that name' }
  }

  #gen({ incarnation }: Leaf): string {
    return `${this.#storeId}.${incarnation}`
  }
}

function leafPath({ name, version }: Leaf): string {
  return `${LEAVES}/${pathOf(name)}/${version}`
}

function projectionPath(name: string): string {
  return `${PROJECTIONS}/${pathOf(name)}`
}

function describe({ name, version }: Leaf): string {
  return `version ${version} of ${quote(name)}`
}

function base64(value: Uint8Array): string {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64')
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
