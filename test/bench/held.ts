/** Fills holdings as a server does, and measures what they take. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { decodeHoldings, encodeHoldings } from '../../server/consumers/file.ts'
import { Holdings } from '../../server/consumers/holdings.ts'
import { finished, speakerOf } from '../consumers/world.ts'

/** What was measured. */
interface Measured {
  readonly rows: number
  readonly holders: number
  readonly mebibytes: number
  /** With a copy on its way to the file. */
  readonly mebibytesKept: number
  readonly fileMebibytes: number
  /** How long a conditional get of one of them takes to be noted. */
  readonly claimNanoseconds: number
  /** How long the server does nothing else at most while the copy is taken, other work of the process and machine included. */
  readonly copyMs: number
}

const about = { store: '', branch: '', logged: 0, listens: 0, roughNames: false }

/** What is held: many secrets by each of some nodes, or some by each of many programs with a label. */
export const shapes = ['nodes', 'labels'] as const

/** Measures holdings of `count` rows. */
export function measureHoldings(shape: (typeof shapes)[number], count: number): Measured {
  if (shape === 'labels') {
    return measure(count, 20, (row) => [
      `node-${Math.floor(row / 600)}`,
      `${Math.floor((row % 600) / 20)}`.padStart(22, 'label'),
      row % 20,
    ])
  }
  const secrets = Math.ceil(Math.sqrt(count))
  return measure(count, secrets, (row) => [
    `node-${Math.floor(row / secrets)}`,
    undefined,
    row % secrets,
  ])
}

function measure(
  count: number,
  secrets: number,
  place: (row: number) => readonly [node: string, label: string | undefined, secret: number],
): Measured {
  const names = Array.from({ length: secrets }, (_, at) => `prod/app/secret-${at}`)
  const before = usedBytes()
  const holdings = new Holdings(() => 1, { rows: count * 2, rowsOfNode: count })
  for (let row = 0; holdings.table.size < count; row++) {
    const [node, label, secret] = place(row)
    holdings.given(speakerOf(node, label), names[secret] as string, 1, 0)
  }
  const filled = usedBytes()
  const asked = speakerOf(...(place(0).slice(0, 2) as [string, string | undefined]))
  const began = performance.now()
  for (let times = 0; times < 200_000; times++) holdings.claimed(asked, names[0] as string, 1)
  const claimNanoseconds = ((performance.now() - began) * 1e6) / 200_000
  const { pieces, copyMs } = copied(holdings)
  const kept = usedBytes()
  const bytes = Buffer.concat(pieces)
  finished(decodeHoldings(bytes, new Holdings(() => 1, { rows: count * 2, rowsOfNode: count })))
  return {
    rows: holdings.table.size,
    holders: holdings.parties.count,
    mebibytes: mebibytes(filled - before),
    mebibytesKept: mebibytes(kept - before),
    fileMebibytes: mebibytes(bytes.length),
    claimNanoseconds: Math.round(claimNanoseconds),
    copyMs: Math.round(copyMs),
  }
}

/** The content of the file, and the longest part of making it, in milliseconds. */
function copied(holdings: Holdings): {
  readonly pieces: readonly Buffer[]
  readonly copyMs: number
} {
  let began = performance.now()
  const work = encodeHoldings(holdings, about, new Set())
  for (let copyMs = 0; ; began = performance.now()) {
    const { done, value } = work.next()
    copyMs = Math.max(copyMs, performance.now() - began)
    if (done === true) return { pieces: value, copyMs }
  }
}

function usedBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  for (let times = 0; times < 3; times++) collect()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

function mebibytes(count: number): number {
  return Math.round((count / 1024 / 1024) * 10) / 10
}
