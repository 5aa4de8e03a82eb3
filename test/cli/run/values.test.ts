/** What environment a program gets, and in which files, folders and launches it comes. */
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { ageText } from '../../../cli/handlers/run/age.ts'
import { checkFilePath } from '../../../cli/handlers/run/file-path.ts'
import { makeSecretFiles } from '../../../cli/handlers/run/files.ts'
import { launchOf } from '../../../cli/handlers/run/launch.ts'
import { readMap } from '../../../cli/handlers/run/map.ts'
import {
  environmentOf,
  heldVersions,
  type Values,
  valuesOf,
} from '../../../cli/handlers/run/values.ts'
import { refuseDangerous, variableOf } from '../../../cli/mapping/variables.ts'
import { temporaryDirectory } from '../../support/sotto.ts'

const scratch = temporaryDirectory()
afterAll(() => scratch[Symbol.dispose]())

const values = (variables: Record<string, string>): Values => ({
  variables: new Map(Object.entries(variables)),
  files: new Map(),
  versions: new Map(),
})
const usual = { pristine: false, preserve: [] }

describe('the environment', () => {
  const inherited = { HOME: '/root', KEY: 'old', SAME: 'same' }

  test('secrets replace what is inherited, and what was different is named', () => {
    expect(environmentOf(inherited, values({ KEY: 'new', SAME: 'same', MORE: '' }), usual)).toEqual(
      {
        env: { HOME: '/root', KEY: 'new', SAME: 'same', MORE: '' },
        replaced: ['KEY'],
      },
    )
  })

  test('--preserve-env keeps what is set, and no more than that', () => {
    const preserve = ['KEY', 'MORE']
    expect(
      environmentOf(inherited, values({ KEY: 'new', MORE: 'x' }), { ...usual, preserve }),
    ).toEqual({
      env: { HOME: '/root', KEY: 'old', SAME: 'same', MORE: 'x' },
      replaced: [],
    })
  })

  test('--pristine inherits nothing but what is preserved', () => {
    expect(
      environmentOf(inherited, values({ KEY: 'new' }), { pristine: true, preserve: ['HOME'] }).env,
    ).toEqual({ HOME: '/root', KEY: 'new' })
  })
})

describe('C4: who may put a secret below a prefix', () => {
  const refused = (name: string): boolean => {
    try {
      refuseDangerous([variableOf(name) ?? ''], [])
      return false
    } catch {
      return true
    }
  }

  test.each([
    ['path', 'home', 'bash_env', 'bash-func-x', 'ps4', 'ld-preload', 'gconv-path'],
    ['node-options', 'node-tls-reject-unauthorized', 'npm-config-script-shell', 'pythonpath'],
    ['_java-options', 'jdk-java-options', 'dotnet-startup-hooks', 'coreclr-profiler', 'lua-init'],
    ['erl-flags', 'php-ini-scan-dir', 'r-profile-user', 'rubyopt', 'perllib', 'makeflags'],
    ['pager', 'manpager', 'aws-pager', 'kube-editor', 'visual', 'lessopen', 'sudo-askpass'],
    ['openssl-conf', 'ssl-cert-file', 'curl-ca-bundle', 'kubeconfig', 'sotto-server', 'viminit'],
  ])('decides no more than its value: %s, %s and the like are refused', (...names) => {
    expect(names.filter((each) => !refused(each))).toEqual([])
  })

  test('names what is a secret as before', () => {
    const names = ['db-url', 'node-auth-token', 'npm-config-_auth', 'npm-token', 'java-opts']
    const more = ['http-proxy', 'path-prefix', 'homepage', 'pager-duty-key', 'session-secret']
    expect([...names, ...more].filter(refused)).toEqual([])
  })
})

test('A3: a program has the versions that it was started with in variables, and those that were placed in files', () => {
  const of = (version: number): Values => ({
    ...values({}),
    versions: new Map(['a', 'b', 'c'].map((key) => [key, version])),
  })
  const from = (secret: string) => ({ secret, field: [], version: 0 })
  const wanted = {
    variables: [
      { variable: 'A', from: from('a') },
      { variable: 'B', from: from('b') },
      { variable: 'L', from: { literal: new Uint8Array() } },
    ],
    files: [
      { path: 'b', from: from('b') },
      { path: 'c', from: from('c') },
    ],
  }
  expect(Object.fromEntries(heldVersions(wanted, of(1), of(2)))).toEqual({ a: 1, b: 1, c: 2 })
})

test('a text arrives as it is, with its byte order mark, its line ends and no end', () => {
  const text = '\ufeffa\r\nb\u202e🗝"\'$(x)'
  const whole = { secret: 'a', field: [], version: 0 }
  const wanted = {
    variables: [{ variable: 'A', from: whole }],
    files: [{ path: 'a', from: whole }],
  }
  const found = valuesOf(wanted, () => ({ Value: Buffer.from(text), Version: 3 }))
  expect(found.variables.get('A')).toBe(text)
  expect(Buffer.from(found.files.get('a') ?? []).toString()).toBe(text)
  expect([...found.versions]).toEqual([['a', 3]])
})

