import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { madeStateDirectory, stateDirectory } from '../../server/store/directory.ts'
import { temporaryDirectory } from '../support/sotto.ts'

test('the directory of a setec server is told apart, and nothing is made in it', () => {
  using scratch = temporaryDirectory()
  const path = join(scratch.path, 'setec')
  mkdirSync(path, { mode: 0o700 })
  writeFileSync(join(path, 'database'), '')
  writeFileSync(join(path, 'audit.log'), '')
  const refused = expect.objectContaining({
    code: 'store_foreign',
    message: `The directory "${path}" is that of a setec server`,
  }) as Error
  expect(() => stateDirectory(path)).toThrow(refused)
  expect(() => madeStateDirectory(path)).toThrow(refused)
  expect(readdirSync(path)).toEqual(['audit.log', 'database'])
})

test('a directory that others can enter is not used', () => {
  using scratch = temporaryDirectory()
  chmodSync(scratch.path, 0o750)
  expect(() => stateDirectory(scratch.path)).toThrow(
    expect.objectContaining({
      code: 'unsafe',
      message: `The state directory "${scratch.path}" has mode 0750`,
    }) as Error,
  )
})
