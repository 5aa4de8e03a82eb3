/** `sotto help`, made from the table of commands. */
import { quote, SottoError } from '../client/api/errors.ts'
import type { Flags } from './arguments.ts'
import type { Command, CommandTable } from './command.ts'
import type { Invocation } from './invocation.ts'
import { table } from './terminal/text.ts'
import type { RawVerb } from '../server/config/settings/setting.ts'

/** Prints how a command is used, or, without one, what there is. Throws `usage` for an unknown one. */
export async function help(invocation: Invocation, commands: CommandTable): Promise<void> {
  const name = [invocation.word(0), invocation.word(1)]
    .filter((word) => word !== undefined)
    .join(' ')
  const text = name === '' ? overview(commands) : helpFor(commands, name)
  await invocation.io.stdout.write(await text)
}

/** What `sotto help` prints: every command, and the flags that all of them know. */
export async function overview(commands: CommandTable): Promise<string> {
  const all = [...commands.raw, ...(await commands.all())]
  const rows = all.map(({ name, summary }) => [`  ${name} `, summary])
  return `Usage: sotto [flags] COMMAND [flags] [arguments]

Sotto is a secrets server for a tailnet, and this is its command line.

Commands:
${table(rows)}
Flags of every command but server, init and doctor:
${flagLines(commands.globalFlags)}
Run \`sotto help COMMAND\` for more.
`
}

/** What `sotto help COMMAND` prints. Throws `usage` for a name that is no command. */
export async function helpFor(commands: CommandTable, name: string): Promise<string> {
  const command = await commands.named(name)
  if (command && 'args' in command) return helpOf(command)
  if (command) return helpOfServer(command.name as RawVerb, command.summary)
  const group = (await commands.names()).filter((each) => each.startsWith(`${name} `))
  if (group.length > 0) {
    return (await Promise.all(group.map((each) => helpFor(commands, each)))).join('\n')
  }
  throw new SottoError('usage', `There is no command ${quote(name)}`, { hint: 'Run `sotto help`.' })
}

function helpOf({ name, args, summary, details, flags = {} }: Command): string {
  const own = Object.keys(flags).length > 0
  return [
    `Usage: sotto ${[name, ...(own ? ['[flags]'] : []), ...args].join(' ')}\n`,
    `${summary}\n`,
    ...(details === undefined ? [] : [`${details}\n`]),
    ...(own ? [`Flags:\n${flagLines(flags)}`] : []),
  ].join('\n')
}

async function helpOfServer(name: RawVerb, summary: string): Promise<string> {
  const { settingsHelp } = await import('../server/config/settings/table.ts')
  return `Usage: sotto ${name} [flags]\n\n${summary}\n\nFlags, each with the variables that stand in for it:\n${settingsHelp(name)}`
}

function flagLines(flags: Flags): string {
  const rows = Object.entries(flags).map(([name, { short, value, help: text }]) => [
    `  ${short === undefined ? '' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`} `,
    text,
  ])
  return table(rows)
}
