/** A program with the Python client hears of a rotation, whatever happens. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createServer } from 'node:tls'
import { describe, expect, test } from 'vitest'
import { makePair } from '../support/certificates.ts'
import { TestProcess } from '../support/process.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { type Follower, Following, followerTests, NAME } from './follower-suite.ts'

const program = new URL('python/follow.py', import.meta.url).pathname

function python(env: Record<string, string> = {}): Follower {
  return {
    start: (url, cache) => new TestProcess('python3', ['-B', program, url, NAME, cache], { env }),
    holds: (value) => new RegExp(`^holds ${value}$`),
    changed: (value) => new RegExp(`^changed ${value}$`),
    failed: /^failed (unreachable|rolled_back)$/,
    denied: /^denied denied$/,
  }
}

describe('a Python program hears of a rotation', () => {
  followerTests(python())

  test('and a secret that is denied leaves its cache, until it is allowed', async () => {
    await using following = await Following.start(python())
    const cached = (): unknown => JSON.parse(readFileSync(following.cache, 'utf8'))
    const url = `http://127.0.0.1:${await following.front()}`
    const follower = await following.follow('one', url)
    expect(cached()).toHaveProperty([NAME])
    following.allow('other')
    await follower.line(/^denied denied$/)
    expect(cached()).toEqual({})
    following.allow('prod/*')
    await follower.line(/^allowed one$/)
    expect(cached()).toHaveProperty([NAME])
  }, 300_000)

  test('and says that what answers is older than what it was told', async () => {
    await using following = await Following.start(python())
    const putBack = await following.copy()
    await following.put('two')
    const follower = await following.follow('two')
    await putBack()
    await follower.line(/^failed rolled_back$/)
    expect(follower.stdout).not.toContain('changed')
  }, 300_000)

  test('over TLS', async () => {
    using scratch = temporaryDirectory()
    const { certificate: cert, key } = makePair(['localhost'])
    const authority = join(scratch.path, 'authority.pem')
    writeFileSync(authority, cert)
    await using following = await Following.start(python({ SSL_CERT_FILE: authority }))
    const port = await following.front(createServer({ cert, key }))
    const follower = await following.follow('one', `https://localhost:${port}`)
    await following.put('two')
    await follower.line(/^changed two$/)
  }, 300_000)
})
