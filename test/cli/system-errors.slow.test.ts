/**
 * U11: an error of the system is never passed on bare. Every command that takes a path is given each kind of path that
 * it cannot use, and says what it attempted, with which path, why that failed, and what to do.
 */
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bind } from '../../server/http/bind.ts'
import { initialise } from '../../server/start/new-store.ts'
import { run } from '../support/process.ts'
import { cli, temporaryDirectory } from '../support/sotto.ts'
import { needRoot, runNodeAs, SERVER } from '../support/users.ts'
import type { Answered } from './play.ts'
import { inProcess } from './in-process.ts'

// Each server listens for signals, and here many are begun in one process.
process.setMaxListeners(200)

let scratch: ReturnType<typeof temporaryDirectory>
let backup = ''
let count = 0

const at = (...names: string[]): string => join(scratch.path, ...names)
/** A path where nothing is yet. */
const fresh = (): string => at(`fresh-${count++}`)

beforeAll(async () => {
  scratch = temporaryDirectory()
  await initialise({ stateDir: at('state'), keyFile: undefined })
  mkdirSync(at('backups'))
  const state = ['--state-dir', at('state')]
  const made = await inProcess(['backup', 'create', '--to', at('backups'), ...state], {})
  backup = at('backups', made.stdout.trim())
  mkdirSync(at('folder'))
  mkdirSync(at('log/00000000000000000001.jsonl'), { recursive: true })
  writeFileSync(at('file'), 'text\n')
  symlinkSync('loop', at('loop'))
})
afterAll(() => scratch[Symbol.dispose]())

const own = (): string[] => ['--state-dir', at('state')]
const key = (): string[] => ['--key-file', at('state/local.key')]
const nowhere = ['-s', 'http://127.0.0.1:1']
const login = ['--type', 'openbao', '--token-secret', 'backends/token']
const backend = [...nowhere, ...'backend create b --url https://bao:8200'.split(' '), ...login]
const tailnet = ['--state-dir', '/none', '--tailscaled-socket', '/none/tailscaled.sock']

/** Command lines by what the path in them is. */
const files: Readonly<Record<string, (path: string) => string[]>> = {
  'restore FILE': (path) => ['restore', path, '--to', fresh(), ...key()],
  'restore --key-file': (path) => ['restore', backup, '--to', fresh(), '--key-file', path],
  'restore --recovery-identity': (path) => [
    'restore',
    backup,
    '--to',
    fresh(),
    '--recovery-identity',
    path,
  ],
  'backup verify': (path) => ['backup', 'verify', path, ...key()],
  'audit verify': (path) => ['audit', 'verify', path],
  'audit query': (path) => ['audit', 'query', path],
  'audit tail': (path) => ['audit', 'tail', path],
  'put --from-file': (path) => [...nowhere, 'put', 'a', '--from-file', path],
  'backend apply -f': (path) => [...nowhere, 'backend', 'apply', '-f', path],
  'backend create --ca-file': (path) => [...backend, '--ca-file', path],
  'key add recovery --recipient-file': (path) => [
    'key',
    'add',
    'recovery',
    '--recipient-file',
    path,
    ...own(),
  ],
  'key rotate --key-file': (path) => ['key', 'rotate', '--key-file', path, ...own()],
  'server --tailnet': (path) => ['server', '--dev', '--tailnet', path],
}

const folders: Readonly<Record<string, (path: string) => string[]>> = {
  'restore --to': (path) => ['restore', backup, '--to', path, ...key()],
  'restore --live': (path) => ['restore', backup, '--dry-run', '--live', path, ...key()],
  'restore --audit': (path) => ['restore', backup, '--to', fresh(), '--audit', path, ...key()],
  'backup list': (path) => ['backup', 'list', path],
  'backup create --to': (path) => ['backup', 'create', '--to', path, ...own()],
  'backup create --state-dir': (path) => [
    'backup',
    'create',
    '--to',
    at('backups'),
    '--state-dir',
    path,
  ],
  'init --state-dir': (path) => ['init', '--state-dir', path],
  'key status --state-dir': (path) => ['key', 'status', '--state-dir', path],
  'audit verify --state-dir': (path) => ['audit', 'verify', at('state/audit'), '--state-dir', path],
  'server --state-dir': (path) => ['server', ...tailnet, '--state-dir', path],
  'server --dev --state-dir': (path) => ['server', '--dev', '--state-dir', path],
}

const anywhere: Readonly<Record<string, (path: string) => string[]>> = {
  'init --key-file': (path) => ['init', '--state-dir', fresh(), '--key-file', path],
}

/** Paths that cannot be used, by what is there. */
const bad: Readonly<Record<string, () => string>> = {
  nothing: () => at('none/none'),
  'a path below a file': () => at('file/below'),
  'a link to itself': () => at('loop'),
  'a link to itself on the way': () => at('loop/below'),
  'a name that is too long': () => at('x'.repeat(300)),
}
const noFile = {
  ...bad,
  'a folder': () => at('folder'),
  'a file that cannot be read': () => '/proc/self/mem',
}
const noFolder = { ...bad, 'a file': () => at('file') }
const noPlace = { ...bad, 'a folder': () => at('folder'), 'a file': () => at('file') }

/** What is no fault: what is not there is made. */
const made = new Set(
  ['init --state-dir', 'restore --to', 'server --dev --state-dir', 'init --key-file'].map(
    (command) => `${command}, nothing`,
  ),
)

