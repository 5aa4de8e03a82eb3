import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

test('a process that waits for nothing else ends with the error', async () => {
  const source = new URL('../../server/crypto/bounded.ts', import.meta.url)
  const script = `
    import { bounded } from ${JSON.stringify(source.href)}
    const never = () => new Promise(() => {})
    const provider = { name: 'silent', fingerprint: never, wrap: never, unwrap: never }
    await bounded(provider, 10).fingerprint().catch(({ code }) => console.log(code))`
  const run = promisify(execFile)
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', script])
  expect(stdout).toBe('key_missing\n')
})
