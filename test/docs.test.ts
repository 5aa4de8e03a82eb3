/** The documents say what is so: their examples are run, and their tables are compared with the code. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { errorTable } from '../client/api/errors.ts'
import { operations } from '../client/api/operations.ts'
import { actions } from '../client/api/types.ts'
import { documents, expectExamples, top, withExamples } from './support/documents.ts'

test.each(withExamples('short'))(
  'the examples of $name print what is shown',
  expectExamples,
  60_000,
)

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