const cases = (
  [
    [files, noFile],
    [folders, noFolder],
    [anywhere, noPlace],
  ] as const
).flatMap(([commands, paths]) =>
  Object.entries(commands).flatMap(([command, args]) =>
    Object.entries(paths)
      .map(([kind, path]) => [command, kind, args, path] as const)
      .filter(([, kind]) => !made.has(`${command}, ${kind}`)),
  ),
)

/** What a failure says; `path` is in it, or one below it. */
function demandWhole({ exit, stdout, stderr }: Answered, path: string): void {
  expect(exit).not.toBe('0')
  // The head of a table, at most.
  expect(stdout.split('\n').length).toBeLessThanOrEqual(2)
  const [line = '', hint = '', ...more] = stderr.split('\n')
  expect(line).toMatch(/^sotto: (?:Cannot [a-z]|There is no |The state directory )/)
  expect(line).toContain(`"${path}`)
  expect(hint).toMatch(/^hint: [A-Z`].{10}/)
  expect(more).toEqual([''])
  demandNoCode(stderr)
}

/** A code of the system is for programs. */
function demandNoCode(text: string): void {
  expect(text).not.toMatch(/\b(?:E[A-Z]{3,}|ERR_[A-Z_]+|UV_[A-Z]+)\b/)
  expect(text).not.toMatch(/the system says|node:|\bsyscall\b|undefined/)
}

describe('U11: what was attempted, with what, why it failed, and what to do', () => {
  test.each(cases)('%s: %s', async (_, _kind, args, path) => {
    demandWhole(await inProcess(args(path()), {}), path())
  })

  test('a segment of a log that is a folder', async () => {
    for (const verb of ['verify', 'query', 'tail']) {
      demandWhole(await inProcess(['audit', verb, at('log')], {}), at('log'))
    }
  })

  const unpacking: readonly (readonly [string, () => string[]])[] = [
    ['backup verify', () => ['backup', 'verify', backup, ...key()]],
    ['restore --dry-run', () => ['restore', backup, '--dry-run', ...key()]],
    ['server --dev', () => ['server', '--dev']],
  ]
  test.each(unpacking)('%s without a temporary directory', async (_, args) => {
    const before = process.env['TMPDIR']
    try {
      for (const path of [at('none'), at('file'), '/proc']) {
        process.env['TMPDIR'] = path
        demandWhole(await inProcess(args(), {}), path)
      }
    } finally {
      if (before === undefined) delete process.env['TMPDIR']
      else process.env['TMPDIR'] = before
    }
  })

  test('a port in use', async () => {
    await using other = createServer()
    const port = await bind(other, { host: '127.0.0.1', port: 0 })
    const answered = await inProcess(['server', '--dev', '--listen', `127.0.0.1:${port}`], {})
    expect(answered.stderr).toContain(
      `sotto: Cannot listen on 127.0.0.1:${port}: something else is listening there\nhint: Another program`,
    )
    demandNoCode(answered.stderr)
  })

  test('a working directory that is gone', async () => {
    const gone = fresh()
    mkdirSync(gone)
    const script = 'cd "$1" && rmdir "$1" && shift && exec "$@"'
    const words = [process.execPath, cli, 'restore', 'x.backup', '--to', 'new']
    const { code, stderr } = await run('sh', ['-c', script, 'sh', gone, ...words])
    expect(code).not.toBe(0)
    demandNoCode(stderr)
    expect(stderr).toMatch(/^sotto: .*\nhint: /)
  })
})

test("U11: of what is another user's, every command says the same", async (context) => {
  needRoot(context)
  chmodSync(scratch.path, 0o755)
  // Of root, and closed; of root, and open for reading alone.
  mkdirSync(at('closed'), { mode: 0o700 })
  mkdirSync(at('readable'))
  writeFileSync(at('secret'), 'text\n', { mode: 0o600 })
  chmodSync(at('backups'), 0o755)
  const rows: {
    readonly what: string
    readonly args: string[]
    readonly path: string
    readonly env?: Record<string, string>
  }[] = [
    ...Object.entries(files).flatMap(([what, args]) =>
      [at('secret'), at('closed/file')].map((path) => ({ what, args: args(path), path })),
    ),
    ...Object.entries({ ...folders, ...anywhere }).flatMap(([what, args]) =>
      [at('closed/folder'), at('readable/new')].map((path) => ({ what, args: args(path), path })),
    ),
    ...[
      ['backup', 'verify', backup],
      ['restore', backup, '--dry-run'],
      ['server', '--dev'],
    ].map((args) => ({
      what: args.join(' '),
      args,
      path: at('readable'),
      env: { TMPDIR: at('readable') },
    })),
  ]
  const script = new URL('../support/run-commands.ts', import.meta.url).pathname
  const commands = rows.map(({ args, env = {} }) => ({ args, env }))
  const { stdout, stderr } = await runNodeAs(SERVER, [script, JSON.stringify(commands)])
  expect(stderr).toBe('')
  const answered = JSON.parse(stdout) as Answered[]
  for (const [index, { what, path }] of rows.entries()) {
    const { stderr: said = '', exit } = answered[index] ?? {}
    expect.soft(said, what).toMatch(/^sotto: (?:Cannot [a-z]|There is no )[^\n]*\nhint: [^\n]+\n$/)
    expect.soft(said, `${what} ${path}`).not.toMatch(/\bE[A-Z]{3,}\b/)
    expect.soft(exit, what).not.toBe('0')
  }
})
