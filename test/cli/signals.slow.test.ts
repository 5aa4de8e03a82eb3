/** U18: what asks a program to stop ends every command, which leaves nothing half done. */
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Client } from '../../client/client.ts'
import { TestProcess } from '../support/process.ts'
import { cli, runSotto, startSotto, temporaryDirectory } from '../support/sotto.ts'

const scratch = temporaryDirectory()
const state = join(scratch.path, 'state')
const backups = join(scratch.path, 'backups')
const key = ['--key-file', join(state, 'local.key')]
let backup: string

beforeAll(async () => {
  mkdirSync(backups)
  const server = await startSotto({ args: ['--state-dir', state] })
  const client = new Client({ server: server.url })
  for (let at = 0; at < 20; at++) await client.put(`prod/${at}`, Buffer.from(`value ${at}`))
  client.close()
  await server.stop()
  const made = await runSotto(['backup', 'create', '--to', backups, '--state-dir', state])
  backup = join(backups, made.stdout.trim())
})

afterAll(() => scratch[Symbol.dispose]())

/** A temporary directory for one command, and what is left in it. */
function temporary(name: string): { readonly path: string; readonly left: () => string[] } {
  const path = join(scratch.path, name)
  mkdirSync(path)
  return { path, left: () => readdirSync(path) }
}

/**
 * Runs a command that sends itself `signal` at the moment when it has made a folder whose name has `part` in it.
 * With `hangs` it then waits for ever, as for another machine.
 */
function struck(
  args: readonly string[],
  signal: string,
  part: string,
  TMPDIR: string,
  hangs = false,
) {
  const hook = `
    import fs from 'node:fs'
    import { syncBuiltinESMExports } from 'node:module'
    for (const name of ['mkdir', 'mkdtemp']) {
      const make = fs.promises[name]
      fs.promises[name] = async (path, ...rest) => {
        const made = await make(path, ...rest)
        if (!String(path).includes('${part}')) return made
        process.kill(process.pid, '${signal}')
        return ${hangs} ? new Promise(() => setInterval(() => {}, 1000)) : made
      }
    }
    syncBuiltinESMExports()`
  const node = ['--import', `data:text/javascript,${encodeURIComponent(hook)}`]
  return new TestProcess(process.execPath, [...node, cli, ...args], { env: { TMPDIR } })
}

test.each([['SIGHUP'], ['SIGINT'], ['SIGQUIT']] as const)(
  'U18: %s stops a server in order, and its temporary directory is gone',
  async (signal) => {
    const { path, left } = temporary(`dev-${signal}`)
    const server = await startSotto({ env: { TMPDIR: path } })
    expect(left()).toEqual([expect.stringMatching(/^sotto-dev-/)])
    const ended = once(server.process, 'close')
    server.process.kill(signal)
    // npm passes on what the terminal has sent to all of its programs already.
    server.process.kill(signal)
    expect(await ended).toEqual([0, null])
    expect(server.output().stderr).toContain(`${signal}: finishing what was accepted\n`)
    expect(left()).toEqual([])
  },
)

test.each([
  ['backup verify', 'SIGTERM', 143, 'sotto-verify-', () => ['backup', 'verify', backup]],
  ['backup verify again', 'SIGQUIT', 131, 'sotto-verify-', () => ['backup', 'verify', backup]],
  ['restore --dry-run', 'SIGHUP', 129, 'sotto-restore-', () => ['restore', '--dry-run', backup]],
] as const)(
  'U18: what %s unpacked is gone after %s, with %i',
  async (_, signal, exit, part, args) => {
    const { path, left } = temporary(`${part}${exit}`)
    const command = struck([...args(), ...key], signal, part, path)
    expect([await command.exited, command.output]).toEqual([exit, ''])
    expect(left()).toEqual([])
  },
)

test.each([
  ['a backup', 'SIGINT', 130, () => [backup]],
  ['a copy', 'SIGHUP', 129, () => [join(state, 'sotto.db')]],
  ['a backup with a log', 'SIGTERM', 143, () => [backup, '--audit', join(state, 'audit')]],
] as const)(
  'U18: a restore of %s leaves no store after %s, with %i',
  async (what, signal, exit, source) => {
    const to = join(scratch.path, `restored ${what}`)
    const args = ['restore', ...source(), '--to', to, ...key]
    const command = struck(args, signal, '.partial', scratch.path)
    expect([await command.exited, command.output]).toEqual([exit, ''])
    expect(
      existsSync(to) ? readdirSync(to).filter((name) => !name.startsWith('lock')) : [],
    ).toEqual([])
  },
)

test('U18: a command that waits for what does not answer ends soon, and leaves nothing', async () => {
  const to = join(scratch.path, 'waits')
  const args = ['restore', backup, '--to', to, ...key]
  const command = struck(args, 'SIGINT', '.partial', scratch.path, true)
  expect([await command.exited, command.output]).toEqual([130, ''])
  expect(readdirSync(to).filter((name) => !name.startsWith('lock'))).toEqual([])
})
