/** Sotto's store with setec: all of its tests against setec's server, and caches that the other reads. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { Client } from '../../client/client.ts'
import { fileCache } from '../../client/store/file-cache.ts'
import { openStore } from '../../client/store/store.ts'
import type { TailnetFile } from '../../server/identity/development.ts'
import { expectPythonClient, tailnetIn } from '../client/python-suite.ts'
import { describeStore, type Server } from '../client/store/store-suite.ts'
import { describeWith, requirePeer } from '../support/peers.ts'
import { bytes, fourCallers } from '../support/service.ts'
import { startSotto, temporaryDirectory } from '../support/sotto.ts'
import { startSetecd } from './setecd.ts'

const run = promisify(execFile)

describeWith(['setecd'], 'setec', () => {
  const start = async (): Promise<Server> => {
    const scratch = temporaryDirectory()
    const tailnet = join(scratch.path, 'tailnet.json')
    const policy = (file: TailnetFile): void => writeFileSync(tailnet, JSON.stringify(file))
    policy(fourCallers)
    const setecd = await startSetecd(scratch.path, tailnet)
    return {
      client: (from = '127.0.0.1') => new Client({ server: setecd.url, localAddress: from }),
      policy,
      [Symbol.asyncDispose]: async () => {
        await setecd.stop()
        scratch[Symbol.dispose]()
      },
    }
  }
  describe('a store that polls', () => {
    describeStore(start, false)
  })
  describe('a store that asks to be told', () => {
    describeStore(start, true)
  })
})

describeWith(['setecd'], 'the Python client with setec', () => {
  test('does the same as with Sotto', async () => {
    using scratch = temporaryDirectory()
    const tailnet = tailnetIn(scratch.path)
    writeFileSync(tailnet, JSON.stringify(fourCallers))
    const setecd = await startSetecd(scratch.path, tailnet)
    try {
      await expectPythonClient(setecd.url, tailnet, false)
    } finally {
      await setecd.stop()
    }
  }, 300_000)
})

describeWith(['interop.test'], 'caches', () => {
  test('setec reads what Sotto keeps, and Sotto what setec keeps', async () => {
    using scratch = temporaryDirectory()
    const [ours, theirs] = ['ours', 'theirs'].map((name) => join(scratch.path, name, 'cache.json'))
    const server = await startSotto({})
    try {
      const client = new Client({ server: server.url })
      await client.put('file/a', bytes('first'))
      await client.activate('file/a', await client.put('file/a', bytes('of Sotto')))
      const secrets = ['file/a']
      await (await openStore({ server: client, secrets, cache: fileCache(ours as string) })).close()
      const env = { ...process.env, SOTTO_URL: server.url, SOTTO_CACHE: ours, SETEC_CACHE: theirs }
      const args = ['-test.v', '-test.count=1', '-test.timeout=60s', '-test.run', '^TestFile$']
      const { stdout } = await run(requirePeer('interop.test'), args, { env })
      expect(stdout).toContain('--- PASS: TestFile ')
      client.close()
    } finally {
      await server.stop()
    }
    await using store = await openStore({
      server: 'http://127.0.0.1:1',
      secrets: ['file/a'],
      cache: fileCache(theirs as string),
    })
    expect(store.secret('file/a').text()).toBe('of Sotto')
  })
})
