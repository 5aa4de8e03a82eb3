/** Finds the command, runs it, and reports how it ended: the exit code and, if it failed, why. */
import { errorTable, quote, SottoError } from '../client/api/errors.ts'
import type { Environment } from '../client/api/given.ts'
import { refuseUnsafeRuntime } from './runtime.ts'
import { flagNamed, parseArguments } from './arguments.ts'
import { type Command, placeholderAt, type RawCommand, repeats } from './command.ts'
import { commandTable } from './commands.ts'
import { failureText, knownFailure } from './failure.ts'
import { Invocation } from './invocation.ts'
import { jsonLine } from './json.ts'
import { strayNotes } from './strays.ts'
import type { Io } from './terminal/io.ts'
import { nearest } from '../client/api/nearest.ts'
import { visible } from '../client/api/visible.ts'
import { Interrupted } from './terminal/interrupted.ts'

/**
 * Runs the command line `args` and resolves with the exit code: 0, or that of the error table, or
 * 128 and the number of the signal that it was stopped by. Failures are reported on stderr; it never rejects for one.
 */
export async function run(args: readonly string[], io: Io, env: Environment): Promise<number> {
  try {
    refuseUnsafeRuntime(env, process.execArgv)
    return await dispatch(args, io, env)
  } catch (error) {
    return report(error, io, wantsJson(args))
  }
}

async function dispatch(args: readonly string[], io: Io, env: Environment): Promise<number> {
  const { before, rest } = split(args.map((arg, at) => (at === 0 ? asCommand(arg) : arg)))
  if (rest.length === 0) {
    const { switches } = parseArguments(before, commandTable.globalFlags)
    if (switches.get('help') === true) return showHelp([], io, env)
    const message = 'No command is given'
    if (wantsJson(args)) throw new SottoError('usage', message, { hint: 'Run `sotto help`.' })
    await io.stderr.write(`sotto: ${message}\n\n`)
    return showHelp([], { ...io, stdout: io.stderr }, env, errorTable.usage.exit)
  }
  const { command, after } = await findCommand(rest)
  const { name } = command
  if (!wantsJson(args) && !('ownNotes' in command)) {
    for (const note of await strayNotes(env, !('args' in command))) {
      await io.stderr.write(`${visible(note)}\n`).catch(() => {})
    }
  }
  if (!('args' in command)) {
    if (/^(?:-h|--?help)$/.test(after[0] ?? '')) return showHelp([name], io, env)
    return (await command.load())([...before, ...after], env, io, commandTable)
  }
  try {
    return await runCommand(command, [...before, ...after], io, env)
  } catch (error) {
    const { failureExit } = command
    if (failureExit === undefined || !(error instanceof Error) || 'exit' in error) throw error
    throw Object.assign(error, { exit: failureExit })
  }
}

async function runCommand(
  command: Command,
  args: readonly string[],
  io: Io,
  env: Environment,
): Promise<number> {
  const flags = { ...command.flags, ...commandTable.globalFlags }
  const parsed = parseArguments(args, flags, command.takesValue, command.instead)
  const invocation = new Invocation(parsed, io, env)
  if (invocation.on('help')) return showHelp([command.name], io, env)
  checkOutput(invocation)
  checkWords(command, parsed.words)
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

async function showHelp(
  words: readonly string[],
  io: Io,
  env: Environment,
  exit = 0,
): Promise<number> {
  const { help } = await import('./help.ts')
  const invocation = new Invocation(
    { words, values: new Map(), lists: new Map(), switches: new Map() },
    io,
    env,
  )
  await help(invocation, commandTable)
  return exit
}

async function unknownCommand(name: string): Promise<SottoError> {
  const bare = name.replace(/^--?/, '')
  const known = await commandTable.names()
  const meant = known.includes(bare) ? bare : (synonyms[bare] ?? nearest(bare, known))
  const group = known.filter((each) => each.startsWith(`${name} `))
  if (group.length > 0) {
    const hint = `It is one of: ${group.join(', ')}.`
    return new SottoError('usage', `${name} needs a word after it`, { hint })
  }
  const hint =
    meant === undefined ? 'Run `sotto help` for the list.' : `Did you mean ${quote(meant)}?`
  return new SottoError('usage', `There is no command ${quote(name)}`, { hint })
}

/** What other tools call these commands. */
const synonyms: Readonly<Record<string, string>> = {
  set: 'put',
  write: 'put',
  add: 'put',
  ls: 'list',
  rm: 'delete',
  remove: 'delete',
  cat: 'get',
  read: 'get',
  show: 'get',
  versions: 'history',
  use: 'activate',
  promote: 'activate',
  revert: 'rollback',
  undo: 'rollback',
  compare: 'diff',
  log: 'audit query',
}

function checkOutput(invocation: Invocation): void {
  const output = invocation.text('output') ?? 'text'
  if (output === 'text' || output === 'json') return
  throw new SottoError('usage', `Cannot print as ${quote(output)}: --output is text or json`)
}

function checkWords(
  { name, args, takesValue, failureExit }: Command,
  words: readonly string[],
): void {
  const count = words.length
  const least = args.filter((arg) => !arg.startsWith('[')).length
  const most = repeats(args.at(-1)) ? Infinity : args.length
  if (count >= least && count <= most) {
    // The arguments of another program are its own.
    const at = (failureExit === undefined ? words : words.slice(0, least)).indexOf('')
    if (at < 0) return
    const empty = placeholderAt(args, at)
    const hint = 'A variable that it is made of may not be set.'
    throw new SottoError('usage', `The argument ${empty} is empty`, { hint })
  }
  const wants = args.length === 0 ? 'no argument' : args.join(' ')
  const message = `${name} takes ${wants}, and ${count} ${count === 1 ? 'argument was' : 'arguments were'} given`
  if (takesValue && count > most) {
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
  if (failure instanceof Interrupted) return failure.exit
  const known = await knownFailure(failure)
  // Any other is a fault of this program.
  if (known === undefined) throw failure
  const { code, message } = known
  const { hintFor } = await import('./cures.ts')
  const hint = hintFor(code, known.hint)
  const requestId = 'requestId' in known ? known.requestId : undefined
  const text = json ? jsonLine({ code, message, hint, requestId }) : failureText(message, hint)
  // Without stderr, the exit code is all that is left.
  await io.stderr.write(text).catch(() => {})
  const own = failure instanceof Error && 'exit' in failure ? failure.exit : undefined
  return typeof own === 'number' ? own : errorTable[code].exit
}
