/** `sotto complete -- WORDS…`, which the scripts of `sotto completion` call at each Tab. */
import type { Client } from '../client/client.ts'
import { flagNamed, type Flags } from './arguments.ts'
import type { Command, CommandTable } from './command.ts'
import { type Environment, Invocation } from './invocation.ts'
import type { Io } from './terminal/io.ts'
import { visible } from './terminal/text.ts'

/** Seconds that a server has to answer with names. */
const SERVER_WAIT = '2'

/** What may stand in a place: one candidate a line, after a tab what it means; or a file. */
type Candidates = readonly (readonly [word: string, meaning?: string])[] | 'files'

/**
 * Prints what may stand in the place of the last of the words after `--`: a line `files`, which
 * leaves it to the shell, or a line `words` and the candidates that begin as the word does. Resolves
 * with the exit code. Rejects where a server that is needed does not answer.
 */
export async function complete(
  [, ...raw]: readonly string[],
  env: Environment,
  io: Io,
  table: CommandTable,
): Promise<number> {
  const words = joined(raw)
  const last = words.pop() ?? ''
  const candidates = await candidatesFor(words, last, table, (flags) => {
    const values = new Map([...flags, ['timeout', SERVER_WAIT]])
    return new Invocation({ words: [], values, switches: new Set() }, io, env).client()
  })
  if (candidates === 'files') {
    await io.stdout.write('files\n')
    return 0
  }
  // What bash takes for a word of its own is the part after the last colon or equals sign.
  const end = raw.at(-1) ?? ''
  const cut = last.length - (isBreak(end) ? 0 : end.length)
  const lines = candidates
    .filter(([word]) => word.startsWith(last))
    .map(([word, meaning]) => visible(word).slice(cut) + (meaning ? `\t${meaning}` : ''))
  await io.stdout.write(['words', ...lines, ''].join('\n'))
  return 0
}

/** Words as they were typed: bash takes one apart at its colons and equals signs. */
function joined(raw: readonly string[]): string[] {
  const words: string[] = []
  for (const [at, word] of raw.entries()) {
    if (at > 0 && (isBreak(word) || isBreak(raw[at - 1] ?? '')))
      words.push((words.pop() ?? '') + word)
    else words.push(word)
  }
  return words
}

function isBreak(word: string): boolean {
  return /^[:=]+$/.test(word)
}

async function candidatesFor(
  words: readonly string[],
  last: string,
  table: CommandTable,
  clientFor: (flags: ReadonlyMap<string, string>) => Client,
): Promise<Candidates> {
  let flags = table.globalFlags
  let command: Command | undefined
  const path: string[] = []
  const args: string[] = []
  const values = new Map<string, string>()
  /** The flag whose value the next word is. */
  let open: string | undefined
  for (const word of words) {
    if (open !== undefined) {
      values.set(open, word)
      open = undefined
    } else if (word.startsWith('-')) {
      const [, typed = '', given] = /^--?([^=]*)(?:=(.*))?$/.exec(word) ?? []
      const name = flagNamed(typed, flags) ?? ''
      if (given !== undefined) values.set(name, given)
      else if (flags[name]?.value !== undefined) open = name
    } else if (command) args.push(word)
    else {
      path.push(word)
      const found = await table.named(path.join(' '))
      if (found && !('args' in found)) return []
      command = found
      if (found) flags = { ...found.flags, ...table.globalFlags }
    }
  }
  if (open !== undefined) return ofValue(flags[open]?.value ?? '')
  if (last.startsWith('-')) return ofFlags(flags, last)
  if (!command) return commandWords(path, table)
  const arg = command.args[args.length]?.replace(/[[\]]/g, '') ?? ''
  if (arg === 'COMMAND') return commandWords(args, table)
  if (arg === 'PATH') return 'files'
  if (arg !== 'NAME' && arg !== 'BACKEND') return ofValue(arg)
  const client = clientFor(values)
  const named =
    arg === 'BACKEND' || path[0] === 'backend' ? client.operate('backend-list', {}) : client.list()
  return (await named).map(({ Name }) => [Name])
}

/** What a placeholder of the table stands for: alternatives, a file, or what only the person knows. */
function ofValue(placeholder: string): Candidates {
  if (/^(?:FILE|DIR|LOG)\b/.test(placeholder)) return 'files'
  return /^[a-z0-9|-]+$/.test(placeholder) ? placeholder.split('|').map((word) => [word]) : []
}

function ofFlags(flags: Flags, last: string): Candidates {
  const [, name] = /^--([^=]+)=/.exec(last) ?? []
  if (name === undefined)
    return Object.entries(flags).map(([each, { help }]) => [`--${each}`, help])
  const values = ofValue(flags[name]?.value ?? '')
  return values === 'files' ? values : values.map(([value]) => [`--${name}=${value}`])
}

/** The words that may follow `path` in the name of a command. */
async function commandWords(path: readonly string[], table: CommandTable): Promise<Candidates> {
  const meanings = new Map<string, string>()
  for (const { name, summary } of [...table.raw, ...(await table.all())]) {
    const words = name.split(' ')
    const word = words[path.length]
    if (word === undefined || path.some((each, at) => each !== words[at])) continue
    const rest = words.slice(path.length + 1).join(' ')
    const meaning = meanings.get(word)
    meanings.set(word, rest === '' ? summary : meaning === undefined ? rest : `${meaning}, ${rest}`)
  }
  return [...meanings]
}
