/** docs/reference/cli.md shows the table of commands as it is. `npx vitest -u` writes it again. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Flag, Flags } from '../../cli/arguments.ts'
import { commandTable } from '../../cli/commands.ts'
import { helpFor, overview } from '../../cli/help.ts'
import { errorTable } from '../../client/api/errors.ts'
import { commandsPart, ownFlags } from './reference-page.ts'

const [commands, names, shared] = await Promise.all([
  commandTable.all(),
  commandTable.names(),
  commandTable.shared(),
])
const groups = new Set(names.filter((name) => name.includes(' ')).map((name) => name.split(' ')[0]))
const WIDTH = 80
const path = new URL('../../docs/reference/cli.md', import.meta.url).pathname

const exitMeanings: Readonly<Record<number, string>> = {
  0: 'it worked',
  1: 'the command line was wrong, or something on this machine failed',
  2: 'the server refused or failed',
  3: 'there is no such secret or version',
  4: 'the rules do not allow it',
  5: 'nothing changed',
  6: 'no answer came from the server',
  8: '`sotto rollout`: not all have the active version yet',
  9: '`sotto lint` found something, `sotto diff` a difference',
}

/** Those of `sotto run`, by which a caller tells its failures from those of the program. */
const exitsOfRun: Readonly<Record<number, string>> = {
  124: '`run`: the program failed with its new values, and with those before',
  125: '`run`: the program was not started',
  126: '`run`: the program cannot be run',
  127: '`run`: there is no such program',
}

test('docs/reference/cli.md shows the exit codes of the error table and each command', async () => {
  const text = readFileSync(path, 'utf8')
  const prose = text.slice(0, text.indexOf('## Commands\n'))
  const withTable = prose.replace(
    /<!-- exit codes -->\n[^]*?<!-- end -->/,
    `<!-- exit codes -->\n${exitCodes()}<!-- end -->`,
  )
  await expect(withTable + commandsPart()).toMatchFileSnapshot(path)
})

describe('docs/reference/cli.md has once', () => {
  const page = readFileSync(path, 'utf8')
  const [sharedPart = '', ...sections] = page
    .slice(page.indexOf('## Commands\n'))
    .split(/^(?=### )/m)
    .slice(1)
  const entries = sections.join('').split(/^(?=sotto )/m)
  const every = [...commandTable.raw, ...commands]
  const entriesOf = (name: string): string[] =>
    entries.filter((each) => new RegExp(`^sotto ${name}\\s`).test(each))

  test.each(every)('$name: its arguments, what it does, and the flags of its own', (command) => {
    const [entry = '', ...others] = entriesOf(command.name)
    expect(others).toEqual([])
    expect(entry.replaceAll(/\s+/g, ' ')).toContain(command.summary)
    const args = 'args' in command ? command.args.join(' ') : ''
    expect(entry.split('\n')[0]?.endsWith(args)).toBe(true)
    const [, model = '', repeated = ''] = /^ {4}As for (.+?): ([^]*)/m.exec(entry) ?? []
    for (const flag of Object.entries(ownFlags(command))) {
      const named = count(repeated.replaceAll(/\s+/g, ' '), flag)
      expect(defined(entry, flag) + named, flag[0]).toBe(1)
      const explained = named === 0 ? 1 : defined(entriesOf(model)[0] ?? '', flag)
      expect(explained, `${flag[0]} of ${model}`).toBe(1)
    }
  })

  test('each flag that many commands share', () => {
    const all = commands.flatMap((command) => {
      const own = ownFlags(command)
      const taken = { ...command.flags, ...commandTable.globalFlags }
      return Object.entries(taken).filter(([flag]) => own[flag] === undefined)
    })
    expect(all.length).toBeGreaterThan(100)
    const settingsPage = readFileSync(new URL('settings.md', `file://${path}`), 'utf8')
    const [, keys = ''] = /^## Keys of the store\n([^]*?)^## /m.exec(settingsPage) ?? []
    const ofKeys = new Set(Array.from(keys.matchAll(/^#([a-z-]+): /gm), ([, flag]) => flag))
    expect(ofKeys.size).toBeGreaterThan(15)
    const there = (flag: readonly [string, Flag]): number =>
      count(sharedPart, flag) + (ofKeys.has(flag[0]) ? 1 : 0)
    expect(all.filter((flag) => there(flag) !== 1)).toEqual([])
  })

  test('no command that there is not', () => {
    expect(entries.filter((each) => each.startsWith('sotto '))).toHaveLength(names.length)
  })
})

/** How often a flag has a line of its own in the entry of a command. */
function defined(entry: string, [flag, { short, value }]: readonly [string, Flag]): number {
  const shown = `${short ? `-${short}, ` : ''}--${flag}${value === undefined ? '' : ` ${value}`}`
  return entry.split(new RegExp(`^ {4}${RegExp.escape(shown)}(?: {2}|$)`, 'm')).length - 1
}

/** How often a flag is in a text, with its value. */
function count(text: string, [flag, { value }]: readonly [string, Flag]): number {
  const shown = `--${flag}${value === undefined ? '' : ` ${value}`}`
  return text.split(new RegExp(`(?<![\\w-])${RegExp.escape(shown)}(?![\\w-])`)).length - 1
}

function exitCodes(): string {
  const meanings = [...Object.entries(exitMeanings), ...Object.entries(exitsOfRun)]
  const rows = meanings.map(([exit, meaning]) => `| ${exit} | ${meaning} |\n`)
  return `| exit code | meaning |\n| --- | --- |\n${rows.join('')}`
}

test('each exit code of the error table has a meaning', () => {
  const used = Object.values(errorTable).map(({ exit }) => String(exit))
  expect(Object.keys(exitMeanings)).toEqual(expect.arrayContaining(used))
})

test.each([80, 100])('V8: help fits a terminal of %i columns', async (width) => {
  const texts = await Promise.all([
    overview(commandTable, width),
    ...[...names, ...groups, ...Object.keys(shared)].map((name) =>
      helpFor(commandTable, name as string, width),
    ),
  ])
  const lines = texts.flatMap((text) => text.split('\n'))
  expect(lines.length).toBeGreaterThan(200)
  // What is to be pasted, and a usage, stay on their lines.
  expect(
    lines.filter((line) => line.length > width && !/^(?:Usage:| {2,}\S*: |.*\S{30})/.test(line)),
  ).toEqual([])
})

test('V9: the short help has each command once, by its name or by the first word of several', () => {
  const shown = commandTable.groups.flatMap((group) =>
    group.commands.map((each) => (typeof each === 'string' ? each : each[0])),
  )
  const first = names.map((name) => name.split(' ')[0])
  expect(shown).toHaveLength(new Set(shown).size)
  expect(new Set(shown)).toEqual(new Set(first))
})

test('V9: flags that many commands share are shown once', async () => {
  const text = await helpFor(commandTable, 'key add', WIDTH)
  expect(text).toContain('Flags for keys: `sotto help key-flags`.')
  expect(text).toContain('--new-kms-key KEY')
  expect(text).not.toContain('--transit-url')
  expect(await helpFor(commandTable, 'key-flags', WIDTH)).toContain('--transit-url')
  expect((await helpFor(commandTable, 'key', WIDTH)).split('\n').length).toBeLessThan(15)
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
