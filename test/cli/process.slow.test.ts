/** What only a process of its own can show: the streams, the start, the modules that it loads. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Client } from '../../client/client.ts'
import { scripted } from '../client/scripted.ts'
import { recordsIn } from '../support/service.ts'
import { cli, type Running, runSotto, startSotto, temporaryDirectory } from '../support/sotto.ts'
import { talk } from '../support/terminal.ts'
import { addRecord, makeLogs } from './made-log.ts'

const directory = temporaryDirectory()
const big = Buffer.from('0123456789abcdef'.repeat(20_000))
const noPython = process.env['CI'] !== 'true' && spawnSync('python3', ['--version']).status !== 0
/** A proxy that is not there, for everything that programs let it have. */
const proxied = {
  HTTP_PROXY: 'http://user:passw0rd@127.0.0.1:9',
  HTTPS_PROXY: 'http://user:passw0rd@127.0.0.1:9',
  NODE_USE_ENV_PROXY: '1',
  SOTTO_BACKEND_ORIGIN: 'https://bao.example,https://bao.tail1234.ts.net',
}
let server: Running
let env: Record<string, string>

beforeAll(async () => {
  server = await startSotto({ env: proxied })
  env = { SOTTO_SERVER: server.url }
  const client = new Client({ server: server.url })
  await client.put('small', Buffer.from('hunter2'))
  await client.put('big', big)
  await client.put('$(touch pwned)', Buffer.from('x'))
  await client.put('prod:app/key', Buffer.from('x'))
  client.close()
})

afterAll(async () => {
  await server.stop()
  directory[Symbol.dispose]()
})

/** Runs the program with stdout led elsewhere. */
async function runInto(stdout: number | 'pipe', args: readonly string[], shell?: string) {
  const command = [process.execPath, cli, ...args]
  const child = shell
    ? spawn('sh', ['-c', shell, 'sh', ...command], {
        stdio: ['ignore', stdout, 'pipe'],
        env: { ...process.env, ...env },
      })
    : spawn(process.execPath, command.slice(1), {
        stdio: ['ignore', stdout, 'pipe'],
        env: { ...process.env, ...env },
      })
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk))
  if (stdout === 'pipe') child.stdout?.destroy()
  await once(child, 'close')
  return { code: child.exitCode, stderr }
}

test('put and get work from end to end', async () => {
  const put = await runSotto(['put', 'process/a'], { input: 'hunter2', env })
  expect(put).toEqual({
    code: 0,
    stdout: 'Secret saved as "process/a", version 1\n',
    stderr: 'Read 7 bytes from stdin\n',
  })
  expect(await runSotto(['get', 'process/a'], { env })).toEqual({
    code: 0,
    stdout: 'hunter2',
    stderr: '',
  })
  expect(await runSotto(['get', 'process/b'], { env })).toMatchObject({ code: 3, stdout: '' })
})

test('a value larger than a pipe arrives whole', async () => {
  expect((await runSotto(['get', 'big'], { env })).stdout).toBe(big.toString())
})

test('when nobody reads the output, that is quiet and no failure', async () => {
  expect(await runInto('pipe', ['get', 'big'])).toEqual({ code: 0, stderr: '' })
})

test.skipIf(process.platform !== 'linux')(
  'output that cannot be written is a failure',
  async () => {
    const full = openSync('/dev/full', 'w')
    expect(await runInto(full, ['get', 'small'])).toEqual({
      code: 1,
      stderr:
        'sotto: Cannot write the output: no space is left on its disk\nhint: Free some space, or name a place on another disk.\n',
    })
    closeSync(full)
  },
)

test('a file that takes only a part of the value is a failure', async () => {
  const path = join(directory.path, 'part')
  const file = openSync(path, 'w')
  const limited = await runInto(file, ['get', 'big'], 'trap "" XFSZ; ulimit -f 8; exec "$@"')
  closeSync(file)
  expect(limited).toEqual({
    code: 1,
    stderr:
      'sotto: Cannot write the output: the file would be larger than is allowed\nhint: Look at the limits: `ulimit -f`.\n',
  })
  expect(readFileSync(path).length).toBeLessThan(big.length)
})

