/**
 * Verifies that a store was not altered: every change has its MAC or was verified at a start before, none is missing,
 * and what is in the store is what the newest of them led to.
 */
import { createHash, type Hash, timingSafeEqual } from 'node:crypto'
import { quote, type SottoError } from '../../client/api/errors.ts'
import type {
  ChangeRows,
  NewestChange,
  NewestStates,
  Restored,
  RevisionMac,
  Store,
  StoredBackend,
  StoredChange,
  StoredRotation,
  StoredStanding,
} from '../store/contract.ts'
import {
  altered,
  covered,
  demandMac,
  digestOfBackend,
  digestOfKeys,
  digestOfRotation,
  digestOfShape,
  type MacKeys,
  NO_BACKEND,
  numberOf,
  withDefault,
} from './mac-fields.ts'

/** Up to which revision changes were verified, and the digest of their rows. */
export type Checked = Required<Pick<StoredStanding, 'checked' | 'digest'>>

/** Rejects with `store_damaged` unless the store is as it was left. Resolves with what that saves the next time. */
export async function verifyStore(
  store: Store,
  keys: MacKeys,
  restores: readonly Restored[],
  { checked = 0, digest: known }: StoredStanding,
): Promise<Checked> {
  const { revision } = await store.head()
  const hashing = createHash('sha256')
  await hashRows(store, hashing, Number.MIN_SAFE_INTEGER, checked)
  // By which key changes were signed at that time. Earlier releases did not say.
  const key = [...keys.auditKeys, undefined].find((each) => isSame(digestOf(hashing, each), known))
  if (key === undefined && !isSame(digestOf(hashing, undefined), known)) {
    throw altered(`its changes up to revision ${checked} were altered`)
  }
  await verifyChanges(store, keys, restores, { checked, due: revision, key: key ?? 0 })
  await hashRows(store, hashing, checked, revision)
  await verifyStates(store, restores.length > 0)
  return { checked: revision, digest: digestOf(hashing, keys.auditKeys[0]) }
}

/** Of the rows that `hashing` has, with the number of the key that changes were signed with after them. */
function digestOf(hashing: Hash, key: number | undefined): Buffer {
  const whole = hashing.copy()
  return (key === undefined ? whole : whole.update(`key ${key}\n`)).digest()
}

function isSame(digest: Uint8Array, known: Uint8Array | undefined): boolean {
  return known?.length === digest.length && timingSafeEqual(digest, known)
}

/** Verifies the changes after the revision `checked`, the last of which is `due`: none is signed by a key before `key`. */
async function verifyChanges(
  store: Store,
  keys: MacKeys,
  restores: readonly Restored[],
  { checked, due, key: firstKey }: Record<'checked' | 'due' | 'key', number>,
): Promise<void> {
  let revision = checked
  let skipped = restores.filter((each) => each.revision <= checked).length
  let newestKey = firstKey
  const records = new Map<string, number>()
  const skip = (): void => {
    for (; restores[skipped]?.takenRevision === revision; skipped++) {
      revision = restores[skipped]?.revision ?? 0
    }
  }
  for await (const change of changesOf(store, checked)) {
    skip()
    if (change.revision !== ++revision) throw altered(`its change of revision ${revision} is gone`)
    const subject = `its change of revision ${revision}`
    const mac = Buffer.from(change.mac ?? '', 'hex')
    demandMac(keys, mac, covered(store.identity.id, change).fields, subject)
    // They are signed in the order in which they are committed.
    const key = numberOf(mac)
    if (key < newestKey) throw altered(`${subject} is by a key that was replaced before it`)
    newestKey = key
    // Those of one secret are in the order of their records, which the MAC covers; it does not cover the revision.
    if (change.about === 'keys' && change.state === undefined) continue
    const of = `${change.about} ${change.name}`
    if ((records.get(of) ?? 0) > change.id) throw altered(`${subject} was later than others of it`)
    records.set(of, change.id)
  }
  skip()
  if (revision === due && skipped === restores.length) return
  throw altered(`its changes end at revision ${revision}, and it claims to be at ${due}`)
}

/** Verifies that secrets, backends, rotations and keys are what the newest change of each made of it. */
async function verifyStates(store: Store, cameBack: boolean): Promise<void> {
  const newest = await store.newest()
  let secrets = 0
  for await (const { state, text } of statesOf(store)) {
    const [, active] = text.split(' ', 2)
    if (state !== '') secrets++
    // A restore notes names of which it only knows that they were used.
    const isNoted = state === '' && active === '0' && cameBack
    if (!isNoted && digestOfShape(text) !== state) {
      throw notMade(`secret ${quote(text.split(' ').slice(5).join(' '))}`)
    }
  }
  if (secrets !== newest.secrets) throw altered('a secret is gone that changes tell of')
  verifyBackends((await store.backends()).backends, newest.backends)
  verifyRotations((await store.rotations()).rotations, newest.rotations)
  const stored = await store.keys()
  const { keys, root } = stored
  const isFirst = keys.length === 1 && root.number === 1 && root.previous === undefined
  const isMade = newest.keys ? newest.keys.state === digestOfKeys(stored) : isFirst
  if (!isMade) throw notMade('its keyring')
}

