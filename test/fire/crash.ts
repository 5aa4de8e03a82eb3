/**
 * Kills the server at random instants and holds what is left against what callers were told:
 *   npm run fire -- crash --rounds 1000 --seed 1
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from './support-crash/build.ts'
import { addTotals, noTotals, runRounds, type Totals } from './support-crash/rounds.ts'

/** State directories that are worked on at once: a server starts while another is under load. */
const AT_ONCE = 3

/**
 * Runs `rounds` rounds and resolves with what happened. Rejects with what is wrong, the seed, and
 * where the state directory of the round was left.
 */
export async function crash(rounds: number, seed: number, power = false): Promise<Totals> {
  // Images of disks are copied often, and hold nothing that must outlive the machine.
  const base = power && existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
  const directory = mkdtempSync(join(base, 'sotto-crash-'))
  const program = await build(join(directory, 'program'))
  const runs = Array.from({ length: AT_ONCE }, (_, at) =>
    runRounds({
      directory: join(directory, String(at)),
      seed: seed + at * 1_000_003,
      rounds: Math.floor((rounds + at) / AT_ONCE),
      program,
      power,
    }),
  )
  const results = await Promise.allSettled(runs)
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
