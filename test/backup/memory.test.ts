/** What a server knows of its backups, in a file that several jobs write. */
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { processTimers } from '../../client/platform/timers.ts'
import { BackupMemory } from '../../server/backup/schedule/memory.ts'
import { temporaryDirectory } from '../support/sotto.ts'

const known = (name: string) => ({ name, created: '2026-01-01T00:00:00.000Z', size: 1 })

test('E4: what several jobs note at once is all in the file, whichever is written last', async () => {
  using scratch = temporaryDirectory()
  const path = join(scratch.path, 'backups.json')
  for (let round = 0; round < 20; round++) {
    const memory = await BackupMemory.open(path, '/backups', processTimers)
    const newest = known(`newest-${round}`)
    const proven = { ...known(`proven-${round}`), at: newest.created, values: round }
    const held = { target: '/backups', accepted: [], takes: true }
    const lost = Array.from({ length: round * 10 }, (_, at) => `lost-${at}`)
    await Promise.all([
      memory.noteProven(proven),
      memory.noteLost(lost),
      memory.noteNewest(newest),
      memory.noteHeld(held),
    ])
    const again = await BackupMemory.open(path, '/backups', processTimers)
    expect([again.newest, again.proven, again.held]).toEqual([newest, proven, held])
    expect(again.lost).toEqual(lost)
  }
})

test('E4: one that could not be written down is told to who noted it, and keeps no later one from being', async () => {
  using scratch = temporaryDirectory()
  const path = join(scratch.path, 'none', 'backups.json')
  const memory = await BackupMemory.open(path, '/backups', processTimers)
  const noted = [memory.noteNewest(known('a')), memory.noteNewest(known('b'))]
  const ends = await Promise.allSettled(noted)
  expect(ends.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  mkdirSync(join(scratch.path, 'none'))
  await memory.noteNewest(known('c'))
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ newest: known('c') })
})