/**
 * Verifies each backend, and which one keeps new secrets: that the newest change of all tells, and none before it does.
 * Earlier releases told it with none.
 */
function verifyBackends(
  backends: readonly StoredBackend[],
  changes: ReadonlyMap<number, NewestChange>,
): void {
  const last = newestOf(changes)
  const home = defaultOf(backends)
  const homes = [home, 0, ...changes.keys()]
  const left = new Map(changes)
  for (const backend of backends) {
    const change = changes.get(backend.id)
    const found = change?.state
    const of = digestOfBackend(backend)
    const told = homes.find((each) => found === withDefault(of, each))
    if (found !== of && told === undefined) throw notMade(`backend ${quote(backend.name)}`)
    if (change === last && told !== undefined && told !== home) throw notMade(DEFAULT)
    left.delete(backend.id)
  }
  for (const [id, { verb, state }] of left) {
    if (verb !== 'delete') throw altered(`backend ${id} is gone`)
    const isTold = changes.get(id) === last && state !== undefined
    if (isTold && state !== withDefault(NO_BACKEND, home)) throw notMade(DEFAULT)
  }
}

/** Verifies that each rotation is what its newest change made of it, and that none is gone. */
function verifyRotations(
  rotations: readonly StoredRotation[],
  changes: ReadonlyMap<number, NewestChange>,
): void {
  const left = new Map(changes)
  for (const rotation of rotations) {
    const due = changes.get(rotation.id)?.state
    if (due !== digestOfRotation(rotation)) throw notMade(`rotation ${quote(rotation.name)}`)
    left.delete(rotation.id)
  }
  for (const [id, { verb }] of left) {
    if (verb !== 'delete') throw altered(`rotation ${id} is gone`)
  }
}

const DEFAULT = 'which backend keeps new secrets'

/** The backend that keeps new secrets; 0 is the store itself. */
export function defaultOf(backends: readonly StoredBackend[]): number {
  return backends.find(({ isDefault }) => isDefault)?.id ?? 0
}

function newestOf(changes: ReadonlyMap<number, NewestChange>): NewestChange | undefined {
  return [...changes.values()].toSorted((a, b) => a.revision - b.revision).at(-1)
}

/** Has what changes led to before there were MACs authenticated: of each secret and backend, and of the keys. */
export async function signStates(store: Store, keys: MacKeys): Promise<Checked> {
  const newest = await store.newest()
  let page: RevisionMac[] = []
  const note = (revision: number, state: string): void =>
    void page.push({ revision, state: Buffer.from(state, 'hex') })
  const { backends } = await store.backends()
  const home = defaultOf(backends)
  for (const [id, { revision }] of newest.backends) {
    const backend = backends.find((each) => each.id === id)
    note(revision, withDefault(backend ? digestOfBackend(backend) : NO_BACKEND, home))
  }
  if (newest.keys) note(newest.keys.revision, digestOfKeys(await store.keys()))
  for await (const { revision, text } of statesOf(store)) {
    if (revision !== 0) note(revision, digestOfShape(text))
    if (page.length < 1000) continue
    await store.signChanges(page)
    page = []
  }
  await store.signChanges(page)
  const { revision } = await store.head()
  const hashing = createHash('sha256')
  await hashRows(store, hashing, Number.MIN_SAFE_INTEGER, revision)
  return { checked: revision, digest: digestOf(hashing, keys.auditKeys[0]) }
}

async function hashRows(store: Store, hashing: Hash, after: number, until: number): Promise<void> {
  for (let last: number | undefined = after; last !== undefined; ) {
    const page: ChangeRows = await store.changeRows(last, until)
    hashing.update(page.text)
    last = page.last
  }
}

interface Newest {
  /** Of the newest change; 0 for none. */
  readonly revision: number
  /** What that made of the secret, as a digest; empty where that is not told. */
  readonly state: string
  /** What the secret is. */
  readonly text: string
}

async function* statesOf(store: Store): AsyncGenerator<Newest> {
  for (let at: number | undefined = Number.MIN_SAFE_INTEGER; at !== undefined; ) {
    const page: NewestStates = await store.newestStates(at)
    for (const row of page.rows) {
      const end = row.indexOf(' ')
      const start = row.indexOf(' ', end + 1)
      const state = row.slice(end + 1, start)
      yield { revision: Number(row.slice(0, end)), state, text: row.slice(start + 1) }
    }
    at = page.last
  }
}

async function* changesOf(store: Store, after: number): AsyncGenerator<StoredChange> {
  for (let page = await store.changes(after); page.length > 0; ) {
    yield* page
    page = await store.changes(page.at(-1)?.revision ?? 0)
  }
}

function notMade(subject: string): SottoError {
  return altered(`${subject} is not what its newest change made of it`)
}
