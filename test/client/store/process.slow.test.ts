/** What keeps a program running, and what does not. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { startTestServer } from '../../../server/testing/test-server.ts'
import { run, TestProcess } from '../../support/process.ts'
import { temporaryDirectory } from '../../support/sotto.ts'

const scratch = temporaryDirectory()
afterAll(() => scratch[Symbol.dispose]())

const library = new URL('../../../client/exports.ts', import.meta.url).href

/** A program with a store that polls a source which always has the same. */
function program(name: string, body: string): string {
  const path = join(scratch.path, `${name}.mjs`)
  writeFileSync(
    path,
    `import { openStore, updater } from '${library}'
const value = { Value: Buffer.from('x'), Version: 1 }
const server = { server: 'memory:', get: async () => value, getIfChanged: async () => undefined }
const store = await openStore({ server, secrets: ['a'], pollMs: 20 })
${body}
`,
  )
  return path
}

test.each([
  ['a store', ''],
  ['an updater', "await updater(store, 'a', () => 1)"],
  ['a reader of changes who left', "store.changes('a').next(); await store.close()"],
])('%s does not', async (name, body) => {
  const { code, stderr } = await run(process.execPath, [program(name, body)])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
})

test('a store that is told of changes does not', async () => {
  await using server = await startTestServer()
  await server.put('a', 'x')
  const path = join(scratch.path, 'told.mjs')
  writeFileSync(
    path,
    `import { openStore } from '${library}'
import { setTimeout } from 'node:timers/promises'
const store = await openStore({ server: '${server.url}', secrets: ['a'] })
while (store.health().state !== 'live') await setTimeout(10)
console.log('live')
`,
  )
  const { code, stdout, stderr } = await run(process.execPath, [path])
  expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'live\n', stderr: '' })
})

test('a reader of changes does, until a signal comes', async () => {
  const body = "console.log('reading'); for await (const each of store.changes('a')) void each"
  await using reading = new TestProcess(process.execPath, [program('reader', body)])
  await reading.line(/^reading$/m)
  // Nothing else would keep it for that long.
  const ended = await Promise.race([
    reading.exited,
    new Promise((resolve) => setTimeout(resolve, 500, 'running')),
  ])
  expect(ended).toBe('running')
  reading.signal('SIGTERM')
  await reading.exited
})