describe('the launch', () => {
  const program = { path: '/bin/program', argv: ['program', 'x'] as [string, ...string[]] }

  test('without anything to bring back, it is the program itself', () => {
    const launch = launchOf(program, { PATH: '/bin' }, '/bin', { openFiles: undefined, files: [] })
    expect(launch).toEqual({ file: '/bin/program', argv: ['program', 'x'] })
  })

  test('a limit of open files is brought back; on another PATH the program is named by its path', () => {
    const limit = { openFiles: 300, files: [] }
    expect(launchOf(program, { PATH: '/bin' }, '/bin', limit).argv.slice(-2)).toEqual([
      'program',
      'x',
    ])
    expect(launchOf(program, {}, '/bin', limit).argv.slice(-2)).toEqual(['/bin/program', 'x'])
  })

  test('a socket of systemd is for the number that the program will have', () => {
    const env = { PATH: '/bin', LISTEN_PID: String(process.pid) }
    const { file, argv } = launchOf(program, env, '/bin', { openFiles: undefined, files: [3] })
    expect(file).toBe('/bin/sh')
    expect(argv).toContain('LISTEN_PID=$$; export LISTEN_PID; exec "$@"')
    const other = { ...env, LISTEN_PID: '1' }
    expect(launchOf(program, other, '/bin', { openFiles: undefined, files: [3] }).file).toBe(
      '/bin/program',
    )
  })
})

describe('files', () => {
  const env = { XDG_RUNTIME_DIR: scratch.path }

  test('outside memory they need --on-disk', () => {
    if (statSync(scratch.path).dev === statSync('/dev/shm').dev) return
    expect(() => makeSecretFiles(env, false)).toThrow(expect.objectContaining({ code: 'unsafe' }))
  })

  test('they change all at once, and those that are no more are gone', () => {
    using files = makeSecretFiles(env, true)
    const look = (): Record<string, string> =>
      Object.fromEntries(
        readdirSync(files.folder)
          .filter((name) => !name.startsWith('..'))
          .map((name) => [name, readlinkSync(join(files.folder, name))]),
      )
    files.place(
      new Map([
        ['a/b', Buffer.from('1')],
        ['c', Buffer.from('2')],
      ]),
    )
    const before = readlinkSync(join(files.folder, '..data'))
    expect(look()).toEqual({ a: '..data/a', c: '..data/c' })
    files.place(
      new Map([
        ['a/b', Buffer.from('3')],
        ['d', Buffer.from('4')],
      ]),
    )
    expect(look()).toEqual({ a: '..data/a', d: '..data/d' })
    expect(readFileSync(join(files.folder, 'a/b'), 'utf8')).toBe('3')
    expect(readdirSync(files.folder)).not.toContain(before)
  })

  test('a folder that others can write to is refused', () => {
    const open = join(scratch.path, 'open')
    mkdirSync(open)
    chmodSync(open, 0o777)
    expect(() => makeSecretFiles({ XDG_RUNTIME_DIR: open }, true)).toThrow(/others can write to/)
  })

  test.each(['a', 'a/b.pem', '.env', 'a..b'])('%j is a path', (path) => {
    expect(checkFilePath(path)).toBe(path)
  })

  test.each(['', '/a', 'a/', 'a//b', '.', 'a/./b', '..', 'a/../b', '..data', 'a\0b'])(
    '%j is none',
    (path) => expect(() => checkFilePath(path)).toThrow(/it is not a path below a folder/),
  )
})

describe('a map', () => {
  const map = (text: string) => {
    const path = join(scratch.path, 'map.yaml')
    writeFileSync(path, text)
    return readMap(path)
  }

  test('says variables and files', async () => {
    expect(
      await map('variables: {A: prod/a, B: "sotto://prod/b#x.y@3"}\nfiles: {t/k: prod/k}\n'),
    ).toEqual({
      variables: [
        { variable: 'A', from: { secret: 'prod/a', field: [], version: 0 } },
        { variable: 'B', from: { secret: 'prod/b', field: ['x', 'y'], version: 3 } },
      ],
      files: [{ path: 't/k', from: { secret: 'prod/k', field: [], version: 0 } }],
    })
    expect(await map('{"variables": {}}')).toEqual({ variables: [], files: [] })
  })

  test.each([
    ['', 'it is not one mapping'],
    ['a\n---\nb', 'it is not one mapping'],
    ['env: {}', 'it has "env", which is not known'],
    ['variables: [a]', 'variables is not a mapping of names to secrets'],
    ['variables: {A: 5}', 'variables: "A" is not the name of a secret'],
    ['files: {../a: b}', 'it is not a path below a folder'],
    ['variables: {A: "b#"}', '"A": no field follows #'],
  ])('%j is none', async (text, why) => {
    await expect(map(text)).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining(why),
    })
  })
})

test.each([
  [0, '0 s'],
  [-5, '0 s'],
  [119_000, '119 s'],
  [600_000, '10 min'],
  [7_200_000, '2 h'],
  [7_500_000, '2 h 5 min'],
  [172_800_000, '2 days'],
])('%i ms is %s', (ms, text) => expect(ageText(ms)).toBe(text))
