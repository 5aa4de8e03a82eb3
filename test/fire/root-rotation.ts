/**
 * Replaces the root key of a store under load, beside a real OpenBao that keeps and mirrors secrets, kills the server
 * at random instants, and holds what is left against what was written and against what a thief has:
 *   npm run fire -- root-rotation --versions 4000 --rounds 50 --seed 1
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { verifyLog } from '../../audit/verify.ts'
import type { OperationResponse } from '../../client/api/operations.ts'
import { Keyring } from '../../server/crypto/keyring.ts'
import { localKeyProvider } from '../../server/crypto/local-key.ts'
import { openRootKey } from '../../server/crypto/root-key.ts'
import type { PlacedVersion, StoredKeys } from '../../server/store/contract.ts'
import { openStore } from '../../server/store/sqlite/store.ts'
import { Poster } from '../bench/load.ts'
import { allow, specFor } from '../interop/backends/elsewhere.ts'
import { startOpenBao } from '../support/openbao.ts'
import { filled, type Laden, RotationCaller } from './rotation-caller.ts'
import { build } from './support-crash/build.ts'
import { Random } from './support-crash/random.ts'
import { ServerProcess } from './support-crash/server.ts'

/** What is done to a store. */
export interface RootRotationFire {
  /** Versions that are there before the first rotation, two of each secret. */
  readonly versions: number
  /** How often the server is killed. */
  readonly rounds: number
  readonly seed: number
}

/** What happened, in numbers. */
export interface RootRotationTotals extends Laden {
  rounds: number
  /** Root keys that replaced another. */
  rotations: number
  /** Kills that left a rotation under way, which the next start continued. */
  resumed: number
  /** Versions that were read at the end. */
  versions: number
  /** Copies of the store that a thief took, each with its key. */
  stolen: number
  /** Secrets that are mirrored. */
  mirrored: number
}

const CALLERS = 6
/** Secrets that are kept in OpenBao, and mirrored there, before the first rotation. */
const ELSEWHERE = 40
const END_MS = 300_000

type KeyStatus = OperationResponse<'key-status'>

