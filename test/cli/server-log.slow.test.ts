/** The log of a server's process: every line of JSON, every line with its priority, and nothing else between them. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, expectTypeOf, test } from 'vitest'
import { openServerLog } from '../../cli/server-log.ts'
import type { Log, Logger } from '../../server/platform/logger.ts'
import { TestProcess } from '../support/process.ts'
import { serverCommand, type StartOptions, temporaryDirectory } from '../support/sotto.ts'

const scratch = temporaryDirectory()
afterAll(() => scratch[Symbol.dispose]())

const json = ['--log-format', 'json']
const missing = ['--state-dir', join(scratch.path, 'missing\n\u2028')]

/** Callers are who calls from 127.0.0.2. */
const tailnet = join(scratch.path, 'tailnet.json')
writeFileSync(
  tailnet,
  JSON.stringify({ nodes: { '127.0.0.2': { name: 'a', user: 'a@example.com' } } }),
)

/** A line, as JSON has it. */
interface Line {
  readonly time: string
  readonly level: string
  readonly message: string
  readonly [field: string]: unknown
}

function started(args: readonly string[], options: Omit<StartOptions, 'args'> = {}): TestProcess {
  return new TestProcess(...serverCommand(args, options))
}

/** The lines of what was printed, each of which must be JSON; it throws for one that is not. */
function linesOf(output: string): Line[] {
  expect(output).toMatch(/\n$/)
  const lines = output.split('\n').slice(0, -1)
  return lines.map((line) => JSON.parse(line) as Line)
}

/** What the process does at each SIGUSR2, as Node itself would say something of it. */
function faulty(act: string): readonly string[] {
  const script = `
    import { isMainThread } from 'node:worker_threads'
    if (isMainThread) process.on('SIGUSR2', () => { ${act} })
    else process.emitWarning('thread\\u2028 two', 'OddWarning')`
  const path = join(scratch.path, `faulty-${++faults}.mjs`)
  writeFileSync(path, script)
  return ['--import', path]
}
let faults = 0

describe('json', () => {
  test('all that a server says is a line of JSON each, with what there is to it', async () => {
    await using server = started(['--dev', '--tailnet', tailnet, ...json], {
      env: { SOTTO_LISTN: 'x' },
    })
    const { url } = JSON.parse(await server.firstLine()) as { url: string }
    const headers = {
      'Content-Type': 'application/json',
      'Sec-X-Tailscale-No-Browsers': 'setec',
    }
    const answer = await fetch(`${url}/api/list`, { method: 'POST', headers, body: '{}' })
    expect(answer.status).toBe(500)
    const requestId = answer.headers.get('x-request-id')
    server.signal('SIGHUP')
    expect(await server.exited).toBe(0)
    const lines = linesOf(server.output)
    for (const { time } of lines) expect(new Date(time).toISOString()).toBe(time)
    const line = (level: string, message: string, fields: object = {}): object => ({
      time: expect.any(String),
      level,
      message: expect.stringContaining(message),
      ...fields,
    })
    expect(linesOf(server.stdout)).toEqual([line('info', `listening on ${url}`, { url })])
    expect(linesOf(server.stderr)).toEqual([
      line('warn', 'SOTTO_LISTN is set, and is not read. Did you mean SOTTO_LISTEN?'),
      line('info', 'the store was opened with local key '),
      line('info', 'This is a development server, not safe for production. State is in the temp'),
      line('warn', `request ${requestId} failed: unidentified: 127.0.0.1 is not a node`, {
        code: 'unidentified',
        requestId,
      }),
      line('info', 'SIGHUP: finishing what was accepted'),
    ])
    expect(Object.keys(lines[0] ?? {})).toEqual(['time', 'level', 'message'])
  })

  test.each([
    ['a flag', [...missing, ...json], {}],
    ['a variable', missing, { SOTTO_LOG_FORMAT: 'json' }],
    ['the file', [...missing, '--config', join(scratch.path, 'config.yaml')], {}],
  ])('%s asks for it, and a start that fails says why on one line', async (_, args, env) => {
    writeFileSync(join(scratch.path, 'config.yaml'), 'log-format: json\n')
    await using server = started(args, { env })
    expect(await server.exited).toBe(1)
    expect(server.stdout).toBe('')
    const lines = linesOf(server.output).filter(({ level }) => level !== 'info')
    expect(lines).toEqual([
      {
        time: expect.any(String),
        level: 'error',
        message: expect.stringMatching(/^There is no state directory ".*missing\\n[^]*"$/),
        hint: expect.stringMatching(/`sotto init` makes a new, empty store\.$/),
        code: 'no_store',
      },
    ])
    expect(server.stderr).not.toContain('\u2028')
  })

  test('so does a setting that does not fit; before the format is known words do', async () => {
    await using refused = started([...missing, ...json, '--listen', 'x'])
    expect(await refused.exited).toBe(1)
    expect(linesOf(refused.output)).toMatchObject([{ level: 'error', code: 'usage' }])
    for (const args of [
      [...json, '--listne', ':1'],
      ['--log-format', 'xml'],
    ]) {
      await using early = started(args)
      expect(await early.exited).toBe(1)
      expect(early.stderr).toMatch(/^sotto: .*(?:--listne|"xml" as --log-format)/)
    }
  })

  test('warnings of Node and of threads are lines too', async () => {
    const node = faulty(`process.emitWarning('one\\ntwo', { type: 'OddWarning', code: 'ODD1' })`)
    await using server = started(['--dev', ...json], { node })
    await server.firstLine()
    await server.line(/a thread says: .*two/)
    server.signal('SIGUSR2')
    await server.line(/ODD1/)
    expect(await server.stop()).toBe(0)
    const lines = linesOf(server.output)
    const warning = { level: 'warn', message: 'OddWarning: one\ntwo', code: 'ODD1' }
    expect(lines.filter(({ message }) => message.startsWith('Odd'))).toMatchObject([warning])
    const said = lines.filter(({ message }) => message.startsWith('a thread says: '))
    expect(said.map(({ level }) => level)).toEqual(said.map(() => 'warn'))
    expect(said.map(({ message }) => message).join('\n')).toMatch(/OddWarning: thread/)
  })

  test('a fault that nothing caught ends the process with a line that has nothing of what was worked on', async () => {
    const node = faulty(`throw new TypeError('canary')`)
    await using server = started(['--dev', ...json], { node })
    await server.firstLine()
    server.signal('SIGUSR2')
    expect(await server.exited).toBe(1)
    expect(server.output).not.toContain('canary')
    expect(linesOf(server.output).findLast(({ level }) => level === 'error')).toMatchObject({
      message: 'the program failed: TypeError',
      stack: expect.arrayContaining([expect.stringMatching(/^at .*faulty/)]),
    })
  })
})

