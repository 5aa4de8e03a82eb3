/**
 * Plays lost.txt: stores that are missing, foreign, newer or rolled back, and keys that are not theirs. What is
 * refused is refused soon, and changes nothing.
 */
import { execFile } from 'node:child_process'
import { hash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { type Answered, environmentOf, inProcess, play, type Played } from '../cli/play.ts'
import { readTranscript, type Variables } from '../cli/transcript.ts'
import { bytes, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'

const path = new URL('lost.txt', import.meta.url)

// Each server listens for signals, and here many are begun in one process.
process.setMaxListeners(50)

test('lost.txt', { timeout: 60_000 }, async () => {
  using scratch = temporaryDirectory()
  const variables: Variables = new Map([['dir', scratch.path]])
  for (const step of readTranscript(readFileSync(path, 'utf8'))) {
    const before = contents(scratch.path)
    const began = performance.now()
    await play(step, 'lost.txt', variables, (played) => act(played, scratch.path))
    if (!step.fields.has('exit')) continue
    expect(step.fields.get('stderr'), `line ${step.line}`).toMatch(/sotto: [^]*\nhint: /)
    expect(contents(scratch.path), `line ${step.line} changed something`).toEqual(before)
    expect(performance.now() - began, `line ${step.line} took long`).toBeLessThan(15_000)
  }
})

async function act(played: Played, cwd: string): Promise<Answered> {
  const { program, args } = played
  if (program === 'sotto') return inProcess(args, environmentOf(played))
  if (program === 'schema') {
    const db = new Database(args[1] ?? '')
    db.pragma(`user_version = ${args[0]}`)
    db.close()
    return { stdout: '', stderr: '', exit: '0' }
  }
  if (program === 'put') {
    await using service = await startService({}, { state: args[0] ?? '' })
    await service.client().put(args[1] ?? '', bytes('value'))
    return { stdout: '', stderr: '', exit: '0' }
  }
  const { stdout, stderr } = await promisify(execFile)(program, args, { cwd })
  return { stdout, stderr, exit: '0' }
}

/** Every file below `directory` but locks, and what a reader of SQLite makes beside a store. */
function contents(directory: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(directory, { recursive: true, encoding: 'utf8' })
      .filter((name) => !/(?:^|\/)lock|-(?:shm|wal)$/.test(name))
      .filter((name) => statSync(join(directory, name)).isFile())
      .toSorted()
      .map((name) => [name, hash('sha256', readFileSync(join(directory, name)))]),
  )
}
