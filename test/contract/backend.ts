/** What every backend must do, whichever system keeps its values. */
import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import type { Backend, Leaf, NewProjection } from '../../server/backends/contract.ts'
import { contentOf } from '../../server/backends/content.ts'

/** What the suite needs of the kind of backend under test. */
export interface BackendFixture extends AsyncDisposable {
  readonly backend: Backend
  /** Another opening by the same store, as a server makes it after a restart. */
  readonly again: Backend
  /** The same place, opened by another store. */
  readonly other: Backend
  /** The same place, opened as another backend of the same store. */
  readonly sibling: Backend
  /** The same backend after a restore of the store: its branch is another, and the first one its former. */
  readonly successor: Backend
  /** The same backend of a branch that neither of them knows. */
  readonly stray: Backend
  /** Whether marks can be kept. */
  readonly marks: boolean
  /** Bytes that a leaf may have at least. */
  readonly takesBytes: number
  /** Someone else writes a projection of these fields, over whatever there is. */
  write(name: string, fields: object): Promise<void>
  /** Someone else deletes the newest revision of a projection, in the way that keeps its history. */
  deleteNewest(name: string): Promise<void>
  /** The same with a leaf; absent for systems that have no such way. */
  deleteLeaf?(leaf: Leaf): Promise<void>
  /** Texts that no error may show. */
  readonly secrets: readonly string[]
}

/** Names that a path, a URL, a policy or a listing could read as something else. */
export const hostileNames = [
  '..',
  '.',
  '../other/x',
  'a/../b',
  'a/./b',
  'a//b',
  '/a',
  'a/',
  '//',
  '/',
  '%2e%2e',
  'a%2Fb',
  'a%00b',
  'a?version=2',
  'a#b',
  'a\\b',
  'a\tb',
  'a b',
  ' ',
  '=',
  '=2E',
  'a=b/==',
  '+',
  '*',
  'a*',
  '_internal/x',
  'versions/a/7',
  'ключ/ü/鍵/🔑',
  'é',
  'e\u0301',
  'data',
  'metadata/x',
  'A',
  'a\u0000b',
  `deep${'/x'.repeat(200)}`,
  'long/'.repeat(60) + 'ß'.repeat(100),
]

