/** The examples of the guides about backends print what is shown, with a real OpenBao. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { type Example, examplesIn, filesIn, runExamples, showsLine } from '../../support/console.ts'
import { documents } from '../../support/documents.ts'
import { type OpenBao, startOpenBao } from '../../support/openbao.ts'
import { describeWith, requirePeer } from '../../support/peers.ts'
import { cli, startSotto, temporaryDirectory } from '../../support/sotto.ts'
import { leastPolicy } from './fixture.ts'

const SHOWN = 'https://bao.example.com:8200'
const FIRST = 'docs/guides/openbao.md'

const pages = documents.filter(({ text }) => examplesIn(text, 'openbao').length > 0)
const first = pages.find(({ name }) => name === FIRST)?.text ?? ''
/** Steps 1 to 3, which the other pages begin after. */
const steps = first.slice(0, first.indexOf('**4. '))

describeWith(['bao'], 'the guides about backends', () => {
  test('are those with examples, and have the policy that the tests run under', () => {
    expect(pages.map(({ name }) => name).toSorted()).toEqual(['docs/guides/mirror.md', FIRST])
    expect(filesIn(first).get('sotto.hcl')).toBe(leastPolicy)
  })

  test.each(pages)('$name shows what its commands print', async ({ name, text }) => {
    const [before, begins] =
      name === FIRST
        ? ['', '\n## Set it up\n']
        : [steps, 'steps 1 to 3 of [openbao.md](openbao.md#set-it-up)']
    expect(text).toContain(begins)
    await using bao = await startOpenBao()
    const examples = [before, text].flatMap((each) => examplesIn(each, 'openbao'))
    const printed = await printedBy(examples, new Map([...filesIn(before), ...filesIn(text)]), bao)
    for (const [at, { command, expected, line }] of examples.entries()) {
      const lines = (printed[at] ?? []).map((each) => each.replaceAll(bao.url, SHOWN).trimEnd())
      const shown = expected.filter((each) => each !== '')
      const same =
        shown.at(-1) === '…'
          ? shown.slice(0, -1).every((pattern, index) => showsLine(pattern, lines[index] ?? ''))
          : shown.length === lines.length &&
            shown.every((pattern, index) => showsLine(pattern, lines[index] ?? ''))
      expect(same, `line ${line}: ${command}\nprinted:\n${lines.join('\n')}`).toBe(true)
    }
  })
})

/** What the examples print, in a folder with `files`, against a new server that may use `bao`. */
async function printedBy(
  examples: readonly Example[],
  files: ReadonlyMap<string, string>,
  bao: OpenBao,
): Promise<string[][]> {
  using scratch = temporaryDirectory()
  const replace = (text: string): string => text.replaceAll(SHOWN, bao.url)
  for (const [name, content] of files) writeFileSync(join(scratch.path, name), replace(content))
  const bin = join(scratch.path, 'bin')
  mkdirSync(bin)
  writeFileSync(join(bin, 'sotto'), `#!/bin/sh\nexec ${process.execPath} ${cli} "$@"\n`)
  chmodSync(join(bin, 'sotto'), 0o755)
  const server = await startSotto({ args: ['--backend-origin', bao.url] })
  try {
    return await runExamples(examples, {
      cwd: scratch.path,
      env: {
        ...process.env,
        PATH: `${bin}:${dirname(requirePeer('bao'))}:${process.env['PATH']}`,
        HOME: scratch.path,
        SOTTO_SERVER: server.url,
        BAO_ADDR: bao.url,
        BAO_TOKEN: bao.rootToken,
      },
      replace,
    })
  } finally {
    await server.stop()
  }
}
