/** The commands as docs/reference/cli.md shows them: each command, argument and flag once. */
import type { Flag, Flags } from '../../cli/arguments.ts'
import type { Command, RawCommand, SharedFlags } from '../../cli/command.ts'
import { commandTable } from '../../cli/commands.ts'
import { definitions, filled } from '../../cli/terminal/layout.ts'
import { settings } from '../../server/config/settings/table.ts'

const WIDTH = 80

/** Flags that go with those of a page of help of their own. */
const COMMON: readonly string[] = ['config', 'state-dir']

/** Pages that say more. */
const guides: Readonly<Record<string, string>> = {
  audit: '../guides/runbook.md#reading-the-audit-log',
  backend: '../guides/openbao.md',
  backup: '../guides/backup.md',
  config: 'settings.md',
  import: '../guides/from-setec.md',
  key: '../guides/keys.md',
  mirror: '../guides/mirror.md',
}

/** What shared flags are called on the page. */
const sharedNames: Readonly<Record<string, string>> = {
  'key-flags': '[key flags]',
  'bucket-flags': '[bucket flags]',
}

const all: readonly (Command | RawCommand)[] = [...commandTable.raw, ...(await commandTable.all())]
const shared = await commandTable.shared()

/** The part of the page from its heading `Commands` on. */
export function commandsPart(): string {
  const sections = commandTable.groups.flatMap(({ title, commands }) => {
    const single = commands.filter((each) => typeof each === 'string')
    const alone = single.length === 1 ? single[0] : undefined
    const families = commands.flatMap((each) => (typeof each === 'string' ? [] : [each[0]]))
    return [
      ...(single.length > 0 ? [section(alone ?? title, named(single))] : []),
      ...families.map((word) => {
        return section(
          word,
          all.filter(({ name }) => name.startsWith(`${word} `)),
          guides[word],
        )
      }),
    ]
  })
  return `## Commands

\`sotto help COMMAND\` says more about each.

${sharedSection()}
${sections.join('\n')}`
}

function named(names: readonly string[]): (Command | RawCommand)[] {
  return names.flatMap((name) => all.find((each) => each.name === name) ?? [])
}

function section(title: string, commands: readonly (Command | RawCommand)[], more?: string) {
  const link = more === undefined ? '' : `See [${more.replace(/^.*\/|#.*$/g, '')}](${more}).\n\n`
  const entries = commands.map((each, at) => entry(each, commands.slice(0, at)))
  return `### ${title}\n\n${link}${block(entries.join('\n'))}`
}

function block(text: string): string {
  return `\`\`\`text\n${text}\`\`\`\n`
}

/** The flags that are not repeated at each command. */
function sharedSection(): string {
  const ofStore = all.flatMap((each) => ('args' in each ? Object.entries(each.flags ?? {}) : []))
  const common = new Map(ofStore.filter(([name]) => COMMON.includes(name)))
  const line = (name: string): string => flagLines({ [name]: common.get(name) as Flag }, 2)
  return `### Flags of many commands

Every command but \`server\`, \`init\`, \`doctor\` and \`config show\` has these:

${block(flagLines(commandTable.globalFlags, 2))}
Where a usage has \`[key flags]\` or \`[bucket flags]\`, it means these, and for \`[key flags]\` also each under *Keys of the store* in
[settings.md](settings.md#every-setting), which explains them all.

${block(`[key flags] and [bucket flags]:
${line('config')}
[key flags]:
${line('state-dir')}
[bucket flags]:
${listOf('bucket-flags')}`)}`
}

/** The names of shared flags; none is parted from its value. */
function listOf(page: string): string {
  const names = Object.entries(shared[page]?.flags ?? {}).map(
    ([name, { value }]) => `--${name}${value ? `~${value}` : ''}`,
  )
  const lines = filled(names.join(', '), WIDTH - 2)
  return `${lines.replaceAll(/^/gm, '  ').replaceAll('~', ' ')}\n`
}

/** A command: its usage, what it does, and the flags of its own; of several that one of the `earlier` has, their names. */
function entry(command: Command | RawCommand, earlier: readonly (Command | RawCommand)[]): string {
  const { name, summary } = command
  const own = Object.entries(ownFlags(command))
  const usage = ['sotto', name, ...tags(command), ...('args' in command ? command.args : [])]
  const model = earlier.find((each) => sameFlags(own, each).length > 1)
  const same = model === undefined ? [] : sameFlags(own, model)
  const words = same.map(([flag, { value }]) => `--${flag}${value ? `~${value}` : ''}`).join(', ')
  const rest = own.filter((each) => !same.includes(each))
  return [
    `${usage.join(' ')}\n${indented(filled(summary, WIDTH - 4))}`,
    rest.length > 0 ? flagLines(Object.fromEntries(rest), 4) : '',
    model
      ? indented(filled(`As for ${model.name}: ${words}.`, WIDTH - 4).replaceAll('~', ' '))
      : '',
  ].join('')
}

/** Those of `flags` that another command has with the same words. */
function sameFlags(flags: readonly (readonly [string, Flag])[], other: Command | RawCommand) {
  const known = ownFlags(other)
  return flags.filter(([name, { value, help }]) => {
    return known[name]?.help === help && known[name].value === value
  })
}

/** What a usage has in place of flags: those of its own, and those that it shares. */
function tags(command: Command | RawCommand): string[] {
  if (!('args' in command)) {
    return [command.like === undefined ? '[settings]' : `[settings of ${command.like}]`]
  }
  const names = Object.keys(command.flags ?? {})
  const pages = Object.keys(shared).filter((page) =>
    names.some((name) => isOf(page, name, command)),
  )
  return [
    ...(Object.keys(ownFlags(command)).length > 0 ? ['[flags]'] : []),
    ...pages.map((page) => sharedNames[page] ?? ''),
  ]
}

function isOf(page: keyof SharedFlags, name: string, { flags }: Command): boolean {
  return shared[page]?.flags[name] !== undefined && shared[page].flags[name] === flags?.[name]
}

/** The flags that a command shares with few or none. */
export function ownFlags(command: Command | RawCommand): Flags {
  if ('args' in command) {
    const entries = Object.entries(command.flags ?? {})
    const taken = (name: string) => Object.keys(shared).some((page) => isOf(page, name, command))
    const withPage = entries.some(([name]) => taken(name))
    const kept = entries.filter(([name]) => !taken(name) && !(withPage && COMMON.includes(name)))
    return Object.fromEntries(kept)
  }
  if (command.like !== undefined) return {}
  const rows = settings.filter(
    ({ verbs, inFile, flag }) =>
      verbs.some((verb) => verb === command.name) && !inFile && !COMMON.includes(flag),
  )
  return Object.fromEntries(
    rows.map(({ flag, value, help }) => [flag, { ...(value !== undefined && { value }), help }]),
  )
}

function flagLines(flags: Flags, indent: number): string {
  const rows = Object.entries(flags).map(
    ([name, { short, value, help }]) =>
      [`${short ? `-${short}, ` : ''}--${name}${value ? ` ${value}` : ''}`, help] as const,
  )
  return definitions(rows, WIDTH - indent + 2).replaceAll(/^(?=.)/gm, ' '.repeat(indent - 2))
}

function indented(text: string): string {
  return `${text.replaceAll(/^/gm, '    ')}\n`
}
