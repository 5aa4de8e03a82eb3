/** The Python client against Sotto. test/interop/store.test.ts has the same against setec. */
import { writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { fourCallers } from '../support/service.ts'
import { startSotto, temporaryDirectory } from '../support/sotto.ts'
import { expectPythonClient, tailnetIn } from './python-suite.ts'

test('the Python client', async () => {
  using scratch = temporaryDirectory()
  const tailnet = tailnetIn(scratch.path)
  writeFileSync(tailnet, JSON.stringify(fourCallers))
  const server = await startSotto({ args: ['--tailnet', tailnet] })
  try {
    await expectPythonClient(server.url, tailnet, true)
  } finally {
    expect(await server.stop()).toBe(0)
  }
}, 300_000)