test('a followed log shows what is added, until nobody reads any more', async () => {
  const { path } = directory
  await makeLogs(path)
  const args = ['audit', 'tail', '--follow', '--lines', '1', '-o', 'json', join(path, 'log')]
  const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const closed = once(child, 'close')
  const ids: number[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    ids.push((JSON.parse(line) as { id: number }).id)
    if (ids.length === 1) await addRecord(path)
    else break
  }
  // The next record finds nobody to be written to.
  child.stdout.destroy()
  await addRecord(path)
  await closed
  expect(ids).toEqual([7, 8])
  expect(child.exitCode).toBe(0)
})

test.skipIf(noPython)('the questions go to the terminal, whatever stdout is', async () => {
  const stdout = join(directory.path, 'stdout')
  const talked = await talk({
    argv: [process.execPath, cli, 'put', 'process/asked'],
    env,
    dialog: [
      ['Enter secret: ', 'hunter2\r'],
      ['Confirm secret: ', 'hunter2\r'],
    ],
    stdout,
  })
  expect(talked).toEqual({
    screen: 'Enter secret: \r\nConfirm secret: \r\n',
    exit: 0,
    echo: true,
    missed: null,
  })
  expect(readFileSync(stdout, 'utf8')).toBe('Secret saved as "process/asked", version 1\n')
})

test.skipIf(noPython)('U21: Ctrl-Z gives the shell its terminal, and fg asks again', async () => {
  const talked = await talk({
    argv: ['/bin/bash', '--norc', '--noprofile', '-i'],
    env: { ...env, PS1: 'shell> ' },
    dialog: [
      ['shell> ', `'${process.execPath}' '${cli}' put process/stopped\r`],
      ['Enter secret: ', 'wrong\u001a'],
      ['Stopped', 'stty -a | grep -ow echo\r'],
      ['\r\necho\r\n', 'fg\r'],
      ['Enter secret: ', 'hunter2\r'],
      ['Confirm secret: ', 'hun\u001a'],
      ['Stopped', 'fg\r'],
      ['Confirm secret: ', 'hunter2\r'],
      ['version 1', 'exit\r'],
    ],
  })
  expect(talked).toMatchObject({ exit: 0, echo: true, missed: null })
  expect(talked.screen).not.toMatch(/hun|wrong/)
  expect((await runSotto(['get', 'process/stopped'], { env })).stdout).toBe('hunter2')
})

test.skipIf(noPython)('U21: Ctrl-Z where no shell controls it stops nothing', async () => {
  const talked = await talk({
    argv: [process.execPath, cli, 'put', 'process/alone'],
    env,
    dialog: [
      ['Enter secret: ', 'wrong\u001ahunter2\r'],
      ['Confirm secret: ', 'hunter2\r'],
    ],
  })
  expect(talked).toMatchObject({ exit: 0, echo: true, missed: null })
  expect((await runSotto(['get', 'process/alone'], { env })).stdout).toBe('hunter2')
})

test('a value that no request can hold is refused before it is sent', async () => {
  const fits = 1_572_831
  const endless = openSync('/dev/zero', 'r')
  const over = spawnSync(process.execPath, [cli, 'put', 'p'], {
    stdio: [endless, 'pipe', 'pipe'],
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: 60_000,
  })
  closeSync(endless)
  expect({ status: over.status, stdout: over.stdout, stderr: over.stderr }).toEqual({
    status: 1,
    stdout: '',
    stderr: `sotto: Cannot use stdin: it has more than ${fits} bytes, which no request holds\n`,
  })
  const most = await runSotto(['put', 'p'], { input: Buffer.alloc(fits, 'x'), env })
  expect(most).toMatchObject({ code: 0, stderr: `Read ${fits} bytes from stdin\n` })
})

