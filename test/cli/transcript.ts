/**
 * Reads transcripts: text files of commands with what they must answer.
 *
 * A step begins with `$ sotto …`, split at spaces as a shell does without its expansions. Lines
 * `key: value` follow; a value that begins on the next line is indented by two spaces and every
 * line of it ends with a newline. A value in double quotes is a JSON string and stands for exactly
 * its characters; any other ends with a newline too. Output that is not UTF-8 is compared in hex.
 * `#` begins a comment.
 *
 * In expectations `<<pattern>>` stands for what a regular expression matches, and
 * `<<name=pattern>>` also keeps it for `${name}` in what follows.
 */

/** The keys of a step. */
const keys = [
  'stdin',
  'stdin-hex',
  'env',
  'clock',
  'dialog',
  'stdout',
  'stderr',
  'screen',
  'exit',
] as const
type Key = (typeof keys)[number]

/** One command with what it must answer. */
export interface Step {
  readonly line: number
  readonly command: string
  readonly fields: ReadonlyMap<Key, string>
}

/** Reads a file. Throws for any line that is not understood, unknown keys above all. */
export function readTranscript(text: string): Step[] {
  const steps: Step[] = []
  const lines = text.split('\n')
  let fields = new Map<Key, string>()
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] as string
    if (line === '' || line.startsWith('#')) continue
    if (line.startsWith('$ ')) {
      fields = new Map()
      steps.push({ line: at + 1, command: line.slice(2), fields })
      continue
    }
    const [, key = '', value = ''] = /^([a-z-]+):(?: (.*))?$/.exec(line) ?? []
    if (!isKey(key)) throw new Error(`Line ${at + 1} is not understood: ${line}`)
    if (steps.length === 0) throw new Error(`Line ${at + 1} belongs to no command: ${line}`)
    if (fields.has(key)) throw new Error(`Line ${at + 1} repeats ${key}`)
    if (value !== '') fields.set(key, readValue(value))
    else {
      const block: string[] = []
      while (/^ {2}|^$/.test(lines[at + 1] ?? '$')) block.push((lines[++at] as string).slice(2))
      while (block.at(-1) === '') block.pop()
      fields.set(key, block.map((each) => `${each}\n`).join(''))
    }
  }
  if (steps.length === 0) throw new Error('There is no step')
  return steps
}

/** Splits a command line as a shell does: quotes and backslashes, no expansions. */
export function splitWords(command: string): string[] {
  const words: string[] = []
  const part = /\s+|'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|([^\s'"\\]+)/gy
  let word: string | undefined
  for (const match of command.matchAll(part)) {
    const [whole, single, double, escaped, plain] = match
    if (/^\s/.test(whole)) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else
      word = (word ?? '') + (single ?? double?.replace(/\\(.)/g, '$1') ?? escaped ?? plain ?? '')
  }
  if (word !== undefined) words.push(word)
  return words
}

/** What is kept from one step to the next. */
export type Variables = Map<string, string>

/** Puts values in for `${name}`. Throws for a name that is not known. */
export function substitute(text: string, variables: Variables): string {
  return text.replace(/\$\{(\w+)\}/g, (_, name: string) => {
    const value = variables.get(name)
    if (value === undefined) throw new Error(`Nothing was kept as ${name}`)
    return value
  })
}

/**
 * Compares `actual` with an expectation. Resolves patterns against it and keeps what they name.
 * Undefined when it fits, else the expectation with the values put in, for a message.
 */
export function mismatch(
  expected: string,
  actual: string,
  variables: Variables,
): string | undefined {
  const names: string[] = []
  const parts = substitute(expected, variables).split(/<<(.*?)>>/s)
  const source = parts.map((part, at) => {
    if (at % 2 === 0) return RegExp.escape(part)
    const [, name, pattern] = /^(?:(\w+)=)?(.*)$/s.exec(part) ?? []
    if (name === undefined) return `(?:${pattern})`
    names.push(name)
    return `(?<${name}>${pattern})`
  })
  const match = new RegExp(`^${source.join('')}$`).exec(actual)
  if (!match) return substitute(expected, variables)
  for (const name of names) variables.set(name, match.groups?.[name] as string)
  return undefined
}

function isKey(key: string): key is Key {
  return (keys as readonly string[]).includes(key)
}

function readValue(value: string): string {
  return value.startsWith('"') ? (JSON.parse(value) as string) : `${value}\n`
}
