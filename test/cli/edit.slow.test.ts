/** `sotto edit`: a person at a terminal with an editor, and what is left when either is stopped. Needs Python, which has terminals to give. */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Draft } from '../../cli/editor.ts'
import { Client } from '../../client/client.ts'
import { TestProcess } from '../support/process.ts'
import { cli, type Running, startSotto, temporaryDirectory } from '../support/sotto.ts'
import { talk } from '../support/terminal.ts'

const noPython = process.env['CI'] !== 'true' && spawnSync('python3', ['--version']).status !== 0
const scratch = temporaryDirectory()
/** In memory, as the private directory of a user is. */
const runtime = mkdtempSync('/dev/shm/sotto-test-')
const seen = join(scratch.path, 'seen')
let server: Running
let client: Client
let name: string
let count = 0

beforeAll(async () => {
  server = await startSotto()
  client = new Client({ server: server.url })
})

beforeEach(() => {
  name = `edited/${++count}`
  rmSync(seen, { force: true })
})

afterAll(async () => {
  client.close()
  await server.stop()
  rmSync(runtime, { recursive: true, force: true })
  scratch[Symbol.dispose]()
})

const put = (value: string): Promise<number> => client.put(name, Buffer.from(value))
const latest = async (): Promise<string> => {
  const { Versions } = await client.info(name)
  return Buffer.from((await client.getVersion(name, Versions.at(-1) ?? 0)).Value).toString()
}

/** An editor that does what `script` says with the file `f`; the script is ES2020. */
function editor(script: string): string {
  const path = join(scratch.path, `editor-${count}`)
  const body = `#!${process.execPath}\nconst fs = require('node:fs'), f = process.argv.at(-1)\n${script}\n`
  writeFileSync(path, body)
  chmodSync(path, 0o700)
  return path
}

/** An editor that saves `text`. */
const saving = (text: string): string => editor(`fs.writeFileSync(f, ${JSON.stringify(text)})`)

const env = (program: string, more: Readonly<Record<string, string>> = {}) => ({
  SOTTO_SERVER: server.url,
  XDG_RUNTIME_DIR: runtime,
  EDITOR: program,
  ...more,
})

/** `sotto edit` at a terminal. */
async function edit(
  program: string,
  dialog: Parameters<typeof talk>[0]['dialog'] = [],
  args: readonly string[] = [],
  more: Readonly<Record<string, string>> = {},
) {
  const talked = await talk({
    argv: [process.execPath, cli, 'edit', name, ...args],
    env: env(program, more),
    dialog,
    patience: 60,
  })
  expect(readdirSync(runtime)).toEqual([])
  expect(talked.missed).toBeNull()
  return { exit: talked.exit, screen: talked.screen.replaceAll('\r\n', '\n') }
}

const yes = [['[y/N] ', 'y\r']] as const

describe.skipIf(noPython)('a person', () => {
  test('sees what changed, is asked, and has a version that is not active', async () => {
    await put('{"user":"alice","port":1}')
    const { exit, screen } = await edit(saving('{"user":"canary","port":"1"}'), yes)
    expect(screen).toBe(
      `changed  port  string, was number\nchanged  user  string\nSave "${name}"? [y/N] y\n` +
        `Secret saved as "${name}", version 2\n  To activate this version, run 'sotto activate "${name}" 2'\n`,
    )
    expect(exit).toBe(0)
    expect(await latest()).toBe('{"user":"canary","port":"1"}')
    expect(await client.info(name)).toMatchObject({ ActiveVersion: 1 })
  })

  test('who says no saves nothing', async () => {
    await put('one')
    const { exit, screen } = await edit(saving('canary'), [['[y/N] ', '\r']])
    expect([exit, screen]).toEqual([1, `Save "${name}"? [y/N] \nsotto: Nothing was saved\n`])
    expect(await latest()).toBe('one')
  })

  test('who breaks JSON gets back into the editor, with what was typed', async () => {
    await put('{"a":1}')
    const again = editor(
      `const was = fs.readFileSync(f, 'utf8')
       fs.writeFileSync(f, was === '{"a":1}' ? '{"canary":' : was + '2}')`,
    )
    const { exit, screen } = await edit(again, [['Press Enter', '\r'], ...yes])
    expect(screen).toContain(`"${name}" is JSON, and what the editor left is not.`)
    expect(screen.split('Save ')[0]).not.toContain('canary":')
    expect(exit).toBe(0)
    expect(await latest()).toBe('{"canary":2}')
  })

  test('Ctrl-C at the question ends it, and leaves nothing', async () => {
    await put('one')
    const { exit } = await edit(saving('canary'), [['[y/N] ', '\u0003']])
    expect(exit).toBe(130)
    expect(await latest()).toBe('one')
  })
})