describe('text', () => {
  /** A shell that says which file stderr is, as systemd does, and what else it does with it. */
  const journal = (stream: string, redirection = ''): Pick<StartOptions, 'under'> => ({
    under: [
      'sh',
      '-c',
      `JOURNAL_STREAM=${stream}; export JOURNAL_STREAM; exec "$@" ${redirection}`,
      'sh',
    ],
  })
  const right = '"$(stat -L -c %d:%i /proc/self/fd/2)"'

  test('has a priority on every line where stderr is the journal', async () => {
    const node = faulty(`process.emitWarning('one', 'OddWarning')`)
    const env = { SOTTO_LISTN: 'x' }
    await using server = started(['--dev'], { ...journal(right), env, node })
    const listening = await server.firstLine()
    expect(listening).toMatch(/^listening on http/)
    server.signal('SIGUSR2')
    await server.line(/OddWarning: one/)
    expect(await server.stop()).toBe(0)
    expect(server.stdout).toBe(`${listening}\n`)
    const lines = server.stderr.split('\n').slice(0, -1)
    expect(lines.filter((line) => !/^<[46]>/.test(line))).toEqual([])
    expect(lines).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^<4>SOTTO_LISTN is set/),
        expect.stringMatching(/^<6>the store was opened/),
        '<6>This is a development server, not safe for production.',
        expect.stringMatching(/^<6> {2}curl -s/),
        '<4>OddWarning: one',
        '<6>SIGTERM: finishing what was accepted',
      ]),
    )
  })

  test.each([
    ['the state directory', missing],
    ['a flag', ['--listne', ':1']],
  ])('a start that fails for %s is an error there, line by line', async (_, args) => {
    await using server = started(args, journal(right))
    expect(await server.exited).toBe(1)
    expect(server.stderr).toMatch(/^<3>sotto: .*\n<3>hint: .*\n$/)
  })

  test.each([
    ['is another file', journal('1:1')],
    ['was redirected', journal(right, '2>&1')],
    ['is not named', {}],
  ])('has none where the journal %s', async (_, options) => {
    await using server = started(missing, options)
    expect(await server.exited).toBe(1)
    expect(server.output).toMatch(/^sotto: There is no state directory ".*"\nhint: .*\n$/)
  })

  test('a fault that nothing caught has nothing of what was worked on', async () => {
    const node = faulty(`Promise.reject(new TypeError('canary'))`)
    await using server = started(['--dev'], { node })
    await server.firstLine()
    server.signal('SIGUSR2')
    expect(await server.exited).toBe(1)
    expect(server.output).not.toContain('canary')
    expect(server.stderr).toMatch(/\nsotto: the program failed: TypeError\n {4}at .*faulty/)
  })
})

test('whatever a message has, it is one line, by the clock that is given', () => {
  const written: string[] = []
  const output = { isTTY: false, write: async (text: unknown) => void written.push(String(text)) }
  const now = (): number => Date.UTC(2026, 0, 2, 3, 4, 5, 6)
  const io = { stderr: output, now } as unknown as Parameters<typeof openServerLog>[1]
  const odd = 'a\nb\r\u0000\u001b[2J\u0085\u2028\u2029\u202e\ud800"\\é'
  openServerLog('json', io, {}).error(odd, { hint: odd, code: undefined })
  openServerLog('text', io, {}).warn(odd)
  const [first = '', second = ''] = written
  expect(JSON.parse(first)).toEqual({
    time: '2026-01-02T03:04:05.006Z',
    level: 'error',
    message: odd,
    hint: odd,
  })
  for (const line of [first, second]) {
    expect(line).toMatch(/^[^\p{Control}\p{Zl}\p{Zp}\p{Surrogate}\u202e]+\n$/u)
    expect(line).toContain('é')
  }
})

test('each line has a level: there is no way to write one without', () => {
  expectTypeOf<keyof Logger>().toEqualTypeOf<'error' | 'warn' | 'info'>()
  expectTypeOf<Logger[keyof Logger]>().toEqualTypeOf<Log>()
  const files = ['server', 'audit'].flatMap((room) =>
    readdirSync(room, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => join(room, name)),
  )
  expect(files.length).toBeGreaterThan(200)
  const other = /\bconsole\.|process\.std(?:err|out)|emitWarning|_rawDebug/
  expect(files.filter((file) => other.test(readFileSync(file, 'utf8')))).toEqual([])
})
