import { mkdirSync, readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { lockDirectory } from '../../server/store/lock.ts'
import { TestProcess } from '../support/process.ts'
import { temporaryDirectory } from '../support/sotto.ts'

let directory: ReturnType<typeof temporaryDirectory>

beforeEach(() => {
  directory = temporaryDirectory()
})

afterEach(() => directory[Symbol.dispose]())

function lockedBy(pid: number | undefined): unknown {
  return expect.objectContaining({
    name: 'SottoError',
    code: 'store_locked',
    message: `Cannot use "${directory.path}": process ${pid} is using it`,
  })
}

test('a directory has one owner, until it lets go', () => {
  const lock = lockDirectory(directory.path)
  expect(() => lockDirectory(directory.path)).toThrow(lockedBy(process.pid))
  expect(() => lockDirectory(join(directory.path, '.'))).toThrow(lockedBy(process.pid))
  lock.release()
  lock.release()
  expect(readdirSync(directory.path)).toEqual(['lock'])
  lockDirectory(directory.path).release()
})

test('its files are for the owner alone and tell the process', () => {
  const lock = lockDirectory(directory.path)
  expect(readFileSync(join(directory.path, 'lock.pid'), 'utf8')).toBe(`${process.pid}\n`)
  const modes = readdirSync(directory.path).map((name) => [
    name,
    statSync(join(directory.path, name)).mode & 0o777,
  ])
  expect(modes).toEqual([
    ['lock', 0o600],
    ['lock.pid', 0o600],
  ])
  lock.release()
})

test('the lock goes with the process, however that ends', async () => {
  const script = new URL('lock-child.ts', import.meta.url).pathname
  {
    await using owner = new TestProcess(process.execPath, [script, directory.path])
    await owner.firstLine()
    expect(() => lockDirectory(directory.path)).toThrow(lockedBy(owner.pid))
  }
  const lock = lockDirectory(directory.path)
  expect(readFileSync(join(directory.path, 'lock.pid'), 'utf8')).toBe(`${process.pid}\n`)
  lock.release()
})

test('an owner that has not told its process id yet is an owner', () => {
  const lock = lockDirectory(directory.path)
  writeFileSync(join(directory.path, 'lock.pid'), '')
  expect(() => lockDirectory(directory.path)).toThrow('another process is using it')
  lock.release()
})

test('a directory that is missing, or that cannot be locked, is told', () => {
  const missing = join(directory.path, 'no')
  expect(() => lockDirectory(missing)).toThrow(
    expect.objectContaining({
      code: 'no_store',
      message: `Cannot lock "${missing}": there is no such directory`,
    }),
  )
  mkdirSync(join(directory.path, 'lock'))
  expect(() => lockDirectory(directory.path)).toThrow(expect.objectContaining({ code: 'local' }))
})

test('U11: what keeps the files from being made is told, also where this user may make them', () => {
  mkdirSync(join(directory.path, 'lock.pid'))
  expect(() => lockDirectory(directory.path)).toThrow(
    expect.objectContaining({
      code: 'local',
      message: `Cannot lock "${directory.path}": "${join(directory.path, 'lock.pid')}": it is a directory`,
    }),
  )
  rmdirSync(join(directory.path, 'lock.pid'))
  lockDirectory(directory.path).release()
})
