/** `sotto complete -- WORDS…`, which the scripts of `sotto completion` call at each Tab. */
import type { Client } from '../client/client.ts'
import { type Flag, flagNamed, type Flags } from './arguments.ts'
import { type Command, type CommandTable, placeholderAt, type RawCommand } from './command.ts'
import type { Environment } from '../client/api/given.ts'
import { visible } from '../client/api/visible.ts'
import { Invocation } from './invocation.ts'
import type { Io } from './terminal/io.ts'

/** Seconds that a server has to answer with names. */
const SERVER_WAIT = '2'

/** What may stand in a place: one candidate a line, after a tab what it means; or a file. */
type Candidates = Words | 'files'
type Words = readonly (readonly [word: string, meaning?: string])[]

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
  const words = joined(raw).map(plain)
  const last = words.pop() ?? ''
  const candidates = await candidatesFor(words, last, table, (flags) => {
    const values = new Map([...flags, ['timeout', SERVER_WAIT]])
    return new Invocation(
      { words: [], values, lists: new Map(), switches: new Map() },
      io,
      env,
    ).client()
  })
  if (candidates === 'files') {
    await io.stdout.write('files\n')
    return 0
  }
  // What bash takes for a word of its own is the part after the last colon or equals sign.
  const end = plain(raw.at(-1) ?? '')
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

/** A word without its quotes, which a shell hands over as they were typed. */
function plain(word: string): string {
  return word.replaceAll(/\\(.)|["']/g, '$1')
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
  let isRaw = false
  const path: string[] = []
  const args: string[] = []
  const values = new Map<string, string>()
  /** The flag whose value the next word is. */
  let open: string | undefined
  for (const word of words) {
    if (open !== undefined) {
      values.set(open, word)
      open = undefined
    } else if (command?.failureExit !== undefined && args.length > 0) {
      // What follows is another program's.
      break
    } else if (word.startsWith('-')) {
      const [, typed = '', given] = /^--?([^=]*)(?:=(.*))?$/.exec(word) ?? []
      const name = flagNamed(typed, flags) ?? ''
      if (given !== undefined) values.set(name, given)
      else if (flags[name]?.value !== undefined) open = name
    } else if (command) args.push(word)
    else if (!isRaw) {
      path.push(word)
      const found = await table.named(path.join(' '))
      if (found === undefined) continue
      isRaw = !('args' in found)
      if ('args' in found) command = found
      flags = 'args' in found ? { ...found.flags, ...table.globalFlags } : await flagsOf(found)
    }
  }
  if (open !== undefined) {
    const ofVersion = flags[open]?.value === 'VERSION' && args[0] !== undefined
    return ofVersion ? versionsOf(clientFor(values), args[0] ?? '') : ofFlagValue(flags[open])
  }
  if (command?.failureExit !== undefined && (words.includes('--') || args.length > 0))
    return 'files'
  if (last.startsWith('-')) return ofFlags(flags, last)
  if (isRaw) return []
  if (!command) return commandWords(path, table)
  const arg = placeholderAt(command.args, args.length) ?? ''
  if (arg === 'COMMAND') return helpWords(args, table)
  if (arg === 'PATH') return 'files'
  const isOfSecret = arg === 'VERSION' && path[0] !== 'create-version'
  if (!['NAME', 'BACKEND', 'PREFIX'].includes(arg) && !isOfSecret) return ofValue(arg)
  const client = clientFor(values)
  if (arg === 'PREFIX') return prefixesOf(client, last)
  if (isOfSecret) {
    if (path[0] === 'diff' && args[0]?.endsWith('/')) return prefixesOf(client, last)
    return versionsOf(client, args[0] ?? '')
  }
  const named =
    arg === 'BACKEND' || path[0] === 'backend'
      ? client.operate('backend-list', {})
      : path[0] === 'rotation'
        ? client.operate('rotation-list', {})
        : client.list()
  return (await named).map(({ Name }) => [Name])
}

/** What the names that begin with `typed` begin with, up to the next slash. */
async function prefixesOf(client: Client, typed: string): Promise<Words> {
  const found = (await client.list()).flatMap(({ Name }) => {
    const slash = Name.indexOf('/', typed.length)
    return Name.startsWith(typed) && slash >= 0 ? [Name.slice(0, slash + 1)] : []
  })
  return [...new Set(found)].map((prefix) => [prefix])
}

/** The versions of a secret that is there, and that the caller may know about. */
async function versionsOf(client: Client, name: string): Promise<Candidates> {
  const found = (await client.list()).find((each) => each.Name === name)
  return (found?.Versions ?? []).map((each) => [
    String(each),
    each === found?.ActiveVersion ? 'active' : '',
  ])
}

/** The flags of a command that reads settings. */
async function flagsOf({ name, like }: RawCommand): Promise<Flags> {
  const { settings } = await import('../server/config/settings/table.ts')
  const reader: string = like ?? name
  const mine = settings.filter(({ verbs }) => verbs.some((verb) => verb === reader))
  return Object.fromEntries(
    mine.map(({ flag, value, help }) => [
      flag,
      { help: help.replaceAll(/\s+/g, ' '), ...(value !== undefined && { value }) },
    ]),
  )
}

async function ofFlagValue(flag: Flag | undefined): Promise<Candidates> {
  const choices = await flag?.choices?.()
  return choices?.map((word) => [word]) ?? ofValue(flag?.value ?? '')
}

/** What a placeholder of the table stands for: alternatives, a file, or what only the person knows. */
function ofValue(placeholder: string): Candidates {
  if (/^(?:FILE|DIR|LOG)\b/.test(placeholder)) return 'files'
  return /^[a-z0-9|-]+$/.test(placeholder) ? placeholder.split('|').map((word) => [word]) : []
}

async function ofFlags(flags: Flags, last: string): Promise<Candidates> {
  const [, name] = /^--([^=]+)=/.exec(last) ?? []
  if (name === undefined)
    return Object.entries(flags).map(([each, { help }]) => [`--${each}`, help])
  const values = await ofFlagValue(flags[name])
  return values === 'files' ? values : values.map(([value]) => [`--${name}=${value}`])
}

/** The words that may follow `path` in the name of a command. */
async function commandWords(path: readonly string[], table: CommandTable): Promise<Words> {
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

/** The words that may follow those after `help`. */
async function helpWords(words: readonly string[], table: CommandTable): Promise<Candidates> {
  if (words[0] === 'error') return (await import('./help-error.ts')).errorMeanings
  const commands = await commandWords(words, table)
  return words.length > 0 ? commands : [...commands, ['error', 'What an error means.']]
}
