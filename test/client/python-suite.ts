/** Runs the tests of the Python client against a server. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { run } from '../support/process.ts'

const program = new URL('python/test_sotto.py', import.meta.url).pathname

/** Runs all of them; `tailnet` is the file that the server identifies callers by; `watches`: it tells of changes. */
export async function expectPythonClient(
  url: string,
  tailnet: string,
  watches: boolean,
): Promise<void> {
  const WATCHES = watches ? 'yes' : 'no'
  const environment = { ...process.env, SOTTO_URL: url, TAILNET: tailnet, WATCHES }
  const { code, stderr } = await run('python3', ['-B', program], { environment })
  expect(stderr).toMatch(/\nOK\n$/)
  expect(code).toBe(0)
  const written = readFileSync(program, 'utf8').match(/^ {4}def test_/gm) ?? []
  expect(stderr).toContain(`Ran ${written.length} tests`)
}

/** The tailnet file of a server that was started in `folder`. */
export function tailnetIn(folder: string): string {
  return join(folder, 'tailnet.json')
}
