/** `sotto run` with a real server: new values, restarts, files and caches, and where a value is never seen. */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Client } from '../../../client/client.ts'
import { TestProcess } from '../../support/process.ts'
import { cli, type Running, runSotto, startSotto, temporaryDirectory } from '../../support/sotto.ts'

const scratch = temporaryDirectory()
let server: Running
let client: Client
let env: Record<string, string>

beforeAll(async () => {
  server = await startSotto()
  env = { SOTTO_SERVER: server.url }
  client = new Client({ server: server.url })
})
afterAll(async () => {
  client.close()
  await server.stop()
  scratch[Symbol.dispose]()
})

/** Makes `value` the active one. */
async function set(name: string, value: string): Promise<void> {
  const version = await client.put(name, Buffer.from(value))
  await client.activate(name, version)
}

/** A run without a terminal. */
const started = (...words: string[]): TestProcess =>
  new TestProcess('setsid', [process.execPath, cli, 'run', ...words], { env })

const watching = ['--watch', '--poll', '1s']

test('a change restarts the program, and what it started is gone', async () => {
  await set('restart', 'one')
  const script = 'sleep 600 & echo "has $KEY $! ."; wait'
  await using run = started(...watching, '-e', 'KEY=restart', '--', 'sh', '-c', script)
  const [, left] = await run.line(/^has one (\d+) \./)
  await set('restart', 'two')
  await run.line(/^has two \d+ \./)
  expect(isAlive(Number(left))).toBe(false)
  expect(await run.stop()).toBe(null)
  expect(run.child.signalCode).toBe('SIGTERM')
  expect(run.stderr).toBe(
    'sotto: The values changed: the program is stopped, and started with the new ones\n',
  )
})

test('a change of files: they are all new before the program is told', async () => {
  await set('cert', 'cert 1')
  await set('key', 'key 1')
  const script = `trap 'cat tls/cert tls/key; echo " ."' HUP
    cd "$SOTTO_SECRETS_DIR"; pwd; cat tls/cert tls/key; echo " ."
    while :; do sleep 600 & wait $!; kill $!; done`
  const files = ['--file', 'tls/cert=cert', '--file', 'tls/key=key', '--on-change', 'signal:HUP']
  await using run = started(...watching, ...files, '--', 'sh', '-c', script)
  const [folder] = await run.line(/^\/.*sotto-run-.*$/)
  await run.line(/^cert 1key 1 \./)
  expect(statSync(folder).mode & 0o777).toBe(0o700)
  expect(statSync(join(folder, 'tls/key')).mode & 0o777).toBe(0o400)
  await set('key', 'key 2')
  await run.line(/^cert 1key 2 \./)
  expect(readdirSync(folder).filter((name) => name.startsWith('..'))).toHaveLength(2)
  await run.stop()
  expect(existsSync(folder)).toBe(false)
})

test('--keep-good: a program that dies of its new value runs on with the old one, and is seen to', async () => {
  await set('rotated', 'good')
  const script = 'echo "has $KEY ."; test "$KEY" = good || exit 3; sleep 600 & wait'
  const words = [...watching, '--keep-good', '-e', 'KEY=rotated', '--', 'sh', '-c', script]
  await using run = started(...words)
  await run.line(/^has good/)
  await set('rotated', 'bad')
  await run.line(/^has bad/)
  await run.line(/it gets those before/)
  const query = ['audit', 'query', '--secret', 'rotated', '-o', 'json']
  const lastRead = async () => {
    const { stdout } = await runSotto(query, { env })
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}') as Record<string, unknown>
  }
  await expect.poll(lastRead).toMatchObject({ action: 'get', secretVersion: 1 })
  await set('rotated', 'good again')
  await run.line(/^has good again/)
  // Killed, it would leave the program behind, and that holds the pipes open.
  await run.stop()
  expect(run.stdout.split('has good .').length).toBeGreaterThanOrEqual(3)
})

test('a program that was left by a run that was killed: its files are removed by the next run', async () => {
  await set('left', 'value')
  const script = 'echo "$SOTTO_SECRETS_DIR"; exec sleep 600'
  const run = started('--file', 'key=left', '--', 'sh', '-c', script)
  const [folder] = await run.line(/^\/.*sotto-run-/)
  const path = run.stdout.trim()
  expect(folder).not.toBe('')
  const [child] = childrenOf(run.pid)
  run.signal('SIGKILL')
  process.kill(Number(child), 'SIGKILL')
  await run.exited
  expect(existsSync(path)).toBe(true)
  expect(await started('--file', 'key=left', '--', 'true').exited).toBe(0)
  expect(existsSync(path)).toBe(false)
})