/** Runs the suite on what `make` gives, which is made once. */
export function backendContract(kind: string, make: () => Promise<BackendFixture>): void {
  describe(`${kind} as a backend`, () => {
    let fixture: BackendFixture
    let backend: Backend
    let count = 0

    beforeAll(async () => {
      fixture = await make()
      backend = fixture.backend
    })

    afterAll(() => fixture?.[Symbol.asyncDispose]())

    /** A name that no other test has. */
    function fresh(suffix = ''): string {
      count++
      return `contract/${count}${suffix}`
    }

    function leafOf(name: string, version = 1, incarnation = 1): Leaf {
      return { name, incarnation, version }
    }

    function next(text: string, version = 1, incarnation = 1): NewProjection {
      const fingerprint = Buffer.from(text).toString('hex').slice(0, 64).padEnd(64, '0')
      return {
        content: contentOf(Buffer.from(text)),
        mark: { incarnation, version, fingerprint, start: 7 },
      }
    }

    async function codeOf(attempt: Promise<unknown>): Promise<string> {
      const error = await attempt.then(
        () => undefined,
        (reason: unknown) => reason,
      )
      expect(error).toBeInstanceOf(SottoError)
      const told = inspect(error, { depth: Infinity, showHidden: true })
      for (const secret of fixture.secrets) expect(told).not.toContain(secret)
      return (error as SottoError).code
    }

    async function shown(name: string): Promise<unknown> {
      const found = await backend.readProjection(name)
      return found && { ...found, content: found.content && JSON.parse(String(found.content)) }
    }

    test('passes its own test', async () => {
      const report = await backend.test()
      expect(report.product).toMatch(/^[A-Z]/)
      expect(report.marks).toBe(fixture.marks)
    })

    test('a leaf is written, read and removed, byte for byte', async () => {
      const values = [
        Buffer.alloc(0),
        Buffer.from('text'),
        randomBytes(1000),
        Buffer.from([0, 255, 10]),
      ]
      for (const value of values) {
        const leaf = leafOf(fresh())
        expect(await backend.readLeaf(leaf)).toBeUndefined()
        expect(await backend.writeLeaf(leaf, value)).toBe('written')
        expect(await backend.readLeaf(leaf)).toEqual(value)
        expect(await fixture.again.readLeaf(leaf)).toEqual(value)
        await backend.removeLeaf(leaf)
        expect(await backend.readLeaf(leaf)).toBeUndefined()
        await backend.removeLeaf(leaf)
      }
    })

    test('a leaf takes large values, and says beforehand what is too large', async () => {
      const large = randomBytes(fixture.takesBytes)
      const leaf = leafOf(fresh())
      await backend.writeLeaf(leaf, large)
      expect((await backend.readLeaf(leaf))?.equals(large)).toBe(true)
      const tooLarge = Buffer.alloc(2 * 1024 * 1024, 'x')
      const never = leafOf(fresh())
      expect(await codeOf(backend.writeLeaf(never, tooLarge))).toBe('backend_too_large')
      expect(await backend.readLeaf(never)).toBeUndefined()
      expect(await codeOf(backend.writeProjection(never.name, next(String(tooLarge)), 0))).toBe(
        'backend_too_large',
      )
      expect(await backend.readProjection(never.name)).toBeUndefined()
    })

    test('a leaf written again is the same leaf, and nothing else takes its place', async () => {
      const leaf = leafOf(fresh())
      const value = Buffer.from('first')
      await backend.writeLeaf(leaf, value)
      expect(await backend.writeLeaf(leaf, value)).toBe('present')
      expect(await fixture.again.writeLeaf(leaf, value)).toBe('present')
      expect(await codeOf(backend.writeLeaf(leaf, Buffer.from('second')))).toBe('conflict')
      expect(await backend.readLeaf(leaf)).toEqual(value)
    })

    test('what is given is left as it was', async () => {
      const value = Buffer.from('kept')
      const shownNext = next('kept')
      const name = fresh()
      await backend.writeLeaf(leafOf(name), value)
      await backend.writeProjection(name, shownNext, 0)
      expect(String(value)).toBe('kept')
      expect(String(shownNext.content.bytes)).toBe('{"value":"kept"}')
    })

    test('leaves of another incarnation or store are told apart and left alone', async () => {
      const name = fresh()
      const value = Buffer.from('of the first')
      await backend.writeLeaf(leafOf(name, 1, 1), value)
      const reborn = leafOf(name, 1, 2)
      expect(await codeOf(backend.readLeaf(reborn))).toBe('backend_altered')
      expect(await codeOf(backend.writeLeaf(reborn, value))).toBe('conflict')
      expect(await codeOf(backend.removeLeaf(reborn))).toBe('conflict')
      const same = leafOf(name, 1, 1)
      expect(await codeOf(fixture.other.readLeaf(same))).toBe('backend_altered')
      expect(await codeOf(fixture.other.writeLeaf(same, value))).toBe('conflict')
      expect(await codeOf(fixture.other.removeLeaf(same))).toBe('conflict')
      expect(await backend.readLeaf(same)).toEqual(value)
    })

    test('A1: a leaf of another backend of the store is not taken for its own, nor removed', async () => {
      const leaf = leafOf(fresh())
      const value = Buffer.from('of the first')
      await backend.writeLeaf(leaf, value)
      expect(await codeOf(fixture.sibling.readLeaf(leaf))).toBe('backend_altered')
      expect(await codeOf(fixture.sibling.writeLeaf(leaf, value))).toBe('conflict')
      expect(await codeOf(fixture.sibling.removeLeaf(leaf))).toBe('conflict')
      expect(await backend.readLeaf(leaf)).toEqual(value)
    })

    test('A6: a leaf is removed by its branch and by those that follow it, and by no other', async () => {
      const leaf = leafOf(fresh())
      const value = Buffer.from('of the first')
      await backend.writeLeaf(leaf, value)
      for (const other of [fixture.stray, fixture.successor]) {
        expect(await other.readLeaf(leaf)).toEqual(value)
        expect(await codeOf(other.writeLeaf(leaf, value))).toBe('conflict')
      }
      expect(await codeOf(fixture.stray.removeLeaf(leaf))).toBe('conflict')
      await fixture.successor.removeLeaf(leaf)
      expect(await backend.readLeaf(leaf)).toBeUndefined()
      await fixture.successor.writeLeaf(leaf, value)
      expect(await codeOf(backend.removeLeaf(leaf))).toBe('conflict')
    })

    test('A6: the place says who wrote there last, by compare-and-set', async () => {
      expect(await backend.readClaim()).toBeUndefined()
      const claim = { store: 'one', backend: 1, branch: 'b'.repeat(16), start: 3, record: '9 abc' }
      await backend.writeClaim(claim, 0)
      expect(await fixture.other.readClaim()).toEqual({ revision: 1, claim })
      const later = { ...claim, start: 4, record: '12 def' }
      expect(await codeOf(fixture.again.writeClaim(later, 0))).toBe('conflict')
      await fixture.again.writeClaim(later, 1)
      expect(await codeOf(backend.writeClaim(claim, 1))).toBe('conflict')
      expect(await backend.readClaim()).toEqual({ revision: 2, claim: later })
    })

    test('leaves are listed by number', async () => {
      const name = fresh()
      expect(await backend.leaves(name)).toEqual([])
      for (const version of [10, 2, 4_294_967_295, 1]) {
        await backend.writeLeaf(leafOf(name, version), Buffer.from('x'))
      }
      // A name whose leaves stand below a leaf of the other.
      await backend.writeLeaf(leafOf(`${name}/7`, 3), Buffer.from('y'))
      await backend.writeLeaf(leafOf(`${name}/2`, 3), Buffer.from('z'))
      expect(await backend.leaves(name)).toEqual([1, 2, 10, 4_294_967_295])
      expect(await backend.leaves(`${name}/2`)).toEqual([3])
      await backend.removeLeaf(leafOf(name, 2))
      expect(await backend.leaves(name)).toEqual([1, 10, 4_294_967_295])
      expect(String(await backend.readLeaf(leafOf(`${name}/2`, 3)))).toBe('z')
    })

    test('a leaf that someone deleted is an error, not absent, until it is removed', async () => {
      if (!fixture.deleteLeaf) return
      const leaf = leafOf(fresh())
      await backend.writeLeaf(leaf, Buffer.from('x'))
      await fixture.deleteLeaf(leaf)
      expect(await codeOf(backend.readLeaf(leaf))).toBe('backend_altered')
      expect(await codeOf(backend.writeLeaf(leaf, Buffer.from('x')))).toBe('conflict')
      expect(await backend.leaves(leaf.name)).toEqual([1])
      await backend.removeLeaf(leaf)
      expect(await backend.readLeaf(leaf)).toBeUndefined()
      expect(await backend.writeLeaf(leaf, Buffer.from('x'))).toBe('written')
    })

    test('a projection is shown, changed and removed by who knows its revision', async () => {
      const name = fresh()
      expect(await backend.readProjection(name)).toBeUndefined()
      const marked = { marked: fixture.marks }
      expect(await backend.writeProjection(name, next('{"a":"1","n":2}'), 0)).toEqual({
        revision: 1,
        ...marked,
      })
      expect(await shown(name)).toMatchObject({ revision: 1, content: { a: '1', n: 2 } })
      expect(await backend.writeProjection(name, next('two', 2), 1)).toEqual({
        revision: 2,
        ...marked,
      })
      expect(await codeOf(backend.writeProjection(name, next('three'), 1))).toBe('conflict')
      expect(await codeOf(backend.writeProjection(name, next('three'), 0))).toBe('conflict')
      expect(await codeOf(backend.writeProjection(name, next('three'), 3))).toBe('conflict')
      expect(await shown(name)).toMatchObject({ revision: 2, content: { value: 'two' } })
      expect(await codeOf(backend.removeProjection(name, 1))).toBe('conflict')
      await backend.removeProjection(name, 2)
      expect(await backend.readProjection(name)).toBeUndefined()
      await backend.removeProjection(name, 2)
      expect((await backend.writeProjection(name, next('again'), 0)).revision).toBe(1)
    })

    test('a projection whose answer was lost is written once', async () => {
      const name = fresh()
      await backend.writeProjection(name, next('a'), 0)
      expect((await backend.writeProjection(name, next('a'), 0)).revision).toBe(1)
      await backend.writeProjection(name, next('b', 2), 1)
      expect((await backend.writeProjection(name, next('b', 2), 1)).revision).toBe(2)
      expect(await shown(name)).toMatchObject({ revision: 2, content: { value: 'b' } })
    })

    test('a mark tells whose a projection is, of its own revision alone', async () => {
      const name = fresh()
      await backend.writeProjection(name, next('a', 3, 2), 0)
      const { mark } = next('a', 3, 2)
      const ours = await fixture.again.readProjection(name)
      const theirs = await fixture.other.readProjection(name)
      const { store = '' } = ours?.mark ?? {}
      const owner = { store, backend: 1, branch: 'b'.repeat(16) }
      expect(ours?.mark).toEqual(fixture.marks ? { ...mark, ...owner } : undefined)
      expect(theirs?.mark).toEqual(ours?.mark)
      await fixture.write(name, { value: 'edited' })
      expect(await backend.readProjection(name)).toMatchObject({ revision: 2 })
      expect((await backend.readProjection(name))?.mark).toBeUndefined()
      await fixture.other.writeProjection(name, next('b', 9), 2)
      const taken = (await backend.readProjection(name))?.mark
      expect(taken?.version).toBe(fixture.marks ? 9 : undefined)
      expect(new Set([store, taken?.store ?? '']).size).toBe(fixture.marks ? 2 : 1)
    })

    test('marks outlive many revisions', async () => {
      const name = fresh()
      for (let revision = 0; revision < 40; revision++) {
        await backend.writeProjection(name, next(`v${revision}`, revision + 1), revision)
      }
      const found = await backend.readProjection(name)
      expect(found).toMatchObject({ revision: 40 })
      expect(found?.mark?.version).toBe(fixture.marks ? 40 : undefined)
    })

    test('what someone else wrote or deleted is seen, with its revision', async () => {
      const name = fresh()
      await fixture.write(name, { b: 'x', a: { deep: [1, null, true] } })
      const found = await backend.readProjection(name)
      expect(String(found?.content)).toBe('{"a":{"deep":[1,null,true]},"b":"x"}')
      expect(found).toMatchObject({ revision: 1 })
      expect(found?.mark).toBeUndefined()
      expect(await codeOf(backend.writeProjection(name, next('ours'), 0))).toBe('conflict')
      await fixture.deleteNewest(name)
      const deleted = await backend.readProjection(name)
      expect(deleted).toEqual({ revision: 1 })
      expect(await codeOf(backend.writeProjection(name, next('ours'), 0))).toBe('conflict')
      expect((await backend.writeProjection(name, next('ours'), 1)).revision).toBe(2)
      expect(await shown(name)).toMatchObject({ content: { value: 'ours' } })
    })

    test('two that write at once: one wins', async () => {
      const name = fresh()
      const outcomes = await Promise.allSettled([
        backend.writeProjection(name, next('one'), 0),
        fixture.other.writeProjection(name, next('two'), 0),
        fixture.again.writeProjection(name, next('three'), 0),
      ])
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
      expect(await shown(name)).toMatchObject({ revision: 1 })
    })

    test.each(hostileNames)('the name %j has a place of its own', async (name) => {
      const value = Buffer.from(`value of ${name}`)
      const leaf = leafOf(name)
      expect(await backend.readLeaf(leaf)).toBeUndefined()
      expect(await backend.writeLeaf(leaf, value)).toBe('written')
      expect(await backend.readLeaf(leaf)).toEqual(value)
      expect(await backend.leaves(name)).toEqual([1])
      expect(await backend.readProjection(name)).toBeUndefined()
      await backend.writeProjection(name, next(name), 0)
      expect(await shown(name)).toMatchObject({ content: { value: name } })
    })
  })
}
