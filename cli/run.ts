/** Finds the command, runs it, and reports how it ended: the exit code and, if it failed, why. */
import { type ErrorCode, errorTable, quote, SottoError } from '../client/api/errors.ts'
import { flagNamed, parseArguments } from './arguments.ts'
import type { Command, RawCommand } from './command.ts'
import { commandTable } from './commands.ts'
import { type Environment, Invocation } from './invocation.ts'
import type { Io } from './terminal/io.ts'
import { nearest } from './nearest.ts'
import { visible } from './terminal/text.ts'

/**
 * Runs the command line `args` and resolves with the exit code: 0, or that of the error table, or
 * 130 after Ctrl-C. Failures are reported on stderr; it never rejects for one.
 */
export async function run(args: readonly string[], io: Io, env: Environment): Promise<number> {
  try {
    return await dispatch(args, io, env)
  } catch (error) {
    return report(error, io, wantsJson(args))
  }
}

async function dispatch(args: readonly string[], io: Io, env: Environment): Promise<number> {
  const { before, rest } = split(args.map((arg, at) => (at === 0 ? asCommand(arg) : arg)))
  if (rest.length === 0) {
    const { switches } = parseArguments(before, commandTable.globalFlags)
    if (switches.has('help')) return showHelp([], io, env)
    throw new SottoError('usage', 'No command is given', { hint: 'Run `sotto help`.' })
  }
  const { command, after } = await findCommand(rest)
  const { name } = command
  if (!('args' in command)) {
    if (/^(?:-h|--?help)$/.test(after[0] ?? '')) return showHelp([name], io, env)
    return (await command.load())([...before, ...after], env, io, commandTable)
  }
  const flags = { ...command.flags, ...commandTable.globalFlags }
  const parsed = parseArguments([...before, ...after], flags, command.takesValue)
  const invocation = new Invocation(parsed, io, env)
  if (invocation.on('help')) return showHelp([name], io, env)
  checkOutput(invocation)
  checkCount(command, parsed.words.length)
  return (await (await command.load())(invocation, commandTable)) ?? 0
}

/** Parts the flags that stand before the command from the rest. */
function split(args: readonly string[]): { before: string[]; rest: string[] } {
  let at = 0
  while (at < args.length) {
    const arg = args[at] as string
    const typed = /^--?([^=-][^=]*)(=)?/.exec(arg)
    if (!typed) break
    const flag = flagNamed(typed[1] ?? '', commandTable.globalFlags)
    if (flag === undefined) break
    at += commandTable.globalFlags[flag]?.value !== undefined && typed[2] === undefined ? 2 : 1
  }
  return { before: args.slice(0, at), rest: args.slice(at) }
}

/** The command whose name, of one word or two, `words` begin with, and the words after it. */
async function findCommand(
  words: readonly string[],
): Promise<{ command: Command | RawCommand; after: readonly string[] }> {
  for (const length of [1, 2]) {
    const command = await commandTable.named(words.slice(0, length).join(' '))
    if (command) return { command, after: words.slice(length) }
  }
  throw await unknownCommand(words[0] as string)
}

/** Nearly every program knows its release under this flag. */
function asCommand(arg: string): string {
  return /^--?version$/.test(arg) ? 'version' : arg
}

async function showHelp(words: readonly string[], io: Io, env: Environment): Promise<number> {
  const { help } = await import('./help.ts')
  const invocation = new Invocation({ words, values: new Map(), switches: new Set() }, io, env)
  await help(invocation, commandTable)
  return 0
}

async function unknownCommand(name: string): Promise<SottoError> {
  const bare = name.replace(/^--?/, '')
  const known = await commandTable.names()
  const meant = known.includes(bare) ? bare : nearest(bare, known)
  const group = known.filter((each) => each.startsWith(`${name} `))
  const hint =
    group.length > 0
      ? `It is one of: ${group.join(', ')}.`
      : meant === undefined
        ? 'Run `sotto help` for the list.'
        : `Did you mean ${quote(meant)}?`
  return new SottoError('usage', `There is no command ${quote(name)}`, { hint })
}

function checkOutput(invocation: Invocation): void {
  const output = invocation.text('output') ?? 'text'
  if (output === 'text' || output === 'json') return
  throw new SottoError('usage', `Cannot print as ${quote(output)}: --output is text or json`)
}

function checkCount({ name, args, takesValue }: Command, count: number): void {
  const least = args.filter((arg) => !arg.startsWith('[')).length
  if (count >= least && count <= args.length) return
  const wants = args.length === 0 ? 'no argument' : args.join(' ')
  const message = `${name} takes ${wants}, and ${count} ${count === 1 ? 'argument was' : 'arguments were'} given`
  if (takesValue && count > args.length) {
    const why = 'a value on the command line can be seen by others, in the list of processes'
    const hint = 'Pipe the value in, use --from-file, or type it at the prompt.'
    throw new SottoError('usage', `${message}: ${why}`, { hint })
  }
  throw new SottoError('usage', message, { hint: `Run \`sotto help ${name}\`.` })
}

/** Whether errors are wanted as JSON, known also where the command line could not be read. */
function wantsJson(args: readonly string[]): boolean {
  const flags = args.slice(0, args.includes('--') ? args.indexOf('--') : undefined)
  return flags.some(
    (arg, at) =>
      /^--?(?:o|output)=json$/.test(arg) ||
      (/^--?(?:o|output)$/.test(arg) && flags[at + 1] === 'json'),
  )
}

async function report(failure: unknown, io: Io, json: boolean): Promise<number> {
  // The reader of the output is gone.
  if (failure instanceof Error && 'code' in failure && failure.code === 'EPIPE') return 0
  if (failure instanceof Error && failure.name === 'Interrupted') return 130
  const known = failure instanceof SottoError ? failure : localFault(failure)
  const { code, message } = known
  const hint = known.hint ?? hints[code]
  const requestId = 'requestId' in known ? known.requestId : undefined
  const text = json
    ? `${visible(JSON.stringify({ code, message, hint, requestId }))}\n`
    : `sotto: ${visible(message)}\n${hint === undefined ? '' : `hint: ${visible(hint)}\n`}`
  // Without stderr, the exit code is all that is left.
  await io.stderr.write(text).catch(() => {})
  return errorTable[code].exit
}

/** What a person can do about an error of the server. */
const hints: Partial<Record<ErrorCode, string>> = {
  denied: 'Run `sotto whoami NAME` to see who you are to the server and what you may do.',
  unidentified: 'The server could not learn from the network who is calling; its own log says why.',
  browser: 'Check that nothing between here and the server changes headers.',
  no_such_method: 'The server is another release, or not Sotto.',
}

/** An error of the system names a file and a reason; any other is a fault of this program. */
function localFault(error: unknown): SottoError {
  if (error instanceof Error && 'syscall' in error && 'code' in error) {
    const what = error.syscall === 'write' ? 'Cannot write the output' : 'The system refused'
    return new SottoError('local', `${what} (${String(error.code)})`)
  }
  throw error
}
