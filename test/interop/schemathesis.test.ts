/**
 * Schemathesis reads the API's own description and makes requests of it, right ones and wrong ones:
 * no answer is a fault of the server, and every answer is one that the description tells of.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { callErrors } from '../../client/api/calls.ts'
import { depth } from '../support/depth.ts'
import { describeWith, requirePeer } from '../support/peers.ts'
import { TestProcess } from '../support/process.ts'
import { fourCallers } from '../support/service.ts'
import { startSotto, temporaryDirectory } from '../support/sotto.ts'

/** Checks that are not for this wire. */
const notOurs = [
  // setec answers 400 to what is no POST, and its clients know no 405.
  'unsupported_method',
  // Bodies are read as leniently as Go reads them: a null, a list of bytes, a name that is too long.
  'negative_data_rejection',
  // A number that was given before is 412, and 2.0 is no version, though it is an integer to JSON Schema.
  'positive_data_acceptance',
]

describeWith(['schemathesis'], 'Schemathesis', () => {
  test('finds no answer that the description does not tell of, and no fault', async () => {
    using scratch = temporaryDirectory()
    const tailnet = join(scratch.path, 'tailnet.json')
    writeFileSync(tailnet, JSON.stringify(fourCallers))
    const server = await startSotto({
      args: ['--state-dir', join(scratch.path, 'state'), '--tailnet', tailnet],
    })
    const seed = Math.floor(Math.random() * 1e9)
    const args = [
      'run',
      `${server.url}/api/openapi.json`,
      '--checks=all',
      `--exclude-checks=${notOurs.join(',')}`,
      // Its answers wait until something changes.
      '--exclude-path=/api/watch',
      '--phases=coverage,fuzzing',
      `--max-examples=${depth({ usual: 40, full: 100 })}`,
      `--seed=${seed}`,
      '--continue-on-failure',
      '--no-color',
    ]
    const tester = new TestProcess(requirePeer('schemathesis'), args, { cwd: scratch.path })
    const code = await tester.exited
    const said = tester.output
    await server.stop()
    expect(code, said).toBe(0)
    const [, tested, generated] =
      /Tested: (\d+)[\s\S]*?(\d+) generated, \d+ passed/.exec(said) ?? []
    console.log(`seed ${seed}: ${generated} requests to ${tested} methods`)
    expect(Number(tested), said).toBe(Object.keys(callErrors).length - 1)
    expect(Number(generated), said).toBeGreaterThan(800)
    expect(server.output().stderr).not.toContain('failed')
  }, 300_000)
})
