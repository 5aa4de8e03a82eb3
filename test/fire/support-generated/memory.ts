/** Whether a server keeps growing while it works: what it has in use, and what is resident. */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** What was read. Amounts are in MiB. */
export interface Growth {
  /** In use after a collection: at the end of the warm-up, which is the first third, and at the end. */
  readonly live: readonly [warm: number, last: number]
  /** Resident: at the end of the warm-up, at most after it, and at the end. */
  readonly resident: readonly [warm: number, highest: number, last: number]
  /** Of the line that fits the readings of resident memory best, from the warm-up to the end. */
  readonly trend: number
}

const MIB = 1024 * 1024

/** Readings of the memory of a server. */
export class Memory {
  readonly #pid: number
  readonly #file: string
  /** Pairs of how much work was done, and MiB. */
  readonly #resident: [done: number, mib: number][] = []
  readonly #live: number[] = []

  /** The server `pid` tells what it has in use to `file`: see `argumentsOf`. */
  constructor(pid: number, file: string) {
    this.#pid = pid
    this.#file = file
  }

  /** Reads what is resident, when so much work was `done`. */
  read(done: number): void {
    this.#resident.push([done, residentBytes(this.#pid) / MIB])
  }

  /** Has the server collect, and reads what is in use then. */
  async readLive(): Promise<void> {
    rmSync(this.#file, { force: true })
    process.kill(this.#pid, 'SIGUSR2')
    while (!existsSync(this.#file)) await sleep(20)
    this.#live.push(Number(readFileSync(this.#file, 'utf8')) / MIB)
  }

  /** What the readings tell. */
  judge(): Growth {
    const end = this.#resident.at(-1)?.[0] ?? 0
    const warm = this.#resident.filter(([done]) => done >= end / 3)
    const amounts = warm.map(([, mib]) => mib)
    const resident = [amounts[0] ?? 0, Math.max(...amounts), amounts.at(-1) ?? 0] as const
    const [first = 0] = this.#live
    const live = [first, this.#live.at(-1) ?? 0] as const
    return {
      live: [round(live[0]), round(live[1])],
      resident: [round(resident[0]), round(resident[1]), round(resident[2])],
      trend: round(slope(warm) * (end - (warm[0]?.[0] ?? 0))),
    }
  }
}

/** Arguments and environment for Node of a server that tells what it has in use to `file`. */
export function argumentsOf(file: string): { node: string[]; env: Record<string, string> } {
  const preload = new URL('tell-memory.ts', import.meta.url).pathname
  return { node: ['--expose-gc', '--import', preload], env: { TELL_MEMORY_TO: file } }
}

/** The resident memory of the process `pid`. */
export function residentBytes(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kib) * 1024
}

/** The slope of the line that fits `points` best (least squares). */
function slope(points: readonly (readonly [number, number])[]): number {
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / points.length
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / points.length
  const above = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0)
  const below = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0)
  return below === 0 ? 0 : above / below
}

function round(mib: number): number {
  return Math.round(mib * 10) / 10
}
