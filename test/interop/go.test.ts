/** The tests of test/interop/go: setec's released client package against Sotto and against setec. */
import { execFile, execFileSync } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describeWith, requirePeer } from '../support/peers.ts'
import { type Running, startSotto, temporaryDirectory } from '../support/sotto.ts'
import { type Reference, startSetecd } from './setecd.ts'
import { writeTailnet } from './tailnet.ts'

const run = promisify(execFile)

describeWith(['interop.test', 'setecd'], "setec's client package", () => {
  const program = requirePeer('interop.test')
  const listed = execFileSync(program, ['-test.list', '.'], { encoding: 'utf8' })
  // store.test.ts runs the one of files.
  const all = listed
    .trim()
    .split('\n')
    .filter((name) => name !== 'TestFile')
  const common = all.filter((name) => !name.startsWith('TestSotto'))
  const directory = temporaryDirectory()
  const tailnet = writeTailnet(directory.path)
  afterAll(() => directory[Symbol.dispose]())

  /** Fails with the log of the Go test when it does. */
  async function goTest(name: string, url: string): Promise<void> {
    const args = ['-test.v', '-test.count=1', '-test.timeout=60s', '-test.run', `^${name}$`]
    const env = { ...process.env, SOTTO_URL: url }
    const { stdout } = await run(program, args, { env }).catch((error: unknown) => {
      const { stdout: log, stderr } = error as { stdout: string; stderr: string }
      throw new Error(`${name} failed:\n${log}${stderr}`)
    })
    expect(stdout).toContain(`--- PASS: ${name} `)
    expect(stdout).not.toContain('--- SKIP')
  }

  describe('with Sotto', () => {
    let sotto: Running
    beforeAll(async () => {
      sotto = await startSotto({ args: ['--tailnet', tailnet] })
    })
    afterAll(() => sotto.stop())
    test.for(all)('%s', (name) => goTest(name, sotto.url))
  })

  describe('with setec, which shows that the tests are right', () => {
    let setecd: Reference
    beforeAll(async () => {
      setecd = await startSetecd(directory.path, tailnet)
    })
    afterAll(() => setecd.stop())
    test.for(common)('%s', (name) => goTest(name, setecd.url))
  })
})
