/** The documents say what is so: their examples are run, and their tables are compared with the code. */
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { terminalPicture } from '../.ci/picture.ts'
import type { MethodShape } from '../client/api/calls.ts'
import { operations } from '../client/api/operations.ts'
import { actions } from '../client/api/types.ts'
import { documents, expectExamples, top, withExamples } from './support/documents.ts'

test.each(withExamples('short'))(
  'the examples of $name print what is shown',
  expectExamples,
  60_000,
)

test('the picture of a terminal is that of the session in docs/guides/get-started.md', () => {
  const page = readFileSync(join(top, 'docs/guides/get-started.md'), 'utf8')
  expect(readFileSync(join(top, 'docs/terminal.svg'), 'utf8')).toBe(terminalPicture(page))
})

/** Who runs the blocks of shell that are marked `<!-- run: KIND -->`. */
const runners: Readonly<Record<string, string>> = {
  bridge: 'test/interop/bridge-or-direct.test.ts',
  ci: '.ci/run',
  'external-secrets': 'test/interop/external-secrets/external-secrets.test.ts',
  headscale: 'test/tailnet/guides.test.ts',
  'headscale control': 'test/tailnet/guides.test.ts',
  install: 'test/interop/release.test.ts',
  kubernetes: 'test/kubernetes.slow.test.ts',
  kms: 'test/interop/kms/server.test.ts',
  'kms try': 'test/interop/kms/server.test.ts',
  'machine-lost': 'test/interop/machine-lost.test.ts',
  openbao: 'test/interop/backends/backends-guide.test.ts',
  postgres: 'test/interop/postgres/guide.test.ts',
  tailnet: 'test/tailnet/guides.test.ts',
  'tailnet client': 'test/tailnet/guides.test.ts',
  transit: 'test/interop/openbao/transit.test.ts',
  'use-it': 'test/interop/use-it.test.ts',
  valkey: 'test/interop/valkey/guide.test.ts',
  'vault-clients': 'test/interop/vault/clients.test.ts',
}

