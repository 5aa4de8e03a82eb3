import { expect, test } from 'vitest'
import type { AuditLog } from '../../audit/log.ts'
import type { Entry, Receipt } from '../../audit/record.ts'
import { verifyLog } from '../../audit/verify.ts'
import { MemoryDisk, systemError } from './disk.ts'
import { access, change, chance, ManualTimers, openLog, readAll, hastyTimers } from './fixtures.ts'

/** Losses of power, and kills of the process, that are tried. */
const CUTS = 1000
/** So many of them one log goes through. */
const LIVES = 4

/** What was promised of a log in all its lives. */
interface Promises {
  readonly acknowledged: Receipt[]
  /** Ids of changes that were acknowledged and neither settled nor abandoned. */
  readonly open: Set<number>
  /** The hash under which each id was ever seen. */
  readonly seen: Map<number, string>
}

test('neither a loss of power nor a kill loses an acknowledged record, gives an id twice or breaks the chain', async () => {
  let acknowledged = 0
  for (let seed = 0; seed < CUTS / LIVES; seed++) {
    const random = chance(seed)
    let disk = new MemoryDisk()
    const promises: Promises = { acknowledged: [], open: new Set(), seen: new Map() }
    for (let life = 0; life < LIVES; life++) {
      await live(disk, promises, random)
      const killed = random() < 0.3
      disk = killed ? disk.afterKill(random) : disk.afterPowerLoss(random)
      await check(disk, promises, `seed ${seed}, life ${life}`)
    }
    acknowledged += promises.acknowledged.length
  }
  // The cuts did fall into work that was going on.
  expect(acknowledged).toBeGreaterThan(CUTS * 5)
})

/** Uses the log until the power goes, at some operation of the disk. */
async function live(disk: MemoryDisk, promises: Promises, random: () => number): Promise<void> {
  const timers = new ManualTimers()
  const lost = Promise.withResolvers<void>()
  let operations = Math.floor(random() * 40)
  let dead = false
  disk.behaviour = async () => {
    if (dead || operations-- === 0) {
      dead = true
      lost.resolve()
      await new Promise(() => {})
    }
    if (random() < 0.5) await new Promise((resolve) => setImmediate(resolve))
    const failed = random() < 0.03
    const bytes = random() < 0.1 ? Math.floor(random() * 300) + 1 : undefined
    return { ...(failed && { error: systemError('EIO') }), ...(bytes && { bytes }) }
  }
  const work = async () => {
    const log = await openLog(disk, { timers, segmentBytes: 4000, roomBytes: 1500 })
    for (let turn = 0; turn < 60; turn++) {
      const entries = Array.from({ length: Math.floor(random() * 6) }, () =>
        entry(random, promises),
      )
      const results = entries.map((item) => use(log, item, promises, random))
      if (random() < 0.7) await Promise.all(results)
      if (!log.state().ok) timers.advance(1000)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  await Promise.race([lost.promise, work().catch(() => {})])
}

function entry(random: () => number, { open }: Promises): Entry {
  const [of] = open
  if (of !== undefined && random() < 0.1) return { kind: 'abandoned', of, reason: 'x' }
  return random() < 0.3 ? change('c') : access('a'.repeat(Math.floor(random() * 400)))
}

async function use(
  log: AuditLog,
  item: Entry,
  { acknowledged, open }: Promises,
  random: () => number,
): Promise<void> {
  if (item.kind === 'abandoned') open.delete(item.of)
  const receipt = await log.append(item).catch(() => undefined)
  if (receipt === undefined) return
  acknowledged.push(receipt)
  if (item.kind !== 'change') return
  if (random() < 0.8) log.settle(receipt.id)
  else open.add(receipt.id)
}

async function check(disk: MemoryDisk, promises: Promises, run: string): Promise<void> {
  const { acknowledged, open, seen } = promises
  const log = await openLog(disk)
  const found = new Map<number, string>()
  const repeated: number[] = []
  for (const { record, hash } of await readAll('/log', disk)) {
    if ((seen.get(record.id) ?? hash) !== hash) repeated.push(record.id)
    found.set(record.id, hash)
    seen.set(record.id, hash)
  }
  const missing = acknowledged.filter(({ id, hash }) => found.get(id) !== hash)
  const recovered = new Set(log.recovered.open.map(({ id }) => id))
  const forgotten = [...open].filter((id) => !recovered.has(id))
  const head = acknowledged.at(-1)
  const report = await verifyLog('/log', {
    files: disk,
    timers: hastyTimers,
    ...(head && { head }),
  })
  const none: unknown[] = []
  expect({ run, repeated, missing, forgotten, damage: report.damage }).toEqual({
    run,
    repeated: none,
    missing: none,
    forgotten: none,
    damage: undefined,
  })
}