/** `sotto edit --yes` without a terminal, to its end. */
async function unasked(
  program: string,
  args: readonly string[] = [],
  more: Readonly<Record<string, string>> = {},
) {
  const running = new TestProcess(process.execPath, [cli, 'edit', name, '--yes', ...args], {
    env: { PATH: process.env['PATH'], ...env(program, more) },
  })
  const exit = await running.exited
  expect(readdirSync(runtime)).toEqual([])
  return { exit, stdout: running.stdout, stderr: running.stderr }
}

describe('the file', () => {
  test('is private, in memory, with a directory of its own, and VISUAL goes first', async () => {
    await put('one')
    const looking = editor(
      `const { mode } = fs.statSync(f), dir = require('node:path').dirname(f)
       const what = [mode & 0o777, fs.statSync(dir).mode & 0o777, process.env.TMPDIR === dir, process.argv.slice(2, -1)]
       fs.writeFileSync(${JSON.stringify(seen)}, JSON.stringify([...what, fs.readFileSync(f, 'utf8')]))
       fs.appendFileSync(f, ' two')`,
    )
    const { exit } = await unasked('/none', [], { VISUAL: `"${looking}" --wait 'a b'` })
    expect(exit).toBe(0)
    const told = JSON.parse(readFileSync(seen, 'utf8')) as unknown
    expect(told).toEqual([0o600, 0o700, true, ['--wait', 'a b'], 'one'])
    expect(await latest()).toBe('one two')
  })

  test('that is as it was makes no version, and neither does a newline that an editor adds', async () => {
    await put('one')
    for (const program of [editor(''), saving('one\n')]) {
      const { exit, stderr } = await unasked(program)
      expect([exit, stderr]).toEqual([5, `sotto: Nothing was changed in "${name}"\n`])
    }
    await unasked(saving('two\n'), ['--activate'])
    expect(await latest()).toBe('two')
    expect(await client.info(name)).toMatchObject({ Versions: [1, 2], ActiveVersion: 2 })
    await unasked(saving('three\n\n'))
    expect(await latest()).toBe('three\n\n')
  })

  test('is not written to a disk unless that is asked for', () => {
    const given = { EDITOR: 'none', XDG_RUNTIME_DIR: '/proc' }
    const make = (onDisk: boolean) => new Draft(given, 'value', onDisk, '/none')
    expect(() => make(false)).toThrow(/There is no directory in memory/)
    using draft = make(true)
    expect(statSync(dirname(draft.path)).mode & 0o777).toBe(0o700)
    draft[Symbol.dispose]()
    expect(existsSync(dirname(draft.path))).toBe(false)
  })

  test('nothing is saved where somebody else saved a version meanwhile', async () => {
    await put('one')
    const racing = editor(
      `fs.writeFileSync(f, 'canary')
       require('node:child_process').execFileSync(process.execPath, [${JSON.stringify(cli)}, 'put', ${JSON.stringify(name)}], { input: 'other', stdio: ['pipe', 'ignore', 'ignore'] })`,
    )
    const { exit, stderr } = await unasked(racing)
    expect(exit).toBe(2)
    expect(stderr).toContain('its latest version is 2, and not 1')
    expect(stderr).not.toContain('canary')
    expect(await latest()).toBe('other')
  })

  test('an editor that fails changes nothing, nor does JSON that is broken', async () => {
    await put('{"a":1}')
    const failing = await unasked(editor(`fs.writeFileSync(f, 'canary'); process.exit(3)`))
    expect(failing).toMatchObject({
      exit: 1,
      stderr: 'sotto: The editor failed: it ended with 3; nothing was changed\n',
    })
    const missing = await unasked('/none/editor')
    expect(missing.exit).toBe(1)
    expect(missing.stderr).toContain('Cannot run the editor "/none/editor"')
    const broken = await unasked(saving('{"canary"'))
    expect(broken).toMatchObject({
      exit: 1,
      stderr: `sotto: "${name}" is JSON, and what the editor left is not\n`,
    })
    expect(await latest()).toBe('{"a":1}')
  })

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('is gone after %s', async (signal, code) => {
    await put('one')
    const waiting = editor(
      `fs.writeFileSync(${JSON.stringify(`${seen}-`)}, f)
       fs.renameSync(${JSON.stringify(`${seen}-`)}, ${JSON.stringify(seen)})
       process.stdout.write('edits\\n')
       setInterval(() => {}, 1000)`,
    )
    const running = new TestProcess(process.execPath, [cli, 'edit', name, '--yes'], {
      env: { PATH: process.env['PATH'], ...env(waiting) },
    })
    await running.firstLine()
    const file = readFileSync(seen, 'utf8')
    expect(existsSync(file)).toBe(true)
    running.child.kill(signal)
    expect(await running.exited).toBe(code)
    expect(existsSync(file)).toBe(false)
    expect(readdirSync(runtime)).toEqual([])
    expect(await latest()).toBe('one')
  })
})
