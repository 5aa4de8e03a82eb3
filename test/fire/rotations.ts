/**
 * Rotates secrets on a server that is killed at random instants, and holds what is left against what runs promise: one
 * candidate at most, an active version at all times, and an end:
 *   npm run fire -- rotations --secrets 8 --rounds 200 --seed 1
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { verifyLog } from '../../audit/verify.ts'
import type { OperationName, OperationResponse } from '../../client/api/operations.ts'
import type { SecretInfo } from '../../client/api/types.ts'
import { Poster } from '../bench/load.ts'
import { recordsIn } from '../support/service.ts'
import { build } from './support-crash/build.ts'
import { Random } from './support-crash/random.ts'
import { ServerProcess } from './support-crash/server.ts'

/** What is done to a server. */
export interface RotationsFire {
  /** Secrets, each with a rotation. */
  readonly secrets: number
  /** How often the server is killed. */
  readonly rounds: number
  readonly seed: number
}

/** What happened, in numbers. */
export interface RotationsTotals {
  rounds: number
  /** Runs that were begun. */
  runs: number
  /** Runs that a kill left under way, and the next start carried on. */
  resumed: number
}

/** A kill comes within so many milliseconds from when runs were begun. */
const KILL_WITHIN_MS = 500
/** How long runs may take to their end on a server that is healthy, in milliseconds: far longer than any does. */
const END_MS = 300_000

type Status = OperationResponse<'rotation-status'>

/** Resolves with what happened. Rejects with what is wrong, and leaves the state directory then. */
export async function rotationsUnderFire(fire: RotationsFire): Promise<RotationsTotals> {
  const directory = mkdtempSync(join(tmpdir(), 'sotto-rotations-'))
  const state = join(directory, 'state')
  const random = new Random(fire.seed)
  const totals: RotationsTotals = { rounds: 0, runs: 0, resumed: 0 }
  const program = await build(join(directory, 'program'))
  const start = async (): Promise<{ process: ServerProcess; poster: Poster }> => {
    const process = new ServerProcess({ state, program })
    return { process, poster: new Poster(`http://127.0.0.1:${await process.demandReady()}`, 16) }
  }
  const names = Array.from({ length: fire.secrets }, (_, at) => `secret-${at}`)
  let server = await start()
  try {
    for (const Name of names) {
      const Value = Buffer.from('the first').toString('base64')
      await server.poster.post('/api/put', { Name, Value })
      const Config = { kind: 'generated', secret: Name, deleteOld: true }
      await server.poster.post('/api/rotation-create', { Name, Config })
    }
    for (let round = 0; round < fire.rounds; round++) {
      await judgeSecrets(server.poster, names)
      const found = await ask<Status>(server.poster, 'rotation-status')
      const idle = found.filter(({ Step }) => Step === 'idle' || Step === 'done')
      totals.resumed += found.length - idle.length
      for (const { Name } of idle) {
        await server.poster.post('/api/rotation-run', { Name })
        totals.runs++
      }
      await sleep(random.below(KILL_WITHIN_MS))
      await server.process.kill()
      server.poster.close()
      totals.rounds++
      server = await start()
    }
    const last = await ended(server.poster)
    await judgeSecrets(server.poster, names, last)
    server.poster.close()
    demand((await server.process.stop()) === 0, 'the server did not end well')
    await judgeLog(join(state, 'audit'), last)
  } catch (error) {
    throw new Error(`seed ${fire.seed}, ${state}: ${(error as Error).message}`, { cause: error })
  }
  rmSync(directory, { recursive: true })
  return totals
}

async function ask<T>(poster: Poster, operation: OperationName): Promise<T> {
  return JSON.parse(await poster.post(`/api/${operation}`, {})) as T
}

/** Resolves with how rotations are once none is under way. Rejects when one does not come to its end. */
async function ended(poster: Poster): Promise<Status> {
  const late = performance.now() + END_MS
  for (;;) {
    const found = await ask<Status>(poster, 'rotation-status')
    if (found.every(({ Step }) => Step === 'done')) return found
    const held = found.find(({ Held }) => Held)
    demand(held === undefined, `nobody changed anything, and one is held: ${JSON.stringify(held)}`)
    demand(performance.now() < late, `runs do not come to their end: ${JSON.stringify(found)}`)
    await sleep(200)
  }
}

/** At any time a secret has its active version and one more at most: the candidate, or the one before. */
async function judgeSecrets(
  poster: Poster,
  names: readonly string[],
  last?: Status,
): Promise<void> {
  const found = JSON.parse(await poster.post('/api/list', {})) as SecretInfo[]
  for (const name of names) {
    const info = found.find(({ Name }) => Name === name)
    const { Versions = [], ActiveVersion = 0 } = info ?? {}
    const told = `${name} is ${JSON.stringify(info)}`
    demand(Versions.includes(ActiveVersion) && Versions.length <= 2, told)
    const version = last?.find(({ Name }) => Name === name)?.Version
    if (version !== undefined) {
      demand(Versions.length === 1 && version === ActiveVersion, `${told} after ${version}`)
    }
  }
}

/** Each run put one version, and the log verifies. */
async function judgeLog(audit: string, last: Status): Promise<void> {
  const { damage } = await verifyLog(audit)
  demand(damage === undefined, `the log does not verify: ${damage?.message}`)
  const records = recordsIn(audit)
  const abandoned = new Set(records.filter(({ kind }) => kind === 'abandoned').map(({ of }) => of))
  for (const { Name, Run } of last) {
    const puts = records.filter(
      ({ id, kind, verb, secret, principal }) =>
        kind === 'change' &&
        verb === 'put' &&
        secret === Name &&
        (principal as { user?: string }).user === 'system:rotations' &&
        !abandoned.has(id),
    )
    demand(puts.length === Run, `${Name} has ${puts.length} versions of ${Run} runs`)
  }
}

function demand(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(otherwise)
}
