/** Caches in files: what is in them, who can read them, and what is left after damage and crashes. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { type Cache, type CachedSecret, decodeCache } from '../../../client/store/cache.ts'
import { fileCache, sealedCache } from '../../../client/store/file-cache.ts'
import { temporaryDirectory } from '../../support/sotto.ts'

const scratch = temporaryDirectory()
afterAll(() => scratch[Symbol.dispose]())

const canary = 'canary-71fe'
const server = 'https://secrets.example.ts.net'
const secrets: readonly CachedSecret[] = [
  { name: 'prod/a', value: value(canary, 3), lastAccess: 100, checked: 200 },
  { name: '__proto__', value: value('', 1), lastAccess: 0, checked: undefined },
]

function value(text: string, Version: number): CachedSecret['value'] {
  return { Value: Buffer.from(text), Version }
}

let made = 0
/** A place for a cache, in a folder that is not there yet. */
function place(): string {
  return join(scratch.path, `folder-${made++}`, 'sub', 'cache.json')
}

const key = join(scratch.path, 'key')
writeFileSync(key, randomBytes(32), { mode: 0o600 })

const kinds: readonly (readonly [string, (path: string) => Cache])[] = [
  ['plain', fileCache],
  ['sealed', (path) => sealedCache(path, key)],
]

describe.each(kinds)('TestNewFileCache: a %s cache', (_, open) => {
  test('OK, Create: gives back what was written, and its folder and file are the user’s alone', async () => {
    const path = place()
    const cache = open(path)
    expect(await cache.read(server)).toEqual({ secrets: [], faults: [] })
    expect(existsSync(join(path, '..'))).toBe(false)
    await cache.write(server, secrets)
    expect(await cache.read(server)).toEqual({ secrets, faults: [] })
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(statSync(join(path, '..')).mode & 0o777).toBe(0o700)
    await cache.write(server, secrets.slice(0, 1))
    expect((await open(path).read(server)).secrets).toHaveLength(1)
    expect(readdirSync(join(path, '..'))).toEqual(['cache.json'])
  })

  test('FailMkdir: a file where the folder should be', async () => {
    const blocker = join(scratch.path, `blocker-${made++}`)
    writeFileSync(blocker, 'ok')
    const path = join(blocker, 'foo', 'cache.json')
    await expect(open(path).write(server, secrets)).rejects.toMatchObject({
      code: 'local',
      message: expect.stringContaining(`Cannot write the cache of secrets "${path}"`),
    })
  })

  test('FailType: what is not a file is neither read nor replaced', async () => {
    const path = place()
    mkdirSync(path, { recursive: true, mode: 0o700 })
    await expect(open(path).read(server)).rejects.toMatchObject({ code: 'key_missing' })
    await expect(open(path).write(server, secrets)).rejects.toThrow('it is not a regular file')
    const link = join(path, 'link.json')
    symlinkSync('whatever', link)
    await expect(open(link).write(server, secrets)).rejects.toThrow('it is not a regular file')
  })

  test('a file that others can read is refused, and so is a folder that they can change', async () => {
    const path = place()
    const cache = open(path)
    await cache.write(server, secrets)
    chmodSync(path, 0o644)
    await expect(cache.read(server)).rejects.toMatchObject({ code: 'key_exposed' })
    chmodSync(path, 0o600)
    chmodSync(join(path, '..'), 0o777)
    await expect(cache.read(server)).rejects.toMatchObject({ code: 'key_exposed' })
    await expect(cache.write(server, [])).rejects.toMatchObject({ code: 'unsafe' })
    chmodSync(join(path, '..'), 0o700)
    expect((await cache.read(server)).secrets).toHaveLength(2)
  })

  test('what a writer left that was killed is removed, unless it may be writing now', async () => {
    const path = place()
    const cache = open(path)
    await cache.write(server, secrets)
    const [old, young] = ['0123456789abcdef', 'fedcba9876543210'].map((id) => `${path}.${id}.new`)
    for (const draft of [old, young]) writeFileSync(draft as string, canary)
    writeFileSync(`${path}.notes.new`, 'of the user')
    const before = new Date(Date.now() - 120_000)
    utimesSync(old as string, before, before)
    utimesSync(`${path}.notes.new`, before, before)
    await cache.write(server, secrets)
    expect(readdirSync(join(path, '..')).toSorted()).toEqual([
      'cache.json',
      'cache.json.fedcba9876543210.new',
      'cache.json.notes.new',
    ])
  })

  test('any damage loses entries, and gives nothing that was not written', async () => {
    const path = place()
    const cache = open(path)
    await cache.write(server, secrets)
    const whole = readFileSync(path)
    await fc.assert(
      fc.asyncProperty(
        fc.nat(whole.length - 1),
        fc.integer({ min: 1, max: 255 }),
        async (at, flip) => {
          const damaged = Buffer.from(whole)
          damaged[at] = (damaged[at] as number) ^ flip
          writeFileSync(path, damaged)
          const { secrets: read } = await cache.read(server)
          expect(read.length).toBeLessThanOrEqual(2)
          // A plain cache has nothing to know its values by.
          const known = cache.notice === undefined ? secrets : read
          expect(known).toEqual(expect.arrayContaining([...read]))
        },
      ),
      { numRuns: 200 },
    )
    writeFileSync(path, whole.subarray(0, whole.length / 2))
    expect(await cache.read(server)).toMatchObject({ secrets: [], faults: [expect.any(String)] })
  })
})

