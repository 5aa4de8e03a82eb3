/** The documents say what is so: their examples are run, and their tables are compared with the code. */
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { errorTable } from '../client/api/errors.ts'
import { operations } from '../client/api/operations.ts'
import { actions } from '../client/api/types.ts'
import { examplesIn, filesIn, runExamples, showsLine } from './support/console.ts'
import { cli, startSotto, temporaryDirectory } from './support/sotto.ts'

const top = new URL('..', import.meta.url).pathname
const documents = ['README.md', ...readdirSync(join(top, 'docs')).map((name) => `docs/${name}`)]
  .filter((name) => name.endsWith('.md'))
  .map((name) => ({ name, text: readFileSync(join(top, name), 'utf8') }))

/** The address that documents show for a development server. */
const SHOWN = 'http://127.0.0.1:4180'

describe('examples', () => {
  const withExamples = documents.filter(({ text }) => examplesIn(text).length > 0)

  test.each(withExamples)(
    'of $name print what is shown',
    async ({ text }) => {
      using scratch = temporaryDirectory()
      for (const [name, content] of filesIn(text)) writeFileSync(join(scratch.path, name), content)
      const bin = join(scratch.path, 'bin')
      mkdirSync(bin)
      const shim = `#!/bin/sh\nexec ${process.execPath} ${cli} "$@"\n`
      writeFileSync(join(bin, 'sotto'), shim)
      chmodSync(join(bin, 'sotto'), 0o755)
      const tailnet = filesIn(text).has('tailnet.json')
        ? ['--tailnet', join(scratch.path, 'tailnet.json')]
        : []
      const state = join(scratch.path, 'state')
      const server = await startSotto({ args: ['--state-dir', state, ...tailnet] })
      try {
        const examples = examplesIn(text)
        const printed = await runExamples(examples, {
          cwd: scratch.path,
          env: { ...process.env, PATH: `${bin}:${process.env['PATH']}`, STATE: state },
          replace: (command) =>
            command.replaceAll(SHOWN, server.url).replaceAll('npm run -s sotto --', 'sotto'),
        })
        for (const [at, example] of examples.entries()) {
          const lines = (printed[at] ?? []).map((line) => line.replaceAll(server.url, SHOWN))
          const shown = example.expected
          const same =
            shown.length === lines.length &&
            shown.every((pattern, index) => showsLine(pattern, lines[index] ?? ''))
          expect(
            same,
            `line ${example.line}: ${example.command}\nshown:\n${shown.join('\n')}\nprinted:\n${lines.join('\n')}`,
          ).toBe(true)
        }
      } finally {
        await server.stop()
      }
    },
    60_000,
  )
})

describe('tables', () => {
  test('the errors of docs/api.md are those of the code', () => {
    const api = documents.find(({ name }) => name === 'docs/api.md')?.text ?? ''
    const shown = api.slice(api.indexOf('<!-- errors -->') + '<!-- errors -->\n'.length)
    expect(shown.trim()).toBe(errorsAsMarkdown())
  })

  test('the operations of docs/api.md are those of the code', () => {
    const api = documents.find(({ name }) => name === 'docs/api.md')?.text ?? ''
    const [, shown = ''] = /<!-- operations -->\n((?:\|.*\n)+)/.exec(api) ?? []
    const rows = Object.entries(operations).map(
      ([name, { action, summary }]) =>
        `| \`${name}\` | ${action === null ? 'of the job' : `\`${action}\``} | ${summary} |`,
    )
    expect(shown.trim().split('\n').slice(2)).toEqual(rows)
  })

  test('the actions of docs/policy.md are those of the code', () => {
    const policy = documents.find(({ name }) => name === 'docs/policy.md')?.text ?? ''
    const named = policy
      .split('\n')
      .filter((line) => line.startsWith('| `'))
      .flatMap((line) => [...(line.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)])
      .map(([, action]) => action)
    expect(named).toEqual(actions)
  })

  test('links between documents lead somewhere', () => {
    for (const { name, text } of documents) {
      for (const [, target = ''] of text.matchAll(/\]\(([^)#:]+)\)/g)) {
        const path = join(top, name, '..', target)
        expect(() => readFileSync(path), `${name} links to ${target}`).not.toThrow()
      }
    }
  })
})

function errorsAsMarkdown(): string {
  const rows = Object.entries(errorTable)
    .filter(([, { status }]) => status > 0)
    .map(
      ([code, { status, text, meaning }]) =>
        `| \`${code}\` | ${status} | ${text && `\`${text}\``} | ${meaning} |`,
    )
  return ['| code | status | text | meaning |', '| --- | --- | --- | --- |', ...rows].join('\n')
}
