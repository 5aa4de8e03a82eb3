/** `sotto lint`: what it finds in files after public ones, what it prints, and what it does not read. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { rules } from '../../cli/lint/rules.ts'
import { lintCommands } from '../../cli/commands/lint.ts'
import { inProcess } from '../cli/in-process.ts'
import { needRoot, OTHER, runSottoAs } from '../support/users.ts'
import { temporaryDirectory } from '../support/sotto.ts'

const corpus = join(import.meta.dirname, 'corpus')
const top = join(import.meta.dirname, '../..')

interface Found {
  readonly file: string
  readonly line: number
  readonly rule: string
  readonly name: string
}

interface Report {
  readonly findings: readonly Found[]
  readonly allowed: number
  readonly files: number
  readonly notRead: readonly { path: string; why: string; isFault: boolean }[]
}

let scratch: ReturnType<typeof temporaryDirectory>
beforeEach(() => {
  scratch = temporaryDirectory()
})
afterEach(() => scratch[Symbol.dispose]())

const write = (files: Readonly<Record<string, string | Buffer>>): void => {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(scratch.path, name)), { recursive: true })
    writeFileSync(join(scratch.path, name), content)
  }
}

/** What is found below the scratch folder, with paths from there. */
async function linted(...args: string[]): Promise<Report & { exit: string; stderr: string }> {
  const answered = await inProcess(['-o', 'json', 'lint', ...args, scratch.path])
  const { exit, stderr, stdout } = answered
  const report = JSON.parse(stdout === '' ? '{"findings":[],"notRead":[]}' : stdout) as Report
  const own = (path: string): string => relative(scratch.path, path)
  return {
    ...report,
    findings: report.findings.map((each) => ({ ...each, file: own(each.file) })),
    notRead: report.notRead.map((each) => ({ ...each, path: own(each.path) })),
    exit,
    stderr,
  }
}

const placesOf = ({ findings }: Report): string[] =>
  findings.map(({ file, line, rule }) => `${file}:${line} ${rule}`)