test.each(documents)(
  'each block of shell in $name says who runs it, or that its lines are parsed alone',
  ({ text }) => {
    for (const [, before = ''] of text.matchAll(/^(.*)\n```sh$/gm)) {
      const [, kind] = /^<!-- (?:run(?:: (.+))?|parsed) -->$/.exec(before) ?? [before, before]
      expect(kind === undefined || runners[kind] !== undefined, before).toBe(true)
    }
  },
)

test.each(Object.entries(runners))('blocks of the kind %s are run by %s', (kind, file) => {
  expect(documents.filter(({ text }) => text.includes(`<!-- run: ${kind} -->`))).not.toEqual([])
  expect(existsSync(join(top, file)), file).toBe(true)
})

describe('tables', () => {
  test('the operations of docs/reference/api.md are those of the code, by the action that each takes', () => {
    const api = documents.find(({ name }) => name === 'docs/reference/api.md')?.text ?? ''
    const [, shown = ''] = /<!-- operations -->\n((?:\|.*\n)+)/.exec(api) ?? []
    const named = Map.groupBy(Object.entries(operations), ([name, operation]) => {
      const { action, onName }: MethodShape = operation
      const none = name === 'secret-list' ? 'none' : 'of the job'
      return action === null ? none : `\`${action}\`${onName ? ' on the name' : ''}`
    })
    const rows = [...named].map(
      ([action, each]) => `| ${action} | ${each.map(([name]) => `\`${name}\``).join(', ')} |`,
    )
    expect(shown.trim().split('\n').slice(2)).toEqual(rows)
  })

  test('the actions of docs/guides/policy.md are those of the code', () => {
    const policy = documents.find(({ name }) => name === 'docs/guides/policy.md')?.text ?? ''
    const named = policy
      .split('\n')
      .filter((line) => line.startsWith('| `'))
      .flatMap((line) => [...(line.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)])
      .map(([, action]) => action)
    expect(named).toEqual(actions)
  })

  test.each(['keys', 'keys-kms', 'keys-transit'])(
    'the messages that docs/guides/%s.md explains are those of the code',
    (page) => {
      const text = documents.find(({ name }) => name === `docs/guides/${page}.md`)?.text ?? ''
      const [, rows = ''] = /<!-- messages -->\n((?:\|.*\n)+)/.exec(text) ?? []
      const phrases = rows
        .split('\n')
        .slice(2)
        .flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)])
        .map(([, phrase = '']) => phrase)
      expect(phrases.length).toBeGreaterThan(4)
      const said = [
        ...globSync('{client,server}/**/*.ts', { cwd: top }),
        ...globSync('test/interop/{kms,openbao}/failures.txt', { cwd: top }),
      ].map((path) => readFileSync(join(top, path), 'utf8'))
      for (const phrase of phrases) {
        expect(
          said.some((each) => each.includes(phrase)),
          phrase,
        ).toBe(true)
      }
    },
  )

  test('links between documents lead somewhere, and to headings that there are', () => {
    for (const { name, text } of documents) {
      for (const [, target = '', anchor] of text.matchAll(/\]\(([^)#:]*)(?:#([^)]+))?\)/g)) {
        const path = target === '' ? join(top, name) : join(top, name, '..', target)
        expect(() => readFileSync(path), `${name} links to ${target}`).not.toThrow()
        expect(
          anchor === undefined || anchorsOf(path).includes(anchor),
          `${name}: ${target}#${anchor}`,
        ).toBe(true)
      }
    }
  })

  test('every page that the code and the files of docs/deploy name is there, and has the heading', () => {
    const files = ['cli', 'client', 'server', 'audit', 'docs/deploy'].flatMap((folder) =>
      readdirSync(join(top, folder), { recursive: true, encoding: 'utf8', withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name)),
    )
    const named = files.flatMap((file) =>
      [...readFileSync(file, 'utf8').matchAll(/\b(docs\/[\w/-]+\.md)(?:#([\w-]+))?/g)].map(
        ([, page = '', anchor]) => ({ file, page, anchor }),
      ),
    )
    expect(named.length).toBeGreaterThan(20)
    for (const { file, page, anchor } of named) {
      expect(existsSync(join(top, page)), `${file} names ${page}`).toBe(true)
      const known = anchor === undefined || anchorsOf(join(top, page)).includes(anchor)
      expect(known, `${file} names ${page}#${anchor}`).toBe(true)
    }
  })

  test('every alert says how bad it is, and names a heading of the runbook', () => {
    const { groups } = parse(readFileSync(join(top, 'docs/deploy/alerts.yml'), 'utf8')) as {
      groups: {
        rules: { alert: string; labels: object; annotations: { runbook: string } }[]
      }[]
    }
    const rules = groups.flatMap((group) => group.rules)
    expect(rules.length).toBeGreaterThan(20)
    for (const { alert, labels, annotations } of rules) {
      const [page = '', anchor] = annotations.runbook.split('#')
      expect(anchorsOf(join(top, page)), alert).toContain(anchor)
      expect([{ severity: 'page' }, { severity: 'warning' }], alert).toContainEqual(labels)
    }
  })
})

test('the tests that docs/reference/threat-model.md names are there, with what it says is in their titles', () => {
  const page = readFileSync(join(top, 'docs/reference/threat-model.md'), 'utf8')
  const named = [...page.matchAll(/\(`([a-z]+\/[a-z/-]+)`((?:, [A-C]\d+)*)\)/g)]
  expect(named.length).toBeGreaterThan(20)
  for (const [, name = '', findings = ''] of named) {
    const path = ['.test.ts', '.slow.test.ts']
      .map((ending) => join(top, 'test', `${name}${ending}`))
      .find((each) => existsSync(each))
    expect(path, name).toBeDefined()
    const text = readFileSync(path ?? '', 'utf8')
    for (const finding of findings.split(', ').slice(1)) {
      expect(text, name).toMatch(new RegExp(`\\(['"\`][^'"\`]*\\b${finding}\\b`))
    }
  }
})

test('R9: a page that speaks of HashiCorp Vault says that it is untried', () => {
  const claims = documents.filter(({ text }) => /HashiCorp|OpenBao or Vault/.test(text))
  expect(claims.map(({ name }) => name)).toContain('docs/guides/openbao.md')
  for (const { name, text } of claims) {
    expect(text, name).toContain('untried')
    expect(text, name).not.toContain('OpenBao or Vault')
  }
})

/** Of the headings of a page, as GitHub makes them. */
function anchorsOf(path: string): string[] {
  return [...readFileSync(path, 'utf8').matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  )
}
