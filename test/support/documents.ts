/** The documents, and their examples run against a server of their own. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { examplesIn, filesIn, runExamples, showsLines } from './console.ts'
import { pathWithSotto, startSotto, temporaryDirectory } from './sotto.ts'

/** The top of the repository. */
export const top: string = new URL('../..', import.meta.url).pathname

/** A page that people read. */
export interface Document {
  /** Its path from the top. */
  readonly name: string
  readonly text: string
}

/** The README and all pages of docs/. */
export const documents: readonly Document[] = [
  'README.md',
  ...readdirSync(join(top, 'docs'), { recursive: true, encoding: 'utf8' }).map(
    (name) => `docs/${name}`,
  ),
]
  .filter((name) => name.endsWith('.md'))
  .map((name) => ({ name, text: readFileSync(join(top, name), 'utf8') }))

/** Guides whose examples take seconds each: `npm run test:slow` runs them. */
const long: ReadonlySet<string> = new Set(
  ['backup', 'from-setec', 'keys', 'programs-unchanged', 'runbook'].map(
    (name) => `docs/guides/${name}.md`,
  ),
)

/** The documents with examples: those that take long, or the others. */
export function withExamples(which: 'long' | 'short'): readonly Document[] {
  return documents.filter(
    ({ name, text }) => examplesIn(text).length > 0 && long.has(name) === (which === 'long'),
  )
}

/** The address that documents show for a development server. */
const SHOWN = 'http://127.0.0.1:4180'

/** Runs the examples of a document in order, and expects of each what is shown. */
export async function expectExamples({ text }: Document): Promise<void> {
  using scratch = temporaryDirectory()
  for (const [name, content] of filesIn(text)) writeFileSync(join(scratch.path, name), content)
  const tailnet = filesIn(text).has('tailnet.json')
    ? ['--tailnet', join(scratch.path, 'tailnet.json')]
    : []
  const state = join(scratch.path, 'state')
  const server = await startSotto({ args: ['--state-dir', state, ...tailnet] })
  try {
    const examples = examplesIn(text)
    const printed = await runExamples(examples, {
      cwd: scratch.path,
      env: { ...process.env, PATH: pathWithSotto(scratch.path), STATE: state },
      replace: (command) =>
        command.replaceAll(SHOWN, server.url).replaceAll('npm run -s sotto --', 'sotto'),
    })
    for (const [at, example] of examples.entries()) {
      const lines = (printed[at] ?? []).map((line) => line.replaceAll(server.url, SHOWN))
      const shown = example.expected
      expect(
        showsLines(shown, lines),
        `line ${example.line}: ${example.command}\nshown:\n${shown.join('\n')}\nprinted:\n${lines.join('\n')}`,
      ).toBe(true)
    }
  } finally {
    await server.stop()
  }
}
