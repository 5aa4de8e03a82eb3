/** The examples of the guide print what is shown, with a real PostgreSQL. */
import { expect, test } from 'vitest'
import { examplesIn, filesIn, runExamples, showsLine } from '../../support/console.ts'
import { documents } from '../../support/documents.ts'
import { describeWith } from '../../support/peers.ts'
import { startPostgres } from '../../support/postgres.ts'
import { pathWithSotto, startSotto, temporaryDirectory } from '../../support/sotto.ts'

const SHOWN = 'postgres://db.example.com:5432'

describeWith(['postgres', 'initdb'], 'docs/guides/rotation-postgres.md', () => {
  test('shows what its commands print', async () => {
    const { text = '' } =
      documents.find(({ name }) => name === 'docs/guides/rotation-postgres.md') ?? {}
    await using undo = new AsyncDisposableStack()
    const scratch = undo.use(temporaryDirectory())
    const postgres = undo.use(await startPostgres())
    const files = filesIn(text)
    expect([...files.keys()]).toEqual(['roles.sql', 'report.sql'])
    for (const statements of files.values()) await postgres.query(statements)
    await postgres.query('CREATE DATABASE app OWNER app')
    const server = await startSotto({ args: ['--rotation-target', postgres.server] })
    undo.defer(() => server.kill())
    const examples = examplesIn(text, 'postgres')
    const printed = await runExamples(examples, {
      cwd: scratch.path,
      env: { ...process.env, PATH: pathWithSotto(scratch.path), SOTTO_SERVER: server.url },
      replace: (command) => command.replaceAll(SHOWN, postgres.server),
    })
    for (const [at, { command, expected, line }] of examples.entries()) {
      const lines = (printed[at] ?? []).map((each) => each.replaceAll(postgres.server, SHOWN))
      const isOpen = expected.at(-1) === '…'
      const shown = isOpen ? expected.slice(0, -1) : expected
      const same =
        (isOpen || shown.length === lines.length) &&
        shown.every((pattern, index) => showsLine(pattern, lines[index] ?? ''))
      expect(same, `line ${line}: ${command}\nprinted:\n${lines.join('\n')}`).toBe(true)
    }
  })
})
