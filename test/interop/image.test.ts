/** The container image is made of what is pinned, by its hash, and of nothing else: the same input gives the same bytes. */
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { writeImage } from '../../.ci/image/image.ts'
import { fetchPart, type Part, readParts } from '../../.ci/image/parts.ts'
import { temporaryDirectory } from '../support/sotto.ts'

const scratch = temporaryDirectory()
afterAll(() => scratch[Symbol.dispose]())
const pinned = readParts()

/** The hash of an image with a program of a few bytes, which is as old as is said. */
function imageOf(text: string, age: number, created = 1_700_000_000): string {
  const program = join(scratch.path, 'program')
  writeFileSync(program, text, { mode: 0o700 })
  utimesSync(program, age, age)
  const output = join(scratch.path, 'image.tar')
  writeImage(output, {
    architecture: 'amd64',
    version: '1.2.3',
    files: [['/usr/bin/sotto', program]],
    parts: pinned,
    created,
    scratch: scratch.path,
  })
  return createHash('sha256').update(readFileSync(output)).digest('hex')
}

test('C6: the same program gives the same image, another one another', () => {
  const image = imageOf('one', 1000)
  expect(imageOf('one', 2000)).toBe(image)
  expect(imageOf('two', 1000)).not.toBe(image)
  expect(imageOf('one', 1000, 1_700_000_001)).not.toBe(image)
})

describe('C6: the parts of Debian', () => {
  const [part] = pinned.parts.filter(({ name }) => name === 'libatomic1') as [Part]
  const changed = (change: Partial<Part['files']['amd64']>): Part => ({
    ...part,
    files: { ...part.files, amd64: { ...part.files.amd64, ...change } },
  })

  test('that are not what is pinned are refused', () => {
    const other = changed({ sha256: '0'.repeat(64) })
    expect(() => fetchPart(other, 'amd64', temporary())).toThrow(
      /the package of libatomic1 \S+ for amd64 has the SHA-256 [0-9a-f]{64}, and parts\.json has 0{64}/,
    )
  })

  test('that are gone are named, with what to do', () => {
    const gone = changed({ path: part.files.amd64.path.replace('_12', '_11') })
    expect(() => fetchPart(gone, 'amd64', temporary())).toThrow(
      /can get libatomic1 \S+ for amd64 from no mirror\.\n.*run `node \.ci\/image\/pin\.ts`[^]*404/,
    )
  })

  test('are taken from the folder when they are there', () => {
    const folder = temporary()
    const file = fetchPart(part, 'amd64', folder)
    writeFileSync(file, 'something else')
    expect(() => fetchPart(part, 'amd64', folder)).toThrow(/has the SHA-256/)
  })

  function temporary(): string {
    return mkdtempSync(join(scratch.path, 'parts-'))
  }
})