test('get loads none of the packages and none of the server', async () => {
  const log = join(directory.path, 'modules')
  const recorder = join(directory.path, 'recorder.mjs')
  writeFileSync(
    recorder,
    `import { registerHooks } from 'node:module'
     import { appendFileSync } from 'node:fs'
     registerHooks({ load(url, context, next) { appendFileSync(${JSON.stringify(log)}, url + '\\n'); return next(url, context) } })
     process.on('exit', () => appendFileSync(${JSON.stringify(log)}, process.moduleLoadList.join('\\n')))`,
  )
  const child = spawnSync(process.execPath, ['--import', recorder, cli, 'get', 'small'], {
    env: { ...process.env, ...env },
    encoding: 'utf8',
  })
  expect(child.stdout).toBe('hunter2')
  const loaded = readFileSync(log, 'utf8').split('\n')
  expect(loaded.some((url) => url.endsWith('/cli/run.ts'))).toBe(true)
  // But what says whether compiled code may be kept, which is small.
  const others = loaded.filter((url) => !url.endsWith('/client/platform/owned.ts'))
  expect(
    others.filter((url) =>
      /node_modules|\/server\/|\/audit\/|commands\/operators|wire\.ts|undici/.test(url),
    ),
  ).toEqual([])
})

test('an old Node is told what is missing', () => {
  const old = `data:text/javascript,Object.defineProperties(process, {
    version: { value: 'v20.19.1' }, versions: { value: { node: '20.19.1' } } })`
  const child = spawnSync(process.execPath, ['--import', old, cli, 'get', 'small'], {
    encoding: 'utf8',
  })
  expect({ status: child.status, stdout: child.stdout, stderr: child.stderr }).toEqual({
    status: 1,
    stdout: '',
    stderr: expect.stringMatching(
      /^sotto needs Node 24\.22\.1 .*; this is v20\.19\.1\n$/,
    ) as string,
  })
})

test.each([
  ['20.20.2', false],
  ['24.18.1', false],
  ['24.22.0', false],
  ['24.22.1', true],
  ['24.23.0', true],
  ['25.9.0', false],
  ['26.5.1', false],
  ['26.12.0', false],
  ['26.12.1', true],
  ['26.13.0', true],
  ['28.0.0', true],
])('C6: whether Node %s runs the program is as `engines` says: %s', (version, runs) => {
  const other = `data:text/javascript,Object.defineProperties(process, {
    version: { value: 'v${version}' }, versions: { value: { ...process.versions, node: '${version}' } } })`
  const { status, stderr } = spawnSync(process.execPath, ['--import', other, cli, 'version'], {
    encoding: 'utf8',
  })
  expect({ runs: status === 0, said: stderr.includes(`this is v${version}`) }).toEqual({
    runs,
    said: !runs,
  })
  const top = JSON.parse(readFileSync(join(cli, '../../package.json'), 'utf8')) as {
    engines: { node: string }
  }
  expect(admits(top.engines.node, version)).toBe(runs)
})

/** Whether `^a.b.c || >=d.e.f` admits a version. */
function admits(range: string, version: string): boolean {
  const numbers = (text: string): number[] => text.split('.').map(Number)
  const [major = 0, minor = 0, patch = 0] = numbers(version)
  return range.split(' || ').some((each) => {
    const [, kind, least = ''] = /^(\^|>=)([\d.]+)$/.exec(each) ?? []
    const [leastMajor = 0, leastMinor = 0, leastPatch = 0] = numbers(least)
    if (major !== leastMajor) return kind === '>=' && major > leastMajor
    return minor > leastMinor || (minor === leastMinor && patch >= leastPatch)
  })
}

