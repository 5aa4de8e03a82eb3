/** The programs of docs/guides/use-it.md do what the page says, against a development server. */
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { examplesIn, filesIn, runExamples, showsLine } from '../support/console.ts'
import { describeWith, requirePeer } from '../support/peers.ts'
import { TestProcess, run } from '../support/process.ts'
import { cli, type Running, runSotto, startSotto, temporaryDirectory } from '../support/sotto.ts'

const top = new URL('../..', import.meta.url).pathname
const page = readFileSync(join(top, 'docs/guides/use-it.md'), 'utf8')
const SHOWN = 'http://127.0.0.1:4180'
const NAME = 'prod/web/key'

describeWith(['curl', 'jq', 'python3', 'go', 'systemd-analyze'], 'docs/guides/use-it.md', () => {
  const scratch = temporaryDirectory()
  const bin = join(scratch.path, 'bin')
  const state = join(scratch.path, 'state')
  const node = process.execPath
  let server: Running

  beforeAll(async () => {
    for (const [name, text] of filesIn(page)) writeFileSync(join(scratch.path, name), text)
    mkdirSync(bin)
    writeFileSync(join(bin, 'sotto'), `#!/bin/sh\nexec ${node} ${cli} "$@"\n`)
    chmodSync(join(bin, 'sotto'), 0o755)
    // The package by its name, as it is in the sources; package.test.ts installs what is packed.
    const installed = join(scratch.path, 'node_modules/sotto')
    mkdirSync(installed, { recursive: true })
    for (const room of ['audit', 'client', 'server', 'node_modules']) {
      symlinkSync(join(top, room), join(installed, room))
    }
    const exports = {
      './client': './client/exports.ts',
      './testing': './server/testing/test-server.ts',
    }
    const manifest = { name: 'sotto', type: 'module', exports }
    writeFileSync(join(installed, 'package.json'), JSON.stringify(manifest))
    server = await startSotto({ args: ['--state-dir', state] })
    await put('correct horse')
  })

  afterAll(async () => {
    await server.stop()
    scratch[Symbol.dispose]()
  })

  const put = async (value: string): Promise<void> => {
    const args = ['-s', server.url, 'put', '--activate', NAME]
    expect(await runSotto(args, { input: value })).toMatchObject({ code: 0 })
  }
  /** Starts the server again after it was stopped, where it was. */
  const startAgain = async (): Promise<void> => {
    const listen = `127.0.0.1:${server.port}`
    server = await startSotto({ args: ['--state-dir', state, '--listen', listen] })
  }
  /** What a program of the page prints, run in the folder that has its files. */
  const printed = async (program: string, ...args: string[]): Promise<string> => {
    const env = { SOTTO_SERVER: server.url, GOFLAGS: '-mod=mod' }
    const { code, stdout, stderr } = await run(program, args, { cwd: scratch.path, env })
    expect(code, stderr).toBe(0)
    return stdout
  }

  test('its blocks of shell print what is shown', async () => {
    const examples = examplesIn(page, 'use-it')
    expect(examples.length).toBeGreaterThan(4)
    const answers = await runExamples(examples, {
      cwd: scratch.path,
      env: { ...process.env, PATH: `${bin}:${process.env['PATH']}` },
      replace: (command) => command.replaceAll(SHOWN, server.url),
    })
    for (const [at, { command, expected }] of examples.entries()) {
      // What a put says is not shown.
      if (command.includes('sotto put')) continue
      const lines = answers[at] ?? []
      expect(lines, command).toHaveLength(expected.length)
      for (const [index, line] of lines.entries()) {
        expect(showsLine(expected[index] ?? '', line), `${command}\n${line}`).toBe(true)
      }
    }
  })

  test('Node reads the value', async () => {
    expect(await printed(node, 'read.mjs')).toBe('correct horse\n')
  })

  test('each program hears of a new version, goes on while the server is down, and hears of the next', async () => {
    copyFileSync(join(top, 'client/python/sotto.py'), join(scratch.path, 'sotto.py'))
    for (const file of ['docs/guides/examples/watch.go', 'test/interop/go/go.mod']) {
      copyFileSync(join(top, file), join(scratch.path, basename(file)))
    }
    copyFileSync(join(top, 'test/interop/go/go.sum'), join(scratch.path, 'go.sum'))
    await printed(requirePeer('go'), 'build', '-o', 'web', 'main.go', 'watch.go')
    const credentials = join(scratch.path, 'credentials')
    mkdirSync(credentials)
    writeFileSync(join(credentials, 'cache-key'), randomBytes(32), { mode: 0o600 })
    const env = { SOTTO_SERVER: server.url, CREDENTIALS_DIRECTORY: credentials }
    const start = (program: string, ...args: string[]): TestProcess =>
      new TestProcess(program, args, { cwd: scratch.path, env })

    await using shell = start('bash', 'follow.sh')
    await using script = start(node, 'follow.mjs')
    await using python = start(requirePeer('python3'), '-B', 'web.py')
    await using go = start('./web')
    await shell.line(/^version 1$/)
    await script.line(/^correct horse 1$/)
    await python.line(/^correct horse 1$/)
    await go.line(/^correct horse$/)
    await put('battery staple')
    await shell.line(/^version 2$/)
    await script.line(/^version 2$/)
    await python.line(/^changed prod\/web\/key 2$/)
    await go.line(/^battery staple$/)
    expect(readFileSync(join(scratch.path, 'key'), 'utf8')).toBe('battery staple')

    await server.stop()
    await script.line(/^Cannot .*$/m)
    await python.line(/^failed None Cannot .*$/)
    await shell.line(/^curl: .*$/)
    // Those with a cache start meanwhile.
    await using another = start(node, 'follow.mjs')
    await another.line(/^battery staple 2$/)
    await using second = start('./web')
    await second.line(/^battery staple$/)
    await startAgain()
    await put('again')
    await Promise.all([
      shell.line(/^version 3$/),
      script.line(/^version 3$/),
      another.line(/^version 3$/),
      python.line(/^changed prod\/web\/key 3$/),
      go.line(/^again$/),
      second.line(/^again$/),
    ])
  }, 600_000)

  test('its tests of a program pass', async () => {
    const { code, stdout } = await run(node, ['--test', 'web.test.mjs'], { cwd: scratch.path })
    expect(stdout).toMatch(/\bpass 2\b/)
    expect(code, stdout).toBe(0)
  })

  test('the unit is one that systemd takes, and its first command fails where get fails', async () => {
    const unit = readFileSync(join(scratch.path, 'web.service'), 'utf8')
    const [, command = ''] = /^ExecStartPre=\/bin\/sh -c '(.*)'$/m.exec(unit) ?? []
    const file = join(scratch.path, 'web.service')
    writeFileSync(file, unit.replace(/^ExecStart=\S+/m, 'ExecStart=/bin/true'))
    const verified = spawnSync(requirePeer('systemd-analyze'), ['verify', file], {
      encoding: 'utf8',
    })
    expect(verified.stdout + verified.stderr).toBe('')
    const folder = join(scratch.path, 'run')
    mkdirSync(join(folder, 'web'), { recursive: true })
    const start = (name: string) => {
      const script = command
        .replace('/usr/local/bin/sotto', join(bin, 'sotto'))
        .replaceAll('%t', folder)
        .replace(NAME, name)
      const env = { ...process.env, SOTTO_SERVER: server.url }
      return spawnSync('/bin/sh', ['-c', `umask 0077; ${script}`], { env, encoding: 'utf8' }).status
    }
    expect(start('prod/none')).toBe(3)
    expect(start(NAME)).toBe(0)
    const value = join(folder, 'web/key')
    expect(readFileSync(value, 'utf8')).toBe('again')
    expect(statSync(value).mode & 0o777).toBe(0o600)
  })
})
