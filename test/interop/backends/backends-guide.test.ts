/** The examples of docs/backends.md print what is shown, with a real OpenBao. */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { examplesIn, filesIn, runExamples, showsLine } from '../../support/console.ts'
import { startOpenBao } from '../../support/openbao.ts'
import { describeWith, requirePeer } from '../../support/peers.ts'
import { cli, startSotto, temporaryDirectory } from '../../support/sotto.ts'
import { leastPolicy } from './fixture.ts'

const document = readFileSync(new URL('../../../docs/backends.md', import.meta.url), 'utf8')
const SHOWN = 'https://bao.example.com:8200'

describeWith(['bao'], 'docs/backends.md', () => {
  test('has the policy that the tests run under', () => {
    expect(filesIn(document).get('sotto.hcl')).toBe(leastPolicy)
  })

  test('shows what its commands print', async () => {
    using scratch = temporaryDirectory()
    await using bao = await startOpenBao()
    for (const [name, content] of filesIn(document))
      writeFileSync(join(scratch.path, name), content)
    const bin = join(scratch.path, 'bin')
    mkdirSync(bin)
    writeFileSync(join(bin, 'sotto'), `#!/bin/sh\nexec ${process.execPath} ${cli} "$@"\n`)
    chmodSync(join(bin, 'sotto'), 0o755)
    const server = await startSotto({ args: ['--backend-origin', bao.url] })
    try {
      const examples = examplesIn(document, 'console openbao')
      expect(examples.length).toBeGreaterThan(10)
      const printed = await runExamples(examples, {
        cwd: scratch.path,
        env: {
          ...process.env,
          PATH: `${bin}:${dirname(requirePeer('bao'))}:${process.env['PATH']}`,
          HOME: scratch.path,
          SOTTO_SERVER: server.url,
          BAO_ADDR: bao.url,
          BAO_TOKEN: bao.rootToken,
        },
        replace: (command) => command.replaceAll(SHOWN, bao.url),
      })
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
    } finally {
      await server.stop()
    }
  })
})
