/** `sotto help`, made from the table of commands. */
import { quote, SottoError } from '../client/api/errors.ts'
import type { Flags } from './arguments.ts'
import type { Command, CommandTable } from './command.ts'
import type { Invocation } from './invocation.ts'
import { definitions, entries, filled, textWidth } from './terminal/layout.ts'
import type { RawVerb } from '../server/config/settings/setting.ts'

/** Prints how a command is used, what an error means, or, without a word, what there is. Throws `usage` for an unknown one. */
export async function help(invocation: Invocation, commands: CommandTable): Promise<void> {
  const name = [invocation.word(0), invocation.word(1)]
    .filter((word) => word !== undefined)
    .join(' ')
  const width = textWidth(invocation.io.stdout)
  if (invocation.word(0) === 'error') {
    const { helpForError } = await import('./help-error.ts')
    return invocation.io.stdout.write(helpForError(invocation.word(1), width))
  }
  const text = name === '' ? overview(commands, width) : helpFor(commands, name, width)
  await invocation.io.stdout.write(await text)
}

/** What `sotto help` prints: every command, and the flags that all of them know. */
export async function overview(commands: CommandTable, width: number): Promise<string> {
  const all = [...commands.raw, ...(await commands.all())]
  const summaryOf = (name: string): string => all.find((each) => each.name === name)?.summary ?? ''
  const groups = commands.groups.map(({ title, commands: rows }) => {
    const lines = rows.map((row) => (typeof row === 'string' ? [row, summaryOf(row)] : row))
    return `${title}:\n${definitions(lines as [string, string][], width)}`
  })
  return `Usage: sotto [flags] COMMAND [flags] [arguments]

${groups.join('\n')}
Flags of every command but server, init, doctor and config show:
${flagLines(commands.globalFlags, width)}
Run \`sotto help COMMAND\` for more.
`
}

/**
 * What `sotto help NAME` prints, for a command, the first word of several, or flags that commands share. Throws
 * `usage` for a name that is none of these.
 */
export async function helpFor(
  commands: CommandTable,
  name: string,
  width: number,
): Promise<string> {
  const shared = await commands.shared()
  const command = await commands.named(name)
  if (command && 'args' in command) return helpOf(command, shared, width)
  if (command?.like !== undefined) {
    const { like, summary } = command
    return `Usage: sotto ${name} [flags]\n\n${summary}\n\nIts flags are those of sotto ${like}: see \`sotto help ${like}\`.\n`
  }
  if (command) return helpOfServer(command.name as RawVerb, command.summary, width)
  const page = shared[name]
  if (page !== undefined) {
    const { summary, details, flags } = page
    return `${[summary, details].map((text) => `${filled(text, width)}\n\n`).join('')}${flagLines(flags, width)}`
  }
  const all = [...commands.raw, ...(await commands.all())]
  const group = all.filter((each) => each.name.startsWith(`${name} `))
  if (group.length > 0) {
    const rows = group.map((each) => [each.name, each.summary] as [string, string])
    return `Usage: sotto ${name} COMMAND [flags] [arguments]

Commands:
${definitions(rows, width)}
Run \`sotto help ${group[0]?.name}\`, or another, for more.
`
  }
  throw new SottoError('usage', `There is no command ${quote(name)}`, { hint: 'Run `sotto help`.' })
}

function helpOf(
  { name, args, summary, details, flags = {} }: Command,
  shared: Awaited<ReturnType<CommandTable['shared']>>,
  width: number,
): string {
  const isShared = (flag: string): string | undefined =>
    Object.keys(shared).find((page) => shared[page]?.flags[flag] === flags[flag])
  const own = Object.entries(flags).filter(([flag]) => isShared(flag) === undefined)
  const pages = new Set(Object.keys(flags).flatMap((flag) => isShared(flag) ?? []))
  const more = [...pages].map((page) => {
    const { summary: what = '' } = shared[page] ?? {}
    return `${what.replace(/\.$/, '')}: \`sotto help ${page}\`.\n`
  })
  const takesFlags = Object.keys(flags).length > 0
  return [
    `Usage: sotto ${[name, ...(takesFlags ? ['[flags]'] : []), ...args].join(' ')}\n`,
    `${filled(summary, width)}\n`,
    ...(details === undefined ? [] : [`${filled(details, width)}\n`]),
    ...(own.length > 0 ? [`Flags:\n${flagLines(Object.fromEntries(own), width)}`] : []),
    ...(more.length > 0 ? [more.join('')] : []),
  ].join('\n')
}

async function helpOfServer(name: RawVerb, summary: string, width: number): Promise<string> {
  const { settingsHelp } = await import('../server/config/settings/table.ts')
  const sections = Map.groupBy(settingsHelp(name), ({ section }) => section)
  const shown = [...sections].map(([section, rows]) => {
    const flags = rows.map((row) => [row.names, row.help] as const)
    return `\n${section}:\n${entries(flags, width)}`
  })
  return `Usage: sotto ${name} [flags]

${filled(summary, width)}

Flags, each with the variables that mean the same:
${shown.join('')}`
}

function flagLines(flags: Flags, width: number): string {
  const rows = Object.entries(flags).map(
    ([name, { short, value, many, help: text }]) =>
      [
        `${short === undefined ? '' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`,
        many ? `${text} May be given more than once.` : text,
      ] as const,
  )
  return definitions(rows, width)
}
