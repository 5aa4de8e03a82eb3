/**
 * Kills the server at random instants and holds what is left against what callers were told:
 *   node test/fire/crash.ts --rounds 1000 --seed 1
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { build } from './support-crash/build.ts'
import { addTotals, noTotals, runLane, type Totals } from './support-crash/lane.ts'

/** State directories that are worked on at once: a server starts while another is under load. */
const LANES = 3

/**
 * Runs `rounds` rounds and resolves with what happened. Rejects with what is wrong, the seed, and
 * where the state directory of the round was left.
 */
export async function crash(rounds: number, seed: number, power = false): Promise<Totals> {
  // Images of disks are copied often, and hold nothing that must outlive the machine.
  const base = power && existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
  const directory = mkdtempSync(join(base, 'sotto-crash-'))
  const program = await build(join(directory, 'program'))
  const lanes = Array.from({ length: LANES }, (_, lane) =>
    runLane({
      directory: join(directory, `lane-${lane}`),
      seed: seed + lane * 1_000_003,
      rounds: Math.floor((rounds + lane) / LANES),
      program,
      power,
    }),
  )
  const results = await Promise.allSettled(lanes)
  const totals = noTotals()
  for (const result of results) {
    if (result.status === 'rejected') {
      throw new Error(`seed ${seed}: ${(result.reason as Error).message}`, { cause: result.reason })
    }
    addTotals(totals, result.value)
  }
  rmSync(directory, { recursive: true })
  return totals
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { rounds: { type: 'string' }, seed: { type: 'string' }, power: { type: 'boolean' } },
  })
  const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9))
  const began = performance.now()
  const totals = await crash(Number(values.rounds ?? 200), seed, values.power)
  console.log(`seed ${seed}, ${((performance.now() - began) / 1000).toFixed(1)} s`)
  console.table(totals)
}
