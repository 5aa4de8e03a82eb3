/** A program with the library hears of a rotation, whatever happens. */
import { describe } from 'vitest'
import { TestProcess } from '../../support/process.ts'
import { followerTests, NAME } from '../follower-suite.ts'

const program = new URL('follow.ts', import.meta.url).pathname

describe('a program with the library hears of a rotation', () => {
  followerTests({
    start: (url, cache) => new TestProcess(process.execPath, [program, url, NAME, cache]),
    holds: (value) => new RegExp(`^holds ${value}$`),
    changed: (value) => new RegExp(`^changed ${value}$`),
    failed: /^failed (unreachable|rolled_back)$/,
    denied: /^denied denied$/,
  })
})
