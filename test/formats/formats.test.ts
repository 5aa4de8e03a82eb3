/** Every format, with readers that run in this process. */
import { parseEnv } from 'node:util'
import { parse as parseDotenv } from 'dotenv'
import { describe, expect, test } from 'vitest'
import { parse as parseYaml } from 'yaml'
import { dialects } from '../../cli/formats/dotenv.ts'
import { masks } from '../../cli/formats/github.ts'
import { formats } from '../../cli/formats/table.ts'
import { depth } from '../support/depth.ts'
import { expectGivenBack, type Found, type Tried, usual } from './contract.ts'
import { readCompose, readDockerEnv, readGithub, readSystemd } from './grammars.ts'
import { someValues } from './values.ts'

const values = someValues(depth({ usual: 5000, full: 100_000 }), 1)

const inBase64 = (found: object): Found =>
  Object.fromEntries(
    Object.entries(found).map(([name, each]) => [name, Buffer.from(String(each), 'base64')]),
  )

/** Each format with one reader; its rows in readers.slow.test.ts have others. */
const readers: readonly (readonly [reader: string, tried: Tried, read: (file: string) => Found])[] =
  [
    ['node', { format: 'dotenv', carries: 0.7 }, parseEnv],
    [
      'npm',
      { format: 'dotenv', options: { dialect: 'npm' }, carries: 0.7 },
      (file) => parseDotenv(file),
    ],
    [
      'npm, fast',
      { format: 'dotenv', options: { dialect: 'npm' }, carries: 0.7 },
      (file) => (parseDotenv as (text: string, options: object) => Found)(file, { fast: true }),
    ],
    ['a parser of Docker', { format: 'docker-env', carries: 0.7 }, readDockerEnv],
    ['a parser of Compose', { format: 'compose', carries: 0.7 }, readCompose],
    ['a parser of systemd', { format: 'systemd', carries: 0.85 }, readSystemd],
    ['a parser of GitHub', { format: 'github', carries: 0.85 }, readGithub],
    ['JSON.parse', { format: 'json', carries: 0.85 }, (file) => JSON.parse(file) as Found],
    ['yaml', { format: 'yaml', carries: 0.85 }, (file) => parseYaml(file) as Found],
    [
      'yaml of 1.1',
      { format: 'yaml', carries: 0.85 },
      (file) => parseYaml(file, { version: '1.1' }) as Found,
    ],
    [
      'JSON.parse, base64',
      { format: 'json', options: { base64: true }, carries: 0.99 },
      (file) => inBase64(JSON.parse(file) as object),
    ],
    [
      'yaml, base64',
      { format: 'yaml', options: { base64: true }, carries: 0.99 },
      (file) => inBase64(parseYaml(file) as object),
    ],
    [
      'a parser of Kubernetes',
      { format: 'k8s', carries: 0.99 },
      (file) => inBase64((JSON.parse(file) as { data: object }).data),
    ],
  ]

describe.each(readers)('%s', (_, tried, read) => {
  test('gives each value back that is not refused', async () => {
    await expectGivenBack(values, tried, (file) => read(file.toString()))
  })
})

test('no refusal repeats any of a value', () => {
  const canary = 'canary5f0d'
  for (const nasty of ["'\r\0\\", '\ud800', '${A}\r"`\n', '\\n\r\n\'"`']) {
    const entry = { variable: 'A', value: Buffer.from(canary + nasty + canary) }
    for (const format of Object.values(formats)) {
      for (const dialect of dialects) {
        expect(String(format.refusal(entry, { ...usual, dialect }))).not.toContain(canary)
      }
    }
  }
})

describe('names', () => {
  const why = (format: keyof typeof formats, variable: string, options = usual) =>
    formats[format]?.refusal({ variable, value: Buffer.from('x') }, options)

  test.each(['sh', 'docker-env', 'compose', 'dotenv', 'systemd', 'github'])(
    '%s takes those of variables alone',
    (format) => {
      expect(why(format, 'DB_URL2')).toBeUndefined()
      for (const name of ['', '2A', 'a-b', 'a b', 'a=b', '$(id)', 'A\n', 'é', '#A', 'a.b']) {
        expect(why(format, name), name).toMatch(/^its name has other characters/)
      }
    },
  )

  test('sh takes none that a shell uses itself', () => {
    for (const name of ['UID', 'RANDOM', '_', 'path', 'BASHOPTS']) {
      expect(why('sh', name), name).toBe('a shell uses a variable of that name itself')
    }
  })

  test('github takes none that GitHub does not', () => {
    for (const name of ['GITHUB_TOKEN', 'RUNNER_OS', 'NODE_OPTIONS']) {
      expect(why('github', name), name).toBe('GitHub takes no variable of that name')
    }
  })

  test('credentials and k8s take those of files and keys', () => {
    for (const format of ['credentials', 'k8s'] as const) {
      expect(why(format, 'tls.crt-1_A')).toBeUndefined()
      for (const name of ['', '.', '..', 'a/b', 'a b', 'é', 'x'.repeat(256)]) {
        expect(why(format, name), name).toMatch(/name/)
      }
    }
    expect(why('k8s', '..a')).toMatch(/name/)
  })

  test('json and yaml take any', () => {
    for (const format of ['json', 'yaml'] as const) {
      const value = Buffer.from('x')
      const written = formats[format]?.write?.([{ variable: '__proto__', value }], usual)
      expect(Object.entries(parseYaml(String(written)) as object)).toEqual([['__proto__', 'x']])
    }
  })
})

describe('all of them together', () => {
  const large = [{ variable: 'A', value: Buffer.alloc(1024 * 1024 + 1) }]
  const why = (format: string, entries = large, options = usual) =>
    formats[format]?.refusalOfAll?.(entries, options)

  test.each(['credentials', 'k8s'])('%s takes 1 MiB', (format) => {
    expect(why(format)).toBe('they have more than 1 MiB together')
    expect(why(format, [{ variable: 'A', value: Buffer.alloc(1024 * 1024) }])).toBeUndefined()
  })

  test('a Secret of Kubernetes has a name', () => {
    for (const name of ['', 'A', 'a_b', '-a', 'a..b', 'x'.repeat(254)]) {
      expect(why('k8s', [], { name }), name).toMatch(/needs a --name/)
    }
    expect(why('k8s', [], { name: 'app.example-1' })).toBeUndefined()
  })

  test('the mark that ends a value for GitHub is in none', () => {
    const value = Buffer.from(`a\n${usual.mark}\nB=1`)
    expect(why('github', [{ variable: 'A', value }])).toMatch(/mark/)
  })

  test('an empty mapping is one', () => {
    expect(parseYaml(String(formats['yaml']?.write?.([], usual)))).toEqual({})
  })
})

test('each line of a value is masked for GitHub, once', () => {
  const value = Buffer.from('one\r\ntwo 100%\n\n  \rone\n')
  expect(masks([{ variable: 'A', value }])).toBe('::add-mask::one\n::add-mask::two 100%25\n')
})
