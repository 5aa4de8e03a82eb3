/** What programs make of secrets, without a server: files in its place, fields, updaters, fixed handles. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { bytes, fields, json, text } from '../../../client/store/fields.ts'
import { fileCache } from '../../../client/store/file-cache.ts'
import { fileSource } from '../../../client/store/file-source.ts'
import { fixedFile, fixedSecret } from '../../../client/store/fixed.ts'
import type { Source } from '../../../client/store/source.ts'
import { openStore, type Store } from '../../../client/store/store.ts'
import { fixedUpdater, updater } from '../../../client/store/updater.ts'
import { ManualTimers, settled } from '../../audit/fixtures.ts'
import { temporaryDirectory } from '../../support/sotto.ts'

const scratch = temporaryDirectory()
afterAll(() => scratch[Symbol.dispose]())

let files = 0
function written(content: string): string {
  const path = join(scratch.path, `secrets-${files++}.json`)
  writeFileSync(path, content)
  return path
}

/** A file of secrets with these texts. */
function fileOf(texts: Readonly<Record<string, string>>): string {
  const entries = Object.entries(texts).map(([name, TextValue]) => [
    name,
    { secret: { Version: 1, TextValue } },
  ])
  return written(JSON.stringify(Object.fromEntries(entries)))
}

async function storeOf(texts: Readonly<Record<string, string>>): Promise<Store> {
  return openStore({ server: await fileSource(fileOf(texts)), secrets: Object.keys(texts) })
}

describe('TestFileStore', () => {
  const content = JSON.stringify({
    apple: { secret: { Version: 1, Value: 'cGVhcg==' } },
    plum: { secret: { Version: 5, TextValue: 'cherry' } },
    none: { secret: { Version: 3 } },
    zero: { secret: { Version: 0, TextValue: 'x' } },
    odd: 5,
  })

  test('Client: has what the file has, at its version', async () => {
    const source = await fileSource(written(content))
    expect(await source.get('apple')).toEqual({ Value: Buffer.from('pear'), Version: 1 })
    expect(await source.get('plum')).toEqual({ Value: Buffer.from('cherry'), Version: 5 })
    expect(await source.getIfChanged('plum', 5)).toBeUndefined()
    expect(await source.getIfChanged('plum', 4)).toMatchObject({ Version: 5 })
    for (const name of ['none', 'zero', 'odd', 'nonesuch', '__proto__']) {
      await expect(source.get(name)).rejects.toMatchObject({ code: 'not_found' })
    }
  })

  test('Store, Missing: opens at once, or fails at once, and asks nobody later', async () => {
    const source = await fileSource(written(content))
    const timers = new ManualTimers()
    await using store = await openStore({ server: source, secrets: ['apple', 'plum'], timers })
    expect(store.secret('plum').text()).toBe('cherry')
    timers.advance(1e9)
    expect(store.health().polls).toBe(0)
    const missing = openStore({ server: source, secrets: ['apple', 'nonesuch'] })
    await expect(missing).rejects.toMatchObject({ code: 'not_found' })
  })

  test('TestFileClientCacheCompatibility: a cache is such a file', async () => {
    const path = join(scratch.path, 'sub', 'cache.json')
    const value = { Value: Buffer.from('pear'), Version: 7 }
    await fileCache(path).write('x', [{ name: 'apple', value, lastAccess: 1, checked: 1 }])
    expect(await (await fileSource(path)).get('apple')).toEqual(value)
  })

  test('what is no such file is refused', async () => {
    await expect(fileSource(written('[]'))).rejects.toMatchObject({ code: 'local' })
    await expect(fileSource(written('{'))).rejects.toThrow('it is not a JSON object of objects')
    await expect(fileSource(join(scratch.path, 'none'))).rejects.toThrow('there is no such file')
  })
})

test('TestVersionedSecretUnsupportedClient, TestVersionedSecretLookupsDisabled: refused at once', async () => {
  const server = await fileSource(fileOf({ plum: 'cherry' }))
  await using lookups = await openStore({ server, lookup: true })
  expect(() => lookups.versionedSecret('plum')).toThrow('has no versions to ask for')
  await using store = await openStore({ server, secrets: ['plum'] })
  expect(() => store.versionedSecret('plum')).toThrow('the store takes no lookups')
})

