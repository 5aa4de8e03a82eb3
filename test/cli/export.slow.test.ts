/** Where `sotto export` writes, and what it reads. */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { bytes, type Service, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { inProcess } from './in-process.ts'

/** Found in no message, whatever happens. */
const CANARY = 'canary-77aa'

let service: Service
const folder = temporaryDirectory()
let path: string
let tests = 0

beforeAll(async () => {
  service = await startService()
  await service.client().put('prod/app/db-url', bytes(CANARY))
  await service.client().put('prod/app/two', bytes(`${CANARY}\nsecond 5%`))
  await service.client().put('prod/app/binary', new Uint8Array([0, 255, 10]))
  await service.client().put('prod/a#b@2%', bytes('odd'))
})

beforeEach(() => {
  path = join(folder.path, `test-${++tests}`)
})

afterAll(async () => {
  await service[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

const urlOnly = ['-e', 'URL=prod/app/db-url']

/** Runs `sotto export`; no message has a value. */
async function exported(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<{ stdout: string; stderr: string; exit: string }> {
  const answered = await inProcess(['export', '-s', service.url, ...args], env)
  expect(answered.stderr).not.toContain(CANARY)
  return answered
}

const modeOf = (file: string): string => (lstatSync(file).mode & 0o777).toString(8)

describe('a file', () => {
  test('is open to its owner alone, and replaced as a whole', async () => {
    writeFileSync(path, 'before')
    chmodSync(path, 0o644)
    const before = lstatSync(path).ino
    const args = ['--format', 'json', ...urlOnly, '--to', path]
    expect(await exported(args)).toEqual({ stdout: '', stderr: '', exit: '0' })
    expect(readFileSync(path, 'utf8')).toBe(`{"URL":"${CANARY}"}\n`)
    expect(modeOf(path)).toBe('600')
    expect(lstatSync(path).ino).not.toBe(before)
    expect(readdirSync(folder.path).filter((name) => name.startsWith('.'))).toEqual([])
  })

  test('is not written through a link, nor where a directory is', async () => {
    writeFileSync(`${path}-target`, 'before')
    symlinkSync(`${path}-target`, path)
    const args = ['--format', 'json', ...urlOnly, '--to']
    expect(await exported([...args, path])).toMatchObject({
      stderr: expect.stringContaining('it is a symbolic link') as string,
      exit: '1',
    })
    expect(readFileSync(`${path}-target`, 'utf8')).toBe('before')
    expect(await exported([...args, folder.path])).toMatchObject({
      stderr: expect.stringContaining('it is not a regular file') as string,
      exit: '1',
    })
  })

  test('is left as it was where a value cannot be carried, or a folder is not there', async () => {
    writeFileSync(path, 'before')
    const args = ['--format', 'docker-env', '--prefix', 'prod/app/', '--to']
    expect(await exported([...args, path])).toMatchObject({
      stdout: '',
      stderr: expect.stringContaining(
        '2 of 3: "prod/app/binary" as BINARY: it is not text in UTF-8; "prod/app/two" as TWO: it has a line break',
      ) as string,
      exit: '1',
    })
    expect(readFileSync(path, 'utf8')).toBe('before')
    const none = join(folder.path, 'none/file')
    expect(await exported(['--format', 'json', ...urlOnly, '--to', none])).toMatchObject({
      stderr: expect.stringContaining('Cannot write') as string,
      exit: '1',
    })
  })

  test('that git does not ignore is named', async () => {
    mkdirSync(path)
    execFileSync('git', ['init', '-q'], { cwd: path })
    writeFileSync(join(path, '.gitignore'), '.env\n')
    const args = ['--format', 'json', ...urlOnly, '--to']
    expect(await exported([...args, join(path, '.env')])).toMatchObject({ stderr: '', exit: '0' })
    const file = join(path, 'app.env')
    expect(await exported([...args, file])).toMatchObject({
      stderr: `Note: git does not ignore "${file}": it could be committed\n`,
      exit: '0',
    })
  })

  test('with -o json a program reads what is in it, without values', async () => {
    writeFileSync(`${path}-env`, 'A=literal\nURL=sotto://prod/app/db-url\n')
    const args = ['-o', 'json', '--format', 'systemd', '--env-file', `${path}-env`, '--to', path]
    const { stdout, exit } = await exported(args)
    expect({ ...(JSON.parse(stdout) as object), exit }).toEqual({
      format: 'systemd',
      to: path,
      variables: [{ variable: 'A' }, { variable: 'URL', secret: 'prod/app/db-url', version: 1 }],
      exit: '0',
    })
    expect(readFileSync(path, 'utf8')).toBe(`A="literal"\nURL="${CANARY}"\n`)
  })
})

test('credentials are files, of any bytes, that their owner alone reads', async () => {
  const args = ['--format', 'credentials', '--prefix', 'prod/app/', '-e', 'a.key=prod/app/binary']
  expect(await exported([...args, '--to', path])).toEqual({ stdout: '', stderr: '', exit: '0' })
  expect(readdirSync(path).toSorted()).toEqual(['BINARY', 'DB_URL', 'TWO', 'a.key'])
  expect(readFileSync(join(path, 'a.key'))).toEqual(Buffer.from([0, 255, 10]))
  expect([modeOf(path), modeOf(join(path, 'a.key'))]).toEqual(['700', '400'])
  // Again, with other files in it.
  writeFileSync(join(path, 'other'), '')
  expect(await exported([...args, '--to', path])).toMatchObject({ exit: '0' })
  expect(existsSync(join(path, 'other'))).toBe(true)
})

test('github adds to the file of the job, after it has masked each line', async () => {
  writeFileSync(path, 'BEFORE=1\n')
  const args = ['--format', 'github', ...urlOnly, '-e', 'TWO=prod/app/two']
  const { stdout, exit } = await exported(args, { GITHUB_ENV: path })
  expect(exit).toBe('0')
  expect(stdout).toBe(`::add-mask::${CANARY}\n::add-mask::second 5%25\n`)
  const mark = /<<(sotto-[0-9a-f]{32})\n/.exec(readFileSync(path, 'utf8'))?.[1]
  expect(readFileSync(path, 'utf8')).toBe(
    `BEFORE=1\nURL<<${mark}\n${CANARY}\n${mark}\nTWO<<${mark}\n${CANARY}\nsecond 5%\n${mark}\n`,
  )
})

describe('what is read', () => {
  const values = async (...args: readonly string[]): Promise<unknown> => {
    const { stdout, stderr } = await exported(['--format', 'json', ...args])
    return stderr === '' ? (JSON.parse(stdout) as unknown) : stderr.split('\n')[0]
  }

  test('a name with marks of its own is escaped', async () => {
    expect(await values('-e', 'A=prod/a%23b%402%25')).toEqual({ A: 'odd' })
  })

  test('of files the last counts, and -e before all', async () => {
    writeFileSync(`${path}-1`, 'A=one\nB=one\nC=one\nTWO=one\n')
    writeFileSync(`${path}-2`, '# two\nB="two"\nC=two\n')
    const files = ['--env-file', `${path}-1`, '--env-file', `${path}-2`]
    expect(await values(...files, '-e', 'C=prod/app/db-url')).toEqual({
      A: 'one',
      B: 'two',
      C: CANARY,
      TWO: 'one',
    })
  })

  test('a file refers to fields and versions', async () => {
    await service.client().put('prod/fields', bytes('{"a":{"b":"1"}}'))
    writeFileSync(path, 'A=sotto://prod/fields#a.b@1 # one\nB="sotto://prod/app/db-url@1"\n')
    expect(await values('--env-file', path)).toEqual({ A: '1', B: CANARY })
  })

  test('a line of a file that readers do not agree on is refused', async () => {
    writeFileSync(path, `A=1\nB=${CANARY}#x\n`)
    expect(await values('--env-file', path)).toBe(
      `sotto: Cannot use "${path}": line 2: it has a # without a blank before it: put it in quotes`,
    )
  })

  test('two secrets of a prefix for one variable are an error', async () => {
    await service.client().put('prod/twins/a-b', bytes('1'))
    await service.client().put('prod/twins/a_b', bytes('2'))
    expect(await values('--prefix', 'prod/twins/')).toBe(
      'sotto: Cannot set "A_B" twice: from "prod/twins/a-b" and from "prod/twins/a_b"',
    )
  })

  test('a name that no variable can have is an error', async () => {
    await service.client().put('prod/odd/a b', bytes('1'))
    expect(await values('--prefix', 'prod/odd/')).toBe(
      'sotto: Cannot make a variable of the name "prod/odd/a b"',
    )
  })

  test('each secret is asked for once, however many fields of it are wanted', async () => {
    await service.client().put('prod/json', bytes('{"a":"1","b":{"c":"2"},"__proto__":"3"}'))
    const wanted = ['a', 'b.c', '__proto__'].flatMap((field, at) => [
      '-e',
      `V${at}=prod/json#${field}`,
    ])
    expect(await values(...wanted)).toEqual({ V0: '1', V1: '2', V2: '3' })
    const reads = service
      .records()
      .filter(({ action, secret }) => action === 'get' && secret === 'prod/json')
    expect(reads).toHaveLength(1)
  })
})

test.each(['sh', 'compose', 'systemd', 'yaml', 'json', 'k8s', 'docker-env', 'dotenv'])(
  '%s: a refusal has no value in it',
  async (format) => {
    await service
      .client()
      .put('prod/nasty', Buffer.from(`${CANARY}\0\xff'\r\n\\${CANARY}`, 'latin1'))
    const more = { k8s: ['--name', 'Wrong Name'], dotenv: ['--dialect', 'npm'] }[format] ?? []
    const answered = await exported(['--format', format, '-e', 'A=prod/nasty', ...more])
    expect(answered).toMatchObject({ stdout: '', exit: '1' })
    expect(answered.stderr).toMatch(/^sotto: Cannot export for /)
  },
)