test('a cache starts the program while no server answers; a refusal is not hidden by it', async () => {
  await set('cached', 'value')
  const cache = join(scratch.path, 'cache')
  const words = ['run', '--cache', cache, '-e', 'KEY=cached', '--', 'sh', '-c', 'echo "has $KEY"']
  expect(await runSotto(words, { env })).toMatchObject({ code: 0, stdout: 'has value\n' })
  const notice = 'sotto: The cache ".*" has values as they are.*\n'
  const age = 'the values are from the cache, which the server confirmed \\d+ (?:s|min) ago\n'
  expect(await runSotto(['run', '--offline', ...words.slice(1)], { env })).toEqual({
    code: 0,
    stdout: 'has value\n',
    stderr: expect.stringMatching(new RegExp(`^${notice}sotto: ${age}$`)),
  })
  // Nothing listens there.
  const away = { SOTTO_SERVER: 'http://127.0.0.1:1' }
  expect(await runSotto(words, { env: away })).toEqual({
    code: 0,
    stdout: 'has value\n',
    stderr: expect.stringMatching(new RegExp(`^${notice}sotto: .*ECONNREFUSED\\): ${age}$`)),
  })
  await client.delete('cached')
  expect(await runSotto(words, { env })).toMatchObject({ code: 125, stdout: '' })
})

const canary = 'canary-of-run-5a17c0de'

test.each([
  ['a variable', ['-e', 'KEY=canary']],
  ['a file', ['--file', 'key=canary', '-e', 'KEY=canary']],
  ['watching', [...watching, '-e', 'KEY=canary', '--file', 'key=canary']],
])('the value is in no command line, and not said: %s', async (_, words) => {
  await set('canary', canary)
  await using run = started(...words, '--', 'sh', '-c', 'echo ready; exec sleep 600')
  await run.line(/^ready/)
  expect(commandLines().some((line) => line.includes('sleep'))).toBe(true)
  expect(commandLines().filter((line) => line.includes(canary))).toEqual([])
  await run.stop()
  expect(run.output).toBe('ready\n')
})

test.each([
  ['a NUL', `${canary}\0`, 'has a NUL'],
  [
    'bytes that are no text',
    Buffer.concat([Buffer.from(canary), Buffer.from([0xff])]),
    'is not text',
  ],
  ['128 KiB', canary.padEnd(131_072, 'x'), 'is too long'],
])(
  'a value with %s cannot be a variable; it can be a file, byte for byte',
  async (_, value, why) => {
    const version = await client.put('odd', Buffer.from(value as string))
    await client.activate('odd', version)
    const refused = await runSotto(['run', '-e', 'KEY=odd', '--', 'env'], { env })
    expect(refused).toMatchObject({ code: 125, stdout: '' })
    expect(refused.stderr).toContain(`Cannot set "KEY": the value of "odd" ${why}`)
    expect(refused.stderr).toContain('--file PATH=SECRET')
    expect(refused.stderr).not.toContain(canary)
    const out = join(scratch.path, 'copy')
    const copied = [
      'run',
      '--file',
      'key=odd',
      '--',
      'sh',
      '-c',
      'cp "$SOTTO_SECRETS_DIR/key" "$0"; chmod 600 "$0"',
      out,
    ]
    expect(await runSotto(copied, { env })).toMatchObject({ code: 0, stderr: '' })
    expect(readFileSync(out).equals(Buffer.from(value as string))).toBe(true)
  },
)

test('2 MiB of variables are refused, and not by the system', async () => {
  const lines = Array.from({ length: 20 }, (_, at) => `V${at}=${'x'.repeat(120_000)}\n`)
  const file = join(scratch.path, 'large.env')
  writeFileSync(file, lines.join(''))
  for (const way of [[], ['--restart', 'on-failure']]) {
    const { code, stderr } = await runSotto(['run', ...way, '--env-file', file, '--', 'true'], {
      env,
    })
    expect([code, stderr]).toEqual([125, expect.stringContaining('more than 2 MiB together')])
  }
})

function isAlive(pid: number): boolean {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

function childrenOf(pid: number): string[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
}

function commandLines(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, 'utf8')]
      } catch {
        return []
      }
    })
}