describe('a sealed cache', () => {
  test('has no value in the clear, and says what it is to nobody', async () => {
    const path = place()
    await sealedCache(path, key).write(server, secrets)
    const text = readFileSync(path, 'latin1')
    expect(text).not.toContain(canary)
    expect(text).not.toContain(Buffer.from(canary).toString('base64'))
    expect(sealedCache(path, key).notice).toBeUndefined()
    expect(fileCache(path).notice).toContain('as they are')
  })

  test('opens nothing of another server or key, and no entry in the place of another', async () => {
    const path = place()
    const cache = sealedCache(path, key)
    const two = [
      { name: 'a', value: value('1', 1), lastAccess: 5, checked: 5 },
      { name: 'b', value: value('2', 1), lastAccess: 5, checked: 5 },
    ]
    await cache.write(server, two)
    const others = await cache.read('https://other.example.ts.net')
    expect(others.secrets).toEqual([])
    expect(others.faults).toHaveLength(2)
    const other = join(scratch.path, 'other-key')
    writeFileSync(other, randomBytes(40), { mode: 0o600 })
    expect((await sealedCache(path, other).read(server)).secrets).toEqual([])

    const entries = JSON.parse(readFileSync(path, 'utf8')) as Record<
      string,
      Record<string, unknown>
    >
    const changed = (change: (all: typeof entries) => void): Promise<{ secrets: unknown }> => {
      const copy = structuredClone(entries)
      change(copy)
      writeFileSync(path, JSON.stringify(copy), { mode: 0o600 })
      return cache.read(server)
    }
    const swapped = await changed((all) => {
      ;[all['a'], all['b']] = [all['b'] ?? {}, all['a'] ?? {}]
    })
    expect(swapped.secrets).toEqual([])
    for (const [field, forged] of [
      ['Version', 2],
      ['lastAccess', 6],
      // A server was asked later than it was.
      ['checked', 4_000_000_000],
      ['checked', undefined],
    ] as const) {
      const { secrets: read } = await changed((all) => {
        ;(all['a'] as Record<string, unknown>)[field] = forged
      })
      expect(read, field).toEqual([expect.objectContaining({ name: 'b' })])
    }
  })

  test('a key that is short, absent, or open to others is refused', async () => {
    const path = place()
    const short = join(scratch.path, 'short')
    writeFileSync(short, randomBytes(31), { mode: 0o600 })
    await expect(sealedCache(path, short).write(server, [])).rejects.toThrow('it has 31 bytes')
    await expect(sealedCache(path, `${key}-none`).read(server)).rejects.toMatchObject({
      code: 'key_missing',
      hint: expect.stringContaining('32 random bytes'),
    })
    const open = join(scratch.path, 'open-key')
    writeFileSync(open, randomBytes(32), { mode: 0o644 })
    await expect(sealedCache(path, open).read(server)).rejects.toMatchObject({
      code: 'key_exposed',
    })
  })
})

test('what setec keeps of given versions alone is no damage, and not used', () => {
  const versions = { 100: 'bzE=' }
  const text = JSON.stringify({
    orange: { secret: null, versions, lastAccess: '1' },
    apple: { secret: { Value: 'YTE=', Version: 1 }, versions, lastAccess: '1' },
    pear: { secret: null, lastAccess: '1' },
  })
  const { secrets: read, faults } = decodeCache(text)
  expect(read.map(({ name }) => name)).toEqual(['apple'])
  expect(faults).toEqual(['its entry "pear" is damaged'])
})

test('writers at the same time leave one whole cache', async () => {
  const path = place()
  const caches = Array.from({ length: 20 }, () => fileCache(path))
  await Promise.all(
    caches.map((cache, at) =>
      cache.write(server, [
        { name: 'n', value: value(`v${at}`, at + 1), lastAccess: 1, checked: 1 },
      ]),
    ),
  )
  const { secrets: read, faults } = await fileCache(path).read(server)
  expect(faults).toEqual([])
  expect(read).toHaveLength(1)
  expect(readdirSync(join(path, '..'))).toEqual(['cache.json'])
})