describe('the corpus', () => {
  /** Its files have an ending more, so that nothing else takes them for what they show. */
  const names = readdirSync(corpus, { recursive: true, encoding: 'utf8' }).filter((name) =>
    statSync(join(corpus, name)).isFile(),
  )
  const labels = readFileSync(join(import.meta.dirname, 'labels.txt'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
  const spread = (): void =>
    write(
      Object.fromEntries(
        names.map((name) => [name.replace(/\.txt$/, ''), readFileSync(join(corpus, name))]),
      ),
    )

  test('of 40 files and more: nine of ten findings are right, and four of five faults are found', async () => {
    spread()
    expect(names.length).toBeGreaterThanOrEqual(40)
    const found = new Set(placesOf(await linted()))
    const right = labels.filter((label) => found.has(label))
    const wrong = [...found].filter((each) => !labels.includes(each))
    const missed = labels.filter((label) => !found.has(label))
    expect(right.length / found.size, `wrong: ${wrong.join(', ')}`).toBeGreaterThanOrEqual(0.9)
    expect(right.length / labels.length, `missed: ${missed.join(', ')}`).toBeGreaterThanOrEqual(0.8)
    for (const { id } of rules)
      expect(
        right.some((label) => label.endsWith(` ${id}`)),
        id,
      ).toBe(true)
  })

  test('no value that is found is printed, in any form', async () => {
    spread()
    const literals = labels.flatMap((label) => {
      const [, file = '', line, rule] = /^(.*):(\d+) (.*)$/.exec(label) ?? []
      const text = readFileSync(join(corpus, `${file}.txt`), 'utf8').split('\n')[Number(line) - 1]
      const [, value] =
        /[=:>,]\s*["']?([\w!.-]*\d[\w!.-]*)["';,]*\)?;?\s*(?:\}|#.*)?$/.exec(text ?? '') ?? []
      return rule === 'literal' && value !== undefined ? [value] : []
    })
    expect(literals.length).toBeGreaterThan(20)
    for (const args of [[], ['-o', 'json'], ['--format', 'sarif']]) {
      const { stdout, stderr } = await inProcess(['lint', ...args, scratch.path])
      for (const value of [...literals, 'changeme', 'hunter2', 'alice@example.com']) {
        expect(stdout + stderr).not.toContain(value)
      }
    }
  })
})

test('the documents and what they have deployed pass', async () => {
  const { exit, stdout } = await inProcess(['lint', 'docs', 'README.md', '.ci'])
  expect(stdout).toMatch(/^No findings in \d+ files\n/)
  expect(exit).toBe('0')
})

test('each rule is in the help', () => {
  const details = lintCommands[0]?.details ?? ''
  for (const { id } of rules.filter((each) => each.id !== 'suppression')) {
    expect(details).toMatch(new RegExp(`^  (?:[a-z-]+, )*${id}\\b`, 'm'))
  }
})

describe('output', () => {
  test('is a table, with what to do, and exit code 9', async () => {
    write({ 'compose.yaml': 'services:\n  a:\n    environment:\n      DB_PASSWORD: abcd\n' })
    const { exit, stdout } = await inProcess(['lint', scratch.path])
    expect(exit).toBe('9')
    expect(stdout.replaceAll(/\s+/g, ' ')).toMatch(
      /^PLACE RULE NAME \S+\/compose\.yaml:4 literal DB_PASSWORD literal: the value of a secret\. .* 1 finding in 1 file $/,
    )
  })

  test('without a finding has exit code 0', async () => {
    write({ 'compose.yaml': 'services: {}\n' })
    expect(await inProcess(['lint', scratch.path])).toEqual({
      exit: '0',
      stdout: 'No findings in 1 file\n',
      stderr: '',
    })
  })

  test('in SARIF 2.1.0 has rules, places, and what was not read', async () => {
    write({
      'a b/compose.yaml': 'x:\n  password: abcd\n',
      'b.env': Buffer.from('A=\u00fc\n', 'latin1'),
    })
    const { exit, stdout } = await inProcess(['lint', '--format', 'sarif', scratch.path])
    expect(exit).toBe('9')
    const { version, runs } = JSON.parse(stdout) as { version: string; runs: [Run] }
    interface Run {
      readonly tool: { driver: { name: string; rules: { id: string }[] } }
      readonly results: { ruleIndex: number }[]
      readonly invocations: unknown[]
    }
    const [{ tool, results, invocations }] = runs
    expect(version).toBe('2.1.0')
    expect(tool.driver.name).toBe('sotto')
    expect(tool.driver.rules.map(({ id }) => id)).toEqual(rules.map(({ id }) => id))
    expect(results).toEqual([
      {
        ruleId: 'literal',
        ruleIndex: 0,
        level: 'error',
        message: { text: expect.stringMatching(/^The value of a secret: password\. \S.*\.$/) },
        locations: [
          {
            physicalLocation: {
              artifactLocation: { uri: `file://${scratch.path}/a%20b/compose.yaml` },
              region: { startLine: 2 },
            },
          },
        ],
      },
    ])
    expect(invocations).toMatchObject([
      {
        executionSuccessful: true,
        toolExecutionNotifications: [
          { level: 'note', message: { text: 'Not read: it is not text in UTF-8' } },
        ],
      },
    ])
  })

  test('in another form is refused', async () => {
    const { exit, stderr } = await inProcess(['lint', '--format', 'xml', scratch.path])
    expect({ exit, stderr }).toEqual({
      exit: '1',
      stderr: 'sotto: Cannot print as "xml": --format is table or sarif\n',
    })
  })
})

describe('comments', () => {
  test('with a reason allow what they name, on their line or the next', async () => {
    write({
      'a.yaml': `a_token: abcd # sotto-lint allow literal: made up
# sotto-lint allow fallback, literal: made up
b_token: abcd

# sotto-lint allow literal: made up

c_token: abcd
# sotto-lint allow fallback: made up
d_token: abcd
e_token: abcd # sotto-lint allow literal
`,
    })
    const report = await linted()
    expect(placesOf(report)).toEqual([
      'a.yaml:7 literal',
      'a.yaml:9 literal',
      'a.yaml:10 literal',
      'a.yaml:10 suppression',
    ])
    expect(report.allowed).toBe(2)
  })
})

describe('files', () => {
  test('that are no text, large, linked or of others are not read, and that is told', async () => {
    write({
      'large.yaml': `password: abcd\n${'#'.repeat(1024 * 1024)}`,
      'binary.py': Buffer.from('password = "abcd"\0'),
      'wide.env': Buffer.from('\uFEFFTOKEN=abcd\n', 'utf16le'),
      'long.js': `const token = "abcd"${';'.repeat(4000)}\n`,
      'node_modules/a/a.env': 'TOKEN=abcd\n',
      'a/.git/a.env': 'TOKEN=abcd\n',
      'a/logo.svg': 'token="abcd"',
      'a/a.env': 'TOKEN=abcd\n',
    })
    symlinkSync('..', join(scratch.path, 'a/loop'))
    symlinkSync('a.env', join(scratch.path, 'a/link.env'))
    const { exit, findings, notRead } = await linted()
    expect(findings.map(({ file }) => file)).toEqual(['a/a.env'])
    expect(Object.fromEntries(notRead.map(({ path, why }) => [path, why]))).toEqual({
      'a/link.env': 'it is a symbolic link',
      'a/loop': 'it is a symbolic link',
      'binary.py': 'it is not text in UTF-8',
      'large.yaml': 'it is larger than 1 MiB',
      'wide.env': 'it is UTF-16',
    })
    expect(exit).toBe('9')
  })

  test('that nobody may look at make the check fail, unless something was found', async (context) => {
    needRoot(context)
    write({ 'closed/a.env': 'A=1\n', 'b.yaml': 'b: 1\n' })
    execFileSync('chmod', ['-R', 'a+rX', scratch.path])
    execFileSync('chmod', ['0700', join(scratch.path, 'closed')])
    const { code, stdout, stderr } = await runSottoAs(OTHER, ['lint', scratch.path])
    expect(stdout).toContain(`Not read: "${scratch.path}/closed": permission denied\n`)
    expect(stderr).toContain('Cannot check all: ')
    expect(code).toBe(1)
  })

  test('too deep are told, and the check fails', async () => {
    write({ [`${'d/'.repeat(70)}a.env`]: 'A=1\n' })
    const { exit, notRead, stderr } = await linted()
    expect(notRead).toMatchObject([{ why: 'it is more than 64 folders deep', isFault: true }])
    expect(stderr).toContain('"code":"local"')
    expect(exit).toBe('1')
  })

  test('that are no files are not opened', async () => {
    execFileSync('mkfifo', [join(scratch.path, 'pipe.yaml')])
    const { stdout } = await inProcess(['lint', join(scratch.path, 'pipe.yaml')])
    expect(stdout).toContain('pipe.yaml": it is not a regular file')
  })

  test('that are not there are refused', async () => {
    const { exit, stderr } = await inProcess(['lint', join(scratch.path, 'none')])
    expect(stderr).toContain(`Cannot check "${scratch.path}/none": there is no such file`)
    expect(exit).toBe('1')
  })
})

describe('.env', () => {
  test('is found where git would commit it, and beside an example too', async () => {
    write({ 'web/.env': 'PORT=80\n', 'api/.env.example': 'PORT=\n' })
    expect(placesOf(await linted())).toEqual([])
    execFileSync('git', ['init', '--quiet', scratch.path])
    expect(placesOf(await linted())).toEqual(['api/.env.example:1 env-file', 'web/.env:1 env-file'])
    write({ '.gitignore': '.env\n' })
    expect(placesOf(await linted())).toEqual([])
  })
})

describe('.sotto-lint.yaml', () => {
  test('says what names are, what is given up, and what is left out', async () => {
    write({
      '.sotto-lint.yaml': `profiles: {own: 'team/{environment}/{name}'}
environments: {live: [live, prod]}
deprecated: {team/old/*: 'team/{environment}/{name}'}
direct: {app/*: it renews certificates}
exclude: {skipped/*: it is generated}
fallbacks: secrets
`,
      'live/a.yaml':
        'a: sotto://team/prod/a\nb: sotto://team/b\nc: sotto://team/old/c\nd: ${PORT:-80}\ne: ${A_TOKEN:-}\n',
      'app/a.go': 'a.KVv2("secret")\n',
      'skipped/a.env': 'TOKEN=abcd\n',
    })
    const { findings } = await linted()
    expect(findings.map(({ line, rule }) => `${line} ${rule}`)).toEqual([
      '2 naming',
      '3 deprecated-path',
      '5 fallback',
    ])
  })

  test.each([
    ['profile: {}', 'there is no field "profile"'],
    ['exclude: {a: }', 'exclude.a: '],
    ['exclude: {a: " "}', 'exclude.a: expected the reason'],
    ['profiles: {a: "/x"}', 'profiles.a: expected a path'],
    ['a: [', 'line 1: its indentation is wrong'],
    ['{}\n---\n{}', 'it has a second document'],
  ])('%j is refused', async (text, said) => {
    write({ 'own.yaml': text, 'a.env': '' })
    const path = join(scratch.path, 'own.yaml')
    const { exit, stderr } = await linted('--config', path)
    expect(stderr).toContain(`Cannot use \\"${path}\\"`)
    expect(stderr).toContain(said.replaceAll('"', '\\"'))
    expect(exit).toBe('1')
  })
})

test('nothing that it loads speaks to a network', () => {
  const seen = new Set<string>()
  const visit = (file: string): void => {
    if (seen.has(file)) return
    seen.add(file)
    const text = readFileSync(file, 'utf8')
    expect(text, file).not.toMatch(/from 'node:(?:net|tls|http|https|http2|dns|dgram)'|\bfetch\(/)
    for (const [, specifier = ''] of text.matchAll(/^import (?!type)[^']*'(\.[^']+)'/gm)) {
      visit(join(dirname(file), specifier))
    }
  }
  visit(join(top, 'cli/handlers/lint.ts'))
  expect(seen.size).toBeGreaterThan(10)
})
