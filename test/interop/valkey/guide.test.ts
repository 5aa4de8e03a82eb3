/** The examples of the guide print what is shown, with a real Valkey. */
import { expect, test } from 'vitest'
import { examplesIn, filesIn, runExamples, showsLine } from '../../support/console.ts'
import { documents } from '../../support/documents.ts'
import { describeWith } from '../../support/peers.ts'
import { pathWithSotto, startSotto, temporaryDirectory } from '../../support/sotto.ts'
import { ROOT, startValkey } from '../../support/valkey.ts'

const SHOWN = 'valkey://cache.example.com:6379'

describeWith(['valkey-server'], 'docs/guides/rotation-valkey.md', () => {
  test('shows what its commands print', async () => {
    const name = 'docs/guides/rotation-valkey.md'
    const { text = '' } = documents.find((each) => each.name === name) ?? {}
    await using undo = new AsyncDisposableStack()
    const scratch = undo.use(temporaryDirectory())
    const valkey = undo.use(await startValkey())
    const users = filesIn(text).get('users.acl')?.trim().split('\n') ?? []
    expect(users).toHaveLength(2)
    for (const line of users) {
      const [, user = '', ...rules] = line.split(' ')
      const words = ['ACL', 'SETUSER', user, ...rules]
      expect(await valkey.command('default', ROOT, words)).toContain('+OK\r\n+OK')
    }
    const server = await startSotto({ args: ['--rotation-target', valkey.server] })
    undo.defer(() => server.kill())
    const examples = examplesIn(text, 'valkey')
    const printed = await runExamples(examples, {
      cwd: scratch.path,
      env: { ...process.env, PATH: pathWithSotto(scratch.path), SOTTO_SERVER: server.url },
      replace: (command) => command.replaceAll(SHOWN, valkey.server),
    })
    for (const [at, { command, expected, line }] of examples.entries()) {
      const lines = (printed[at] ?? []).map((each) => each.replaceAll(valkey.server, SHOWN))
      const same =
        expected.length === lines.length &&
        expected.every((pattern, index) => showsLine(pattern, lines[index] ?? ''))
      expect(same, `line ${line}: ${command}\nprinted:\n${lines.join('\n')}`).toBe(true)
    }
  })
})
