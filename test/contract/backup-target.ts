/** What every place that keeps backups must do. */
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { BackupTarget } from '../../server/backup/targets/target.ts'

/** What the suite needs of the kind of target under test. */
export interface TargetFixture extends AsyncDisposable {
  /** An empty one. */
  readonly target: BackupTarget
  /** Another object for the same place. */
  readonly again: BackupTarget
  /** The same kind of target for a place that is not there. */
  readonly nowhere: BackupTarget
}

/** Runs the suite on what `make` gives, which is made anew for each test. */
export function backupTargetContract(kind: string, make: () => Promise<TargetFixture>): void {
  describe(`${kind} as a backup target`, () => {
    let fixture: TargetFixture
    let target: BackupTarget

    beforeEach(async () => {
      fixture = await make()
      target = fixture.target
    })

    afterEach(() => fixture[Symbol.asyncDispose]())

    const put = (name: string, bytes: Uint8Array, size = bytes.byteLength): Promise<void> =>
      target.put({ name, size, content: inPieces(bytes) })

    const get = async (name: string, from = target): Promise<Buffer> => {
      const pieces: Uint8Array[] = []
      for await (const piece of await from.get(name)) pieces.push(piece)
      return Buffer.concat(pieces)
    }

    test('has nothing at first, and says where it is', async () => {
      expect(await target.list()).toEqual([])
      expect(target.description).not.toBe('')
    })

    test('gives back what was put, also to others, and lists it by name', async () => {
      const big = randomBytes(12 * 1024 * 1024 + 7)
      await put('b-2.backup', big)
      await put('b-10.backup', Buffer.from('small'))
      await put('A.backup', Buffer.from('x'))
      const listed = await target.list()
      expect(listed.map(({ name, size }) => ({ name, size }))).toEqual([
        { name: 'A.backup', size: 1 },
        { name: 'b-10.backup', size: 5 },
        { name: 'b-2.backup', size: big.length },
      ])
      expect((await get('b-2.backup', fixture.again)).equals(big)).toBe(true)
      expect(await fixture.again.list()).toEqual(listed)
      expect(new Set(listed.map(({ version }) => version)).size).toBe(3)
    })

    test('lets go of an object that is read in part alone', async () => {
      await put('a.backup', randomBytes(1024 * 1024))
      for await (const piece of await target.get('a.backup')) {
        expect(piece.byteLength).toBeGreaterThan(0)
        break
      }
      await target.delete('a.backup')
      expect(await target.list()).toEqual([])
    })

    test('does not list what is still being put', async () => {
      let during: unknown
      async function* content(): AsyncGenerator<Uint8Array> {
        yield Buffer.alloc(6 * 1024 * 1024)
        during = await target.list()
        yield Buffer.from('end')
      }
      await target.put({ name: 'a.backup', size: 6 * 1024 * 1024 + 3, content: content() })
      expect(during).toEqual([])
      expect(await target.list()).toHaveLength(1)
    })

    test('keeps nothing of what failed on the way, was broken off, or had another size', async () => {
      async function* failing(): AsyncGenerator<Uint8Array> {
        yield Buffer.alloc(6 * 1024 * 1024)
        throw new RangeError('the source failed')
      }
      const failed = target.put({ name: 'a.backup', size: 6 * 1024 * 1024 + 1, content: failing() })
      await expect(failed).rejects.toThrow('the source failed')
      await expect(put('a.backup', Buffer.from('short'), 6)).rejects.toMatchObject({
        code: 'target_unavailable',
      })
      const stop = new AbortController()
      async function* endless(): AsyncGenerator<Uint8Array> {
        for (let count = 0; count < 50; count++) {
          yield Buffer.alloc(1024 * 1024)
          stop.abort()
        }
      }
      const broken = target.put({
        name: 'a.backup',
        size: 50 * 1024 * 1024,
        content: endless(),
        signal: stop.signal,
      })
      await expect(broken).rejects.toThrow(/abort|broken off/)
      expect(await target.list()).toEqual([])
      await expect(target.get('a.backup')).rejects.toMatchObject({ code: 'no_backup' })
    })

    test('never puts one object in the place of another', async () => {
      await put('a.backup', Buffer.from('first'))
      await expect(put('a.backup', Buffer.from('second'))).rejects.toMatchObject({
        code: 'target_unavailable',
      })
      expect((await get('a.backup')).toString()).toBe('first')
    })

    test('deletes an object, and one that is not there', async () => {
      await put('a.backup', Buffer.from('first'))
      await target.delete('a.backup')
      await target.delete('a.backup')
      expect(await target.list()).toEqual([])
      await expect(target.get('a.backup')).rejects.toMatchObject({
        code: 'no_backup',
        message: expect.stringContaining('"a.backup"'),
      })
    })

    test('leaves no place but its own: names that lead elsewhere are none', async () => {
      for (const name of ['../a.backup', 'a/b', '.hidden', '']) {
        await expect(put(name, Buffer.from('x')), name).rejects.toMatchObject({
          code: 'target_unavailable',
        })
        await expect(target.get(name), name).rejects.toMatchObject({ code: 'no_backup' })
        await target.delete(name)
      }
    })

    test('that is not there says so, naming itself', async () => {
      const { nowhere } = fixture
      const content = inPieces(Buffer.from('x'))
      const unavailable = {
        code: 'target_unavailable',
        message: expect.stringContaining(nowhere.description),
        hint: expect.stringMatching(/./),
      }
      await expect(nowhere.list()).rejects.toMatchObject(unavailable)
      await expect(nowhere.put({ name: 'a.backup', size: 1, content })).rejects.toMatchObject(
        unavailable,
      )
    })
  })
}

async function* inPieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += 300_000) yield bytes.subarray(at, at + 300_000)
}
