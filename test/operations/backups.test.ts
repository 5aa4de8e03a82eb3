/** A backup that an operator asks for has what there is when it is asked for. */
import { expect, test } from 'vitest'
import type { Call, Gate } from '../../server/gate/gate.ts'
import { BACKUP_JOB } from '../../server/backup/schedule/names.ts'
import { Scheduler } from '../../server/jobs/scheduler.ts'
import { Backups, type BackupsParts } from '../../server/operations/backups.ts'
import { ManualTimers } from '../audit/fixtures.ts'

/** Backups by a job whose runs end when they are told to, and have the revision of their beginning. */
function begin() {
  const timers = new ManualTimers()
  const scheduler = new Scheduler({ timers })
  const ends: (() => void)[] = []
  const now = { revision: 1 }
  let wants = 0
  let begun = 0
  scheduler.add({
    name: BACKUP_JOB,
    action: 'backup',
    rules: [],
    everyMs: 3_600_000,
    retryMs: 60_000,
    maxMs: 3_600_000,
    run: async () => {
      begun = wants
      const { revision } = now
      await new Promise<void>((resolve) => ends.push(resolve))
      return `made of revision ${revision}`
    },
  })
  scheduler.start()
  const job = {
    want: () => ++wants,
    hasBegun: (wanted: number) => wanted <= begun,
  }
  const gate = { operate: async () => ({ announce: async () => {} }) }
  const parts = { scheduler, job, timers } as unknown as BackupsParts
  const backups = new Backups(gate as unknown as Gate, parts)
  return { timers, ends, now, create: () => backups.create({} as Call) }
}

test('E5: one that was begun before is not taken for it', async () => {
  const { ends, now, create } = begin()
  const first = create()
  await expect.poll(() => ends.length).toBe(1)
  now.revision = 2
  const second = create()
  ends[0]?.()
  expect(await first).toMatchObject({ LastMessage: 'made of revision 1' })
  await expect.poll(() => ends.length).toBe(2)
  ends[1]?.()
  expect(await second).toMatchObject({ LastResult: 'ok', LastMessage: 'made of revision 2' })
})

test('E5: where that one does not end soon, that is said', async () => {
  const { timers, ends, now, create } = begin()
  const first = create()
  await expect.poll(() => ends.length).toBe(1)
  now.revision = 2
  const second = create().catch((error: unknown) => error)
  // Both wait for as long as a caller does.
  await new Promise((resolve) => setImmediate(resolve))
  timers.advance(20_000)
  expect(await first).toMatchObject({ Running: true })
  expect(await second).toMatchObject({ code: 'overloaded' })
  ends[0]?.()
  await expect.poll(() => (timers.advance(1), ends.length)).toBe(2)
})
