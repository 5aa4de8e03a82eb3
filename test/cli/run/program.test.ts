/** Which file a name stands for, and what is seen of it before it is run. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { findProgram } from '../../../cli/handlers/run/program.ts'
import { temporaryDirectory } from '../../support/sotto.ts'

const scratch = temporaryDirectory()
afterAll(() => scratch[Symbol.dispose]())

const [first, second] = ['first', 'second'].map((name) => {
  mkdirSync(join(scratch.path, name))
  return join(scratch.path, name)
}) as [string, string]
const PATH = `${first}:${second}`

function file(path: string, content: string | Buffer, mode = 0o755): string {
  writeFileSync(path, content, { mode })
  return path
}

const ELF = Buffer.from('\x7fELF\x02\x01\x01\0', 'latin1')

test('a name is looked for on PATH; one with a slash is a path', () => {
  const path = file(join(second, 'found'), ELF)
  expect(findProgram('found', ['a', ''], PATH)).toEqual({ path, argv: ['found', 'a', ''] })
  expect(findProgram(path, [], '')).toEqual({ path, argv: [path] })
})

test('what cannot be run on PATH is passed over, and named where there is nothing else', () => {
  file(join(first, 'both'), ELF, 0o644)
  const path = file(join(second, 'both'), ELF)
  mkdirSync(join(first, 'folder'))
  expect(findProgram('both', [], PATH).path).toBe(path)
  expect(() => findProgram('both', [], first)).toThrow(
    expect.objectContaining({ exit: 126, message: 'Cannot run "both": permission denied' }),
  )
  expect(() => findProgram('folder', [], PATH)).toThrow(
    expect.objectContaining({ exit: 126, message: 'Cannot run "folder": it is a directory' }),
  )
})

test('a part of PATH that is empty is the working directory', () => {
  expect(() => findProgram('no-such-program', [], ':')).toThrow(
    expect.objectContaining({ exit: 127 }),
  )
})

describe('scripts', () => {
  test('one that says what reads it is run as it is', () => {
    const path = file(join(first, 'script'), '#! /bin/sh -e\ntrue\n')
    expect(findProgram('script', ['x'], PATH)).toEqual({ path, argv: ['script', 'x'] })
  })

  test('one that does not is for the shell', () => {
    const path = file(join(first, 'plain'), 'true\n')
    const argv = ['/bin/sh', path, 'x']
    expect(findProgram('plain', ['x'], PATH)).toEqual({ path: '/bin/sh', argv })
    const empty = file(join(first, 'empty'), '')
    expect(findProgram('empty', [], PATH).argv).toEqual(['/bin/sh', empty])
  })

  test.each([
    ['is not there', '#!/none/sh\n', 127],
    ['cannot be run', '#!/etc/passwd\n', 126],
    ['is a directory', '#!/etc \n', 126],
  ])('one whose reader %s', (_, content, exit) => {
    file(join(first, 'unreadable'), content)
    expect(() => findProgram('unreadable', [], PATH)).toThrow(
      expect.objectContaining({
        exit,
        message: expect.stringMatching(/^Cannot run "unreadable": what its first line names, "\//),
      }),
    )
  })
})

test.runIf(process.platform === 'linux')('what is neither a text nor a program is refused', () => {
  file(join(first, 'picture'), Buffer.from([0x89, 0x50, 0, 0x0a]))
  expect(() => findProgram('picture', [], PATH)).toThrow(
    expect.objectContaining({
      exit: 126,
      message: expect.stringContaining('it is not a program of this system'),
    }),
  )
})

test('a link is followed, and one that leads nowhere is not there', () => {
  symlinkSync(file(join(second, 'target'), ELF), join(first, 'link'))
  symlinkSync('/none', join(first, 'nowhere'))
  expect(findProgram('link', [], PATH).path).toBe(join(first, 'link'))
  expect(() => findProgram('nowhere', [], PATH)).toThrow(expect.objectContaining({ exit: 127 }))
})
