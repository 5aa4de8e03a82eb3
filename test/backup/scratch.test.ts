/** Folders for a short time, beside what earlier processes left. */
import { existsSync, promises as fs, mkdirSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { makeScratch } from '../../server/backup/schedule/scratch.ts'
import { temporaryDirectory } from '../support/sotto.ts'

test('U4: a folder that cannot be removed keeps no other from it, and is named', async () => {
  using directory = temporaryDirectory()
  const [stuck, other] = ['sotto-rehearsal-store-aaaaaa', 'sotto-rehearsal-store-bbbbbb'] as const
  for (const name of [stuck, other]) {
    mkdirSync(join(directory.path, name))
    writeFileSync(join(directory.path, name, 'made-by-sotto'), '')
  }
  const { rm } = fs
  vi.spyOn(fs, 'rm').mockImplementation(async (path, options) => {
    if (String(path).endsWith(stuck)) throw Object.assign(new Error('EBUSY: rm'), { code: 'EBUSY' })
    await rm(path, options)
  })
  syncBuiltinESMExports()
  try {
    await using scratch = await makeScratch(directory.path, 'store')
    expect(scratch.stuck).toEqual([stuck])
    expect(existsSync(join(directory.path, other))).toBe(false)
    expect(existsSync(scratch.path)).toBe(true)
  } finally {
    vi.restoreAllMocks()
    syncBuiltinESMExports()
  }
})
