/** The entry of the one-file program, where temporary files go to a folder of somebody else. */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { compileFunction } from 'node:vm'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../support/sotto.ts'

const entry = new URL('../../.ci/one-file/main.cjs', import.meta.url)

/** What the entry loads where temporary files go to `folder`, whose owner does `swap` after each step. */
function loadedFrom(folder: string, swap: () => void): string[] {
  const loaded: string[] = []
  const watched = {
    ...fs,
    openSync: (...args: Parameters<typeof fs.openSync>) => {
      const file = fs.openSync(...args)
      swap()
      return file
    },
    writeFileSync: (...args: Parameters<typeof fs.writeFileSync>) => {
      fs.writeFileSync(...args)
      swap()
    },
  }
  const modules: Readonly<Record<string, unknown>> = {
    'node:fs': watched,
    'node:module': {
      createRequire: () => () => {},
      syncBuiltinESMExports() {},
      registerHooks() {},
    },
    'node:os': { tmpdir: () => folder },
    'node:path': { join },
    'node:sea': { getRawAsset: () => Buffer.from('ours'), getAsset: () => '' },
    'node:worker_threads': { Worker },
  }
  const standIn = {
    dlopen: (_: unknown, path: string) => loaded.push(fs.readFileSync(path, 'utf8')),
    stderr: { write: (line: string) => loaded.push(line) },
    exit() {},
  }
  const start = compileFunction(fs.readFileSync(entry, 'utf8'), ['require', 'process'])
  Reflect.apply(start, undefined, [(name: string) => modules[name], standIn])
  const sqlite = Reflect.get(globalThis, Symbol.for('sotto.sqlite')) as () => unknown
  sqlite()
  return loaded
}

test('C7: what another puts in place of its library is not loaded', () => {
  using scratch = temporaryDirectory()
  let swaps = 0
  const loaded = loadedFrom(scratch.path, () => {
    const [made] = fs.readdirSync(scratch.path).filter((name) => name.startsWith('sotto-sqlite-'))
    if (made === undefined) return
    const directory = join(scratch.path, made)
    fs.renameSync(directory, join(scratch.path, `taken-${swaps++}`))
    fs.mkdirSync(directory)
    fs.writeFileSync(join(directory, 'sqlite.node'), 'theirs')
  })
  expect(swaps).toBeGreaterThan(1)
  expect(loaded).toEqual(['ours', 'ours'])
})

test('D10: nothing is removed but what it made, whatever another puts in its place', () => {
  using scratch = temporaryDirectory()
  const [folder, kept] = ['folder', 'kept'].map((name) => join(scratch.path, name)) as [
    string,
    string,
  ]
  for (const path of [folder, kept]) fs.mkdirSync(path)
  fs.writeFileSync(join(kept, 'sqlite.node'), 'not of ours')
  let swaps = 0
  const loaded = loadedFrom(folder, () => {
    const [made] = fs.readdirSync(folder).filter((name) => name.startsWith('sotto-sqlite-'))
    if (made === undefined) return
    const directory = join(folder, made)
    fs.renameSync(directory, join(folder, `taken-${swaps++}`))
    fs.symlinkSync(kept, directory)
  })
  expect(swaps).toBeGreaterThan(1)
  expect(loaded).toEqual(['ours', 'ours'])
  expect(fs.readdirSync(kept)).toEqual(['sqlite.node'])
})
