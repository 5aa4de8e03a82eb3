/** docs/cli.md shows the table of commands as it is. `npx vitest -u` writes it anew. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { Flags } from '../../cli/arguments.ts'
import { commandTable } from '../../cli/commands.ts'
import { helpFor, overview } from '../../cli/help.ts'
import { errorTable } from '../../client/api/errors.ts'

const [commands, names] = await Promise.all([commandTable.all(), commandTable.names()])
const path = new URL('../../docs/cli.md', import.meta.url).pathname

const exitMeanings: Readonly<Record<number, string>> = {
  0: 'it worked',
  1: 'the command line was wrong, or something on this machine failed',
  2: 'the server refused or failed',
  3: 'there is no such secret or version',
  4: 'the rules do not allow it',
  5: 'nothing changed since the version that was given',
  6: 'no answer came from the server',
}

test('docs/cli.md shows the exit codes of the error table and the help of each command', async () => {
  const text = readFileSync(path, 'utf8')
  const prose = text.slice(0, text.indexOf('## Commands\n'))
  const withTable = prose.replace(
    /<!-- exit codes -->\n[^]*?<!-- end -->/,
    `<!-- exit codes -->\n${exitCodes()}<!-- end -->`,
  )
  const sections = await Promise.all(
    names.map(
      async (name) => `### ${name}\n\n\`\`\`text\n${await helpFor(commandTable, name)}\`\`\`\n`,
    ),
  )
  const reference = `## Commands\n\n\`\`\`text\n${await overview(commandTable)}\`\`\`\n\n${sections.join('\n')}`
  await expect(withTable + reference).toMatchFileSnapshot(path)
})

function exitCodes(): string {
  const rows = Object.entries(exitMeanings).map(([exit, meaning]) => {
    const codes = Object.entries(errorTable)
      .filter(([, kind]) => String(kind.exit) === exit)
      .map(([code]) => `\`${code}\``)
    return `| ${exit} | ${meaning} | ${codes.join(', ')} |\n`
  })
  return `| exit code | meaning | error codes |\n| --- | --- | --- |\n${rows.join('')}`
}

test('each exit code of the error table has a meaning', () => {
  const used = Object.values(errorTable).map(({ exit }) => String(exit))
  expect(Object.keys(exitMeanings)).toEqual(expect.arrayContaining(used))
})

test('help fits a terminal of a hundred columns', async () => {
  const texts = await Promise.all([
    overview(commandTable),
    ...names.map((name) => helpFor(commandTable, name)),
  ])
  const lines = texts.flatMap((text) => text.split('\n'))
  expect(lines.filter((line) => line.length > 100)).toEqual([])
})

test('the table has nothing that would break a line of completions in two', () => {
  const flags = [commandTable.globalFlags, ...commands.map((each) => each.flags ?? {})].flatMap(
    Object.values,
  )
  const texts = [...commands, ...commandTable.raw].map(({ summary }) => summary)
  const all = [...texts, ...flags.map(({ help }) => help)]
  expect(all.filter((text) => /[\t\n]/.test(text))).toEqual([])
})

test('no command has a flag by the name of one that all have', () => {
  const flagNames = (flags: Flags) =>
    Object.entries(flags).flatMap(([name, { short }]) => [name, ...(short ? [short] : [])])
  const taken = new Set(flagNames(commandTable.globalFlags))
  expect(
    commands.flatMap(({ flags = {} }) => flagNames(flags)).filter((name) => taken.has(name)),
  ).toEqual([])
})

test('no command is the first word of another', () => {
  const first = new Set(
    names.filter((name) => name.includes(' ')).map((name) => name.split(' ')[0]),
  )
  expect(names.filter((name) => first.has(name))).toEqual([])
})