/** Resolves with what happened. Rejects with what is wrong, and leaves the state directory then. */
export async function rootRotationUnderFire(fire: RootRotationFire): Promise<RootRotationTotals> {
  const directory = mkdtempSync(join(tmpdir(), 'sotto-root-rotation-'))
  const state = join(directory, 'state')
  const random = new Random(fire.seed)
  const totals: RootRotationTotals = {
    rounds: 0,
    rotations: 0,
    resumed: 0,
    versions: 0,
    stolen: 0,
    mirrored: 0,
    answered: 0,
    unanswered: 0,
  }
  await using bao = await startOpenBao()
  const args = await allow(bao, directory)
  const program = await build(join(directory, 'program'))
  const callers = Array.from(
    { length: CALLERS },
    (_, at) => new RotationCaller(at, random.below(2 ** 31)),
  )
  const thieves: Thief[] = []
  const start = async (): Promise<{ process: ServerProcess; poster: Poster }> => {
    const process = new ServerProcess({ state, program, args })
    return { process, poster: new Poster(`http://127.0.0.1:${await process.demandReady()}`, 64) }
  }
  let server = await start()
  try {
    await fill(server.poster, fire.versions)
    const spec = specFor(bao, 'one', true)
    const mirror = { secrets: ['elsewhere/*'], onDrift: 'report', onDelete: 'remove' } as const
    await server.poster.post('/api/backend-create', { ...spec, Config: { ...spec.Config, mirror } })
    for (let at = 0; at < ELSEWHERE; at++) {
      // OpenBao may be busy beside other suites; the same value again adds nothing.
      const kept = (): Promise<void> => put(server.poster, `elsewhere/${at}`, `kept ${at}`)
      await kept().catch(async () => (await sleep(1000), kept()))
    }
    await synced(server.poster)
    const begun = performance.now()
    await server.poster.post('/api/key-rotate', { Root: true })
    totals.rotations++
    await ended(server.poster)
    // A start takes a while, too: about half of the kills find a rotation under way.
    const killWithinMs = 2 * (performance.now() - begun)
    for (let round = 0; round < fire.rounds; round++) {
      const { Root } = await statusOf(server.poster)
      if (Root.Remade !== undefined) totals.resumed++
      else {
        await server.poster.post('/api/key-rotate', { Root: true })
        totals.rotations++
      }
      const load = Promise.all(callers.map((caller) => caller.run(server.poster, fire.versions)))
      // What is wrong is thrown where it is waited for.
      load.catch(() => {})
      await sleep(random.below(killWithinMs))
      await Promise.all([server.process.kill(), ...callers.map((caller) => caller.killed())])
      for (const laden of await load) {
        totals.answered += laden.answered
        totals.unanswered += laden.unanswered
      }
      server.poster.close()
      totals.rounds++
      thieves.push(await Thief.with(state, join(directory, `stolen-${round}`)))
      server = await start()
    }
    await ended(server.poster)
    // One more, so that every copy until now is older than the root key.
    await server.poster.post('/api/key-rotate', { Root: true })
    totals.rotations++
    await ended(server.poster)
    totals.stolen = thieves.length
    totals.mirrored = await synced(server.poster)
    totals.versions = await readAll(server.poster, fire.versions, callers)
    for (let at = 0; at < ELSEWHERE; at++) {
      const found = await read(server.poster, `elsewhere/${at}`, 0)
      demand(found === `kept ${at}`, `elsewhere/${at} is ${found}`)
    }
    const { Root } = await statusOf(server.poster)
    demand(Root.Number === totals.rotations + 1, `root key ${Root.Number} is in use`)
    server.poster.close()
    demand((await server.process.stop()) === 0, 'the server did not end well')
    await judge(state, directory, thieves)
  } catch (error) {
    await server.process.kill()
    const said = server.process.stderr.split('\n').slice(-20).join('\n')
    const found = `${(error as Error).message}\n${said}`
    throw new Error(`seed ${fire.seed}, ${state}: ${found}`, { cause: error })
  }
  rmSync(directory, { recursive: true })
  return totals
}

/** What somebody has who copied a store, with one of its keys. */
class Thief {
  readonly #id: string
  readonly #rootKey: Uint8Array
  readonly #keyring: Keyring

  private constructor(id: string, rootKey: Uint8Array, keyring: Keyring) {
    this.#id = id
    this.#rootKey = rootKey
    this.#keyring = keyring
  }

  static async with(state: string, copy: string): Promise<Thief> {
    const { id, keys } = await contentOf(state, copy)
    const provider = localKeyProvider(join(state, 'local.key'))
    const { rootKey } = await openRootKey([provider], keys.wraps, id)
    return new Thief(id, rootKey, Keyring.open(id, rootKey, keys.keys, keys))
  }

