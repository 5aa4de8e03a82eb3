/** What the machine did besides, and how quick its disk is: without that, no figure can be read. */
import { closeSync, constants, openSync, rmSync, writeSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { median } from './load.ts'

const WRITES = 300
/** About what the record of a get takes. */
const RECORD = Buffer.alloc(400, ' ')
const { O_CREAT, O_RDWR, O_DSYNC } = constants

/** The load average of the last minute, and how long a durable write in `directory` takes, in milliseconds. */
export interface Surroundings {
  readonly load: number
  readonly syncMedian: number
  readonly sync99: number
}

/** Looks at the machine now. */
export function surroundings(directory: string): Surroundings {
  const times = durableWrites(join(directory, 'sync-latency')).toSorted((a, b) => a - b)
  const [load] = loadavg() as [number]
  return { load, syncMedian: median(times), sync99: times[Math.floor(WRITES * 0.99)] as number }
}

/** The time of each of several durable writes in the place of zero bytes, as the audit log makes them. */
function durableWrites(path: string): number[] {
  const file = openSync(path, O_CREAT | O_RDWR | O_DSYNC, 0o600)
  try {
    writeSync(file, Buffer.alloc(RECORD.length * WRITES), 0)
    return Array.from({ length: WRITES }, (_, at) => {
      const before = performance.now()
      writeSync(file, RECORD, 0, RECORD.length, at * RECORD.length)
      return performance.now() - before
    })
  } finally {
    closeSync(file)
    rmSync(path)
  }
}