describe('TestFields', () => {
  test('reads each as what it is', async () => {
    await using store = await storeOf({
      'app/password': 'correct horse',
      'app/port': '5432',
      'app/tls': '{"cert":"c","depth":2}',
      'app/raw': 'bytes',
    })
    const tls = z.object({ cert: z.string(), depth: z.int() })
    const read = await fields(
      store,
      { password: text, port: z.coerce.number(), tls: json(tls), raw: bytes },
      { prefix: 'app/' },
    )
    const port: number = read.port
    const depth: number = read.tls.depth
    expect({ ...read, port, depth }).toEqual({
      password: 'correct horse',
      port: 5432,
      tls: { cert: 'c', depth: 2 },
      raw: Uint8Array.from(Buffer.from('bytes')),
      depth: 2,
    })
  })

  test('TestParseErrors: names all that cannot be read, and nothing of a value', async () => {
    const canary = 'canary-5512'
    await using store = await storeOf({
      number: canary,
      json: `{"${canary}": `,
      shape: `{"${canary}": "${canary}"}`,
      own: canary,
    })
    const own = {
      read: (value: Uint8Array) => {
        throw new Error(Buffer.from(value).toString())
      },
    }
    const shape = z.strictObject({ a: z.enum(['x']) })
    const attempt = fields(store, {
      number: z.coerce.number(),
      json: json(),
      shape: json(shape),
      own,
    })
    const error = (await attempt.catch((reason: unknown) => reason)) as Error
    expect(error.message).toBe(
      'Cannot read the secrets as they should be: "number": it does not fit its schema (invalid_type); "json": it is not JSON; "shape": it does not fit its schema (invalid_value, unrecognized_keys); "own": it cannot be read',
    )
    await expect(fields(store, { other: text })).rejects.toThrow('does not hold "other"')
  })

  test('looks up what is not declared, where the store does', async () => {
    const source = await fileSource(fileOf({ a: '1' }))
    await using store = await openStore({ server: source, lookup: true })
    expect(await fields(store, { a: text })).toEqual({ a: '1' })
    await expect(fields(store, { b: text })).rejects.toMatchObject({ code: 'not_found' })
  })
})

/** A source whose only secret, `label`, a test changes. */
function changing(): Source & { set(text: string): void } {
  let current = { Value: Buffer.from('1'), Version: 1 }
  return {
    server: 'memory:',
    get: async () => current,
    getIfChanged: async (_, held) => (held === current.Version ? undefined : current),
    set: (value) => {
      current = { Value: Buffer.from(value), Version: current.Version + 1 }
    },
  }
}

describe('TestUpdater', () => {
  async function following(build: (value: string) => string | Promise<string>): Promise<
    { set(text: string): Promise<void>; disposed: string[] } & AsyncDisposable & {
        readonly made: Awaited<ReturnType<typeof updater<string>>>
      }
  > {
    const source = changing()
    const timers = new ManualTimers()
    const store = await openStore({ server: source, secrets: ['label'], timers })
    const disposed: string[] = []
    const made = await updater(
      store,
      'label',
      ({ Value }) => build(Buffer.from(Value).toString()),
      {
        dispose: (old) => void disposed.push(old),
      },
    )
    const set = async (value: string): Promise<void> => {
      source.set(value)
      const done = store.refresh()
      timers.advance(1_000)
      await done
      await settled()
    }
    return { set, disposed, made, [Symbol.asyncDispose]: () => store.close() }
  }

  test('Dynamic: is made again for each version, and the old one is put away after that', async () => {
    await using all = await following((value) => `made of ${value}`)
    expect(all.made.get()).toBe('made of 1')
    await all.set('2')
    expect(all.made.get()).toBe('made of 2')
    expect(all.disposed).toEqual(['made of 1'])
    await all.made.close()
    await all.set('3')
    expect(all.made.get()).toBe('made of 2')
    expect(all.disposed).toEqual(['made of 1'])
  })

  test('one that cannot be made leaves the old one, until one can', async () => {
    await using all = await following((value) => {
      if (value === 'bad') throw new Error('cannot connect')
      return value
    })
    await all.set('bad')
    expect(all.made.get()).toBe('1')
    expect(all.made.error).toMatchObject({ message: 'cannot connect' })
    expect(all.disposed).toEqual([])
    await all.set('good')
    expect(all.made.get()).toBe('good')
    expect(all.made.error).toBeUndefined()
    expect(all.disposed).toEqual(['1'])
  })

  test('one is made at a time, and the latest follows', async () => {
    const gates = new Map<string, PromiseWithResolvers<void>>()
    const begun: string[] = []
    await using all = await following(async (value) => {
      begun.push(value)
      await gates.get(value)?.promise
      return value
    })
    gates.set('2', Promise.withResolvers())
    for (const value of ['2', '3', '4']) await all.set(value)
    expect(begun).toEqual(['1', '2'])
    expect(all.made.get()).toBe('1')
    gates.get('2')?.resolve()
    await settled()
    expect(begun).toEqual(['1', '2', '4'])
    expect(all.made.get()).toBe('4')
    expect(all.disposed).toEqual(['1', '2'])
  })

  test('the first must succeed', async () => {
    const source = changing()
    await using store = await openStore({ server: source, secrets: ['label'] })
    const failing = updater(store, 'label', () => Promise.reject(new Error('no')))
    await expect(failing).rejects.toThrow('no')
  })

  test('Static', () => {
    expect(fixedUpdater('I am the chosen one').get()).toBe('I am the chosen one')
  })
})

test('fixed secrets have what they were made of', async () => {
  expect(fixedSecret('a').text()).toBe('a')
  const path = written(' as it is \n')
  const handle = await fixedFile(path)
  expect(handle.text()).toBe(' as it is \n')
  handle.bytes().fill(0)
  expect(handle.text()).toBe(' as it is \n')
  await expect(fixedFile(join(scratch.path, 'none'))).rejects.toThrow('there is no such file')
})