  /** Rejects where the root key opens `keys`, or an entry that was ever opened opens one of `versions`. */
  rob(keys: StoredKeys, versions: readonly PlacedVersion[]): void {
    demand(
      !succeeds(() => Keyring.open(this.#id, this.#rootKey, keys.keys, keys)),
      'a keyring opens',
    )
    for (const { id: keyId } of this.#keyring.fingerprints()) {
      for (const sealed of versions) {
        const opens = succeeds(() => this.#keyring.prove(sealed, { ...sealed, keyId }))
        demand(!opens, `${sealed.name} version ${sealed.version} opens with a stolen entry`)
      }
    }
  }
}

function succeeds(act: () => unknown): boolean {
  try {
    act()
    return true
  } catch {
    return false
  }
}

/** All that is in the store of a server that does not run; it is copied to `copy`, which goes again. */
async function contentOf(
  state: string,
  copy: string,
): Promise<{ id: string; keys: StoredKeys; versions: PlacedVersion[] }> {
  mkdirSync(copy)
  for (const ending of ['', '-wal']) {
    const file = join(state, `sotto.db${ending}`)
    if (existsSync(file)) cpSync(file, join(copy, `sotto.db${ending}`))
  }
  const store = await openStore(join(copy, 'sotto.db'))
  const keys = await store.keys()
  const versions: PlacedVersion[] = []
  for (let page = await store.versions(undefined); page.length > 0; ) {
    versions.push(...page)
    page = await store.versions(page.at(-1))
  }
  await store.close()
  rmSync(copy, { recursive: true })
  return { id: store.identity.id, keys, versions }
}

/** Holds the files of a store that was closed against what thieves have. */
async function judge(state: string, directory: string, thieves: readonly Thief[]): Promise<void> {
  const { damage } = await verifyLog(join(state, 'audit'))
  demand(damage === undefined, `the log does not verify: ${damage?.message}`)
  const { id, keys, versions } = await contentOf(state, join(directory, 'judged'))
  demand(keys.keys.length === 1 && keys.root.previous === undefined, 'something is left')
  for (const thief of thieves) thief.rob(keys, versions)
  // It is not that nothing opens at all.
  const provider = localKeyProvider(join(state, 'local.key'))
  const { rootKey } = await openRootKey([provider], keys.wraps, id)
  const keyring = Keyring.open(id, rootKey, keys.keys, keys)
  for (const sealed of versions) keyring.prove(sealed, sealed)
}

async function statusOf(poster: Poster): Promise<KeyStatus> {
  return JSON.parse(await poster.post('/api/key-status', {})) as KeyStatus
}

/** Resolves once no rotation is under way. Rejects when it does not continue. */
async function ended(poster: Poster): Promise<void> {
  const late = performance.now() + END_MS
  for (;;) {
    const { Entries, Root, Failure } = await statusOf(poster)
    demand(Failure === undefined, `the rotation does not continue: ${Failure}`)
    if (Entries.length === 1 && Root.Remade === undefined) return
    demand(performance.now() < late, 'the rotation does not come to an end')
    await sleep(100)
  }
}

/** Compares the mirror with all that it shows, and resolves with how many secrets that is. Rejects where one differs. */
async function synced(poster: Poster): Promise<number> {
  await poster.post('/api/mirror-sync', {})
  const answer = await poster.post('/api/mirror-status', {})
  const [status] = JSON.parse(answer) as OperationResponse<'mirror-status'>
  const { ok = 0, ...others } = status?.Counts ?? {}
  demand(
    Object.values(others).every((count) => count === 0),
    `the mirror has ${answer}`,
  )
  return ok
}

async function put(poster: Poster, Name: string, value: string): Promise<void> {
  await poster.post('/api/put', { Name, Value: Buffer.from(value).toString('base64') })
}

async function read(poster: Poster, Name: string, Version: number): Promise<string> {
  const answer = await poster.post('/api/get', { Name, Version })
  return Buffer.from((JSON.parse(answer) as { Value: string }).Value, 'base64').toString()
}

async function fill(poster: Poster, versions: number): Promise<void> {
  await each(versions / 2, async (secret) => {
    for (const version of [1, 2]) await put(poster, `fill/${secret}`, filled(secret, version))
  })
}

/** Reads every version, and resolves with how many there are. */
async function readAll(
  poster: Poster,
  versions: number,
  callers: readonly RotationCaller[],
): Promise<number> {
  await each(versions / 2, async (secret) => {
    for (const version of [1, 2]) {
      const found = await read(poster, `fill/${secret}`, version)
      demand(found === filled(secret, version), `fill/${secret} version ${version} is ${found}`)
    }
  })
  let count = versions
  for (const caller of callers) count += await caller.readAll(poster)
  return count
}

async function each(count: number, task: (index: number) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) await task(next++)
  }
  await Promise.all(Array.from({ length: 64 }, worker))
}

function demand(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(otherwise)
}