test('the entry has nothing that an old Node could not read', () => {
  const source = readFileSync(cli, 'utf8')
  expect(source).toMatch(/^#!\/usr\/bin\/env node\n/)
  expect(source).not.toMatch(/^(?:import|export)\b/m)
  expect(source).not.toMatch(/\?\?=|\|\|=|&&=|^await\b/m)
})

test('compiled code is kept only where nobody else can write', async () => {
  const kept = async (name: string, mode: number) => {
    const cache = join(directory.path, name)
    mkdirSync(join(cache, 'sotto'), { recursive: true })
    chmodSync(join(cache, 'sotto'), mode)
    await runSotto(['version'], { env: { XDG_CACHE_HOME: cache } })
    return readdirSync(join(cache, 'sotto')).length
  }
  expect(await kept('private', 0o700)).toBe(1)
  expect(await kept('shared', 0o777)).toBe(0)
})

test('U21: bash completes commands, flags and names, with colons and quotes too, and runs no name', () => {
  const program = join(directory.path, 'sotto')
  writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${cli}' "$@"\n`, { mode: 0o755 })
  const script = `
    source <(sotto completion bash)
    try() {
      COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
      _sotto sotto
      printf '%s\\n' "\${COMPREPLY[*]}"
    }
    try sotto del
    try sotto get --ver
    try sotto get '$('
    try sotto get sm
    try sotto get --version 1 s
    try sotto activate small ''
    try sotto -s http : //127.0.0.1 completion z
    try sotto get prod : a
    try sotto get --output = js
    try sotto get '"prod:a'
    try sotto get "'prod:"
    try sotto get 'prod\\:a'
    try sotto get '"$('
    try sotto server --lis
    try sotto audit query --action root`
  const bash = spawnSync('bash', ['-c', script], {
    cwd: directory.path,
    env: { ...process.env, ...env, PATH: `${directory.path}:${process.env['PATH']}` },
    encoding: 'utf8',
  })
  expect(bash.stdout.split('\n')).toEqual([
    'delete-version delete',
    '--version',
    '\\$\\(touch\\ pwned\\)',
    'small',
    'small',
    '1',
    'zsh',
    'app/key',
    'json',
    'prod:app/key',
    'prod:app/key',
    'prod:app/key',
    '\\$\\(touch\\ pwned\\)',
    '--listen',
    'root\\ key\\ rotate root\\ key\\ settle',
    '',
  ])
  expect(readdirSync(directory.path)).not.toContain('pwned')
})

test('completion asks the server that was typed, and gives up on one that does not answer', async () => {
  expect(await runSotto(['complete', '--', '-s', server.url, 'info', 'sm'])).toMatchObject({
    code: 0,
    stdout: 'words\nsmall\n',
  })
  // No answer ever comes.
  await using silent = await scripted(() => {})
  const begun = performance.now()
  const { code, stdout } = await runSotto(['complete', '--', '-s', silent.url, 'info', ''])
  expect({ code, stdout }).toEqual({ code: 6, stdout: '' })
  expect(performance.now() - begun).toBeLessThan(15_000)
})

test('a server whose output nobody reads any more serves on, and stops in order', async () => {
  using scratch = temporaryDirectory()
  const state = join(scratch.path, 'state')
  const unread = await startSotto({ args: ['--state-dir', state] })
  unread.process.stdout?.destroy()
  unread.process.stderr?.destroy()
  expect((await fetch(`${unread.url}/healthz`)).status).toBe(200)
  expect(await unread.stop()).toBe(0)
  expect(recordsIn(join(state, 'audit')).at(-1)).toMatchObject({ kind: 'stop' })
})

test('U14: a server says once at start what it calls through a proxy, without the password', () => {
  const { stdout, stderr } = server.output()
  const lines = stderr.split('\n').filter((line) => line.includes('proxy'))
  expect(lines).toEqual([
    'called through the proxy "http://127.0.0.1:9": OpenBao at "https://bao.example"',
  ])
  expect(stdout + stderr).not.toContain('passw0rd')
})

test('U14: a server is never called through a proxy', async () => {
  const { code, stdout, stderr } = await runSotto(['get', 'small'], { env: { ...env, ...proxied } })
  expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'hunter2', stderr: '' })
})
