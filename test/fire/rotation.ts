/**
 * Rotates the keyring of a large store under load, kills the server at random instants, and holds what is
 * left against what was written:
 *   npm run fire -- rotation --versions 100000 --rounds 20 --seed 1
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Database from 'better-sqlite3'
import { verifyLog } from '../../audit/verify.ts'
import type { OperationResponse } from '../../client/api/operations.ts'
import { Poster } from '../bench/load.ts'
import { recordsIn } from '../support/service.ts'
import { build } from './support-crash/build.ts'
import { Random } from './support-crash/random.ts'
import { ServerProcess } from './support-crash/server.ts'
import { filled, type Laden, RotationCaller } from './rotation-caller.ts'

/** What is done to a store. */
export interface RotationFire {
  /** Versions that are there before the first rotation, two of each secret. */
  readonly versions: number
  /** How often the server is killed. */
  readonly rounds: number
  readonly seed: number
}

/** What happened, in numbers. */
export interface RotationTotals extends Laden {
  rounds: number
  /** Rotations that were begun. */
  rotations: number
  /** Kills that left a rotation under way, which the next start went on with. */
  resumed: number
  /** Versions at the end. */
  versions: number
}

/** Callers at once. */
const CALLERS = 8

/** A kill comes within so many milliseconds from when the server serves. */
const KILL_WITHIN_MS = 4000

/** How long a rotation may take that is let go on, in milliseconds: far longer than any does. */
const END_MS = 600_000

/** Resolves with what happened. Rejects with what is wrong, and leaves the state directory then. */
export async function rotationUnderFire(fire: RotationFire): Promise<RotationTotals> {
  const directory = mkdtempSync(join(tmpdir(), 'sotto-rotation-'))
  const state = join(directory, 'state')
  const random = new Random(fire.seed)
  const totals = { rounds: 0, rotations: 0, resumed: 0, versions: 0, answered: 0, unanswered: 0 }
  const program = await build(join(directory, 'program'))
  const callers = Array.from(
    { length: CALLERS },
    (_, at) => new RotationCaller(at, random.below(2 ** 31)),
  )
  const start = async (): Promise<Server> => {
    const process = new ServerProcess({ state, program })
    const poster = new Poster(`http://127.0.0.1:${await process.demandReady()}`, 64)
    return { process, poster }
  }
  try {
    let server = await start()
    await fill(server.poster, fire.versions)
    for (let round = 0; round <= fire.rounds; round++) {
      const { Entries } = await statusOf(server.poster)
      if (Entries.length > 1) totals.resumed++
      else if (round < fire.rounds || totals.rotations === 0) {
        await ask(server.poster, 'key-rotate')
        totals.rotations++
      }
      const load = callers.map((caller) => caller.run(server.poster, fire.versions))
      if (round < fire.rounds) {
        await sleep(random.below(KILL_WITHIN_MS))
        await Promise.all([server.process.kill(), ...callers.map((caller) => caller.killed())])
      } else {
        await ended(server.poster)
        for (const caller of callers) caller.stop()
      }
      for (const laden of await Promise.all(load)) {
        totals.answered += laden.answered
        totals.unanswered += laden.unanswered
      }
      if (round === fire.rounds) break
      server.poster.close()
      totals.rounds++
      server = await start()
    }
    totals.versions = await readAll(server.poster, fire.versions, callers)
    const { Entries } = await statusOf(server.poster)
    demand(
      Entries.length === 1 && Entries[0]?.Id === totals.rotations + 1,
      `the keyring has ${JSON.stringify(Entries)} after ${totals.rotations} rotations`,
    )
    demand(Entries[0]?.Versions === totals.versions, 'not every version is under the last entry')
    server.poster.close()
    demand((await server.process.stop()) === 0, 'the server did not end well')
    await judge(state, totals.rotations)
  } catch (error) {
    throw new Error(`seed ${fire.seed}, ${state}: ${(error as Error).message}`, { cause: error })
  }
  rmSync(directory, { recursive: true })
  return totals
}

interface Server {
  readonly process: ServerProcess
  readonly poster: Poster
}

type KeyStatus = OperationResponse<'key-status'>

async function ask(poster: Poster, operation: 'key-status' | 'key-rotate'): Promise<KeyStatus> {
  return JSON.parse(await poster.post(`/api/${operation}`, {})) as KeyStatus
}

function statusOf(poster: Poster): Promise<KeyStatus> {
  return ask(poster, 'key-status')
}

/** Resolves once no rotation is under way. Rejects when it does not go on. */
async function ended(poster: Poster): Promise<void> {
  const late = performance.now() + END_MS
  for (;;) {
    const { Entries, Failure } = await statusOf(poster)
    demand(Failure === undefined, `the rotation does not go on: ${Failure}`)
    if (Entries.length === 1) return
    demand(performance.now() < late, 'the rotation does not come to an end')
    await sleep(200)
  }
}

async function fill(poster: Poster, versions: number): Promise<void> {
  await each(versions / 2, async (secret) => {
    for (const version of [1, 2]) {
      const Value = Buffer.from(filled(secret, version)).toString('base64')
      await poster.post('/api/put', { Name: `fill/${secret}`, Value })
    }
  })
}

/** Reads every version, and resolves with how many there are. */
async function readAll(
  poster: Poster,
  versions: number,
  callers: readonly RotationCaller[],
): Promise<number> {
  const read = async (Name: string, Version: number): Promise<string> => {
    const answer = await poster.post('/api/get', { Name, Version })
    return Buffer.from((JSON.parse(answer) as { Value: string }).Value, 'base64').toString()
  }
  await each(versions / 2, async (secret) => {
    for (const version of [1, 2]) {
      const found = await read(`fill/${secret}`, version)
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

/** Holds the files of a store that was closed against the rotations that it went through. */
async function judge(state: string, rotations: number): Promise<void> {
  const { damage } = await verifyLog(join(state, 'audit'))
  demand(damage === undefined, `the log does not verify: ${damage?.message}`)
  const records = recordsIn(join(state, 'audit'))
  const abandoned = new Set(records.filter(({ kind }) => kind === 'abandoned').map(({ of }) => of))
  const entries = (verb: string): unknown[] =>
    records
      .filter(({ id, kind, verb: own }) => kind === 'keyring' && own === verb && !abandoned.has(id))
      .map(({ entry }) => entry)
  const ids = Array.from({ length: rotations }, (_, at) => at + 1)
  demand(String(entries('add')) === String(ids.map((id) => id + 1)), 'the log lacks an entry')
  demand(String(entries('erase')) === String(ids), 'the log lacks that an entry was erased')
  const db = new Database(join(state, 'sotto.db'), { readonly: true })
  const left = db.prepare('SELECT id FROM keyring_entry').pluck().all()
  const strays = db
    .prepare('SELECT count(*) FROM version WHERE removed IS NULL AND key_id <> ?')
    .pluck()
    .get(rotations + 1)
  db.close()
  demand(String(left) === String(rotations + 1), `the store has the entries ${left.join(', ')}`)
  demand(strays === 0, `${String(strays)} versions are under an entry that is gone`)
}

function demand(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(otherwise)
}
