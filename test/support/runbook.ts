/** What the documents have operators do at night, and the policies that let them. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Rule } from '../../client/api/types.ts'
import { splitWords } from '../cli/transcript.ts'
import { documents, top } from './documents.ts'
import { fromHujson } from './hujson.ts'

/** A policy of a tailnet, by the parts that name people and grant them something. */
export interface Policy {
  readonly groups?: Readonly<Record<string, readonly string[]>>
  readonly grants?: readonly {
    readonly src: readonly string[]
    readonly dst: readonly string[]
    readonly ip?: readonly string[]
    readonly app?: Readonly<Record<string, Rule[]>>
  }[]
}

/** A caller that a policy of the documents lets operate a server. */
export interface Operator {
  /** Where the policy stands: a file of docs/deploy/, or a block of a page. */
  readonly sample: string
  /** The text of the policy. */
  readonly text: string
  /** The caller, as the policy names it. */
  readonly who: string
  readonly rules: readonly Rule[]
}

/** Every command that the runbook has operators give to a server, for the secret `name`. */
export function runbookCommands(name: string): string[][] {
  const text = readFileSync(join(top, 'docs/guides/runbook.md'), 'utf8')
  const shown = [...text.matchAll(/(?:^|[`|$]|\bsudo) ?sotto ([a-z][^`\n>]*)/gm)]
  const commands = shown
    .map(([, command = '']) => splitWords(command.trim()))
    .filter((words) => !isLocal(words))
    .map((words) => words.map((word) => (word === 'NAME' || word === 'prod/web/key' ? name : word)))
    .map((words) => words.map((word) => (word === 'VERSION' ? versionFor(words) : word)))
  return [...new Set(commands.map((words) => words.join(' ')))].map(splitWords)
}

/** What needs no server, and so no rights of the policy. */
function isLocal(words: readonly string[]): boolean {
  const [verb = '', noun = ''] = words
  return (
    ['server', 'init', 'doctor', 'restore'].includes(verb) ||
    (verb === 'backup' && noun === 'verify') ||
    (verb === 'audit' && noun === 'verify') ||
    words.some((word) => ['PATH', 'FILE', '--state-dir'].includes(word) || word.includes('$'))
  )
}

/** The second one is put by the runbook, and the first one deleted. */
function versionFor([verb]: readonly string[]): string {
  return verb === 'activate' ? '2' : '1'
}

/** Every policy that the documents show. */
const samples: readonly (readonly [string, string])[] = [
  ...readdirSync(join(top, 'docs/deploy'))
    .filter((name) => name.endsWith('.hujson'))
    .map((name) => [name, readFileSync(join(top, 'docs/deploy', name), 'utf8')] as const),
  ...documents.flatMap(({ name, text }) =>
    [...text.matchAll(/```json\n([^]*?)```/g)]
      .filter(([, block = '']) => block.includes('"grants"'))
      .map(([, block = ''], at) => [`${name}, ${at + 1}.`, block] as const),
  ),
]

/** The operators in every policy that the documents show. */
export const operators: readonly Operator[] = samples.flatMap(([sample, text]) =>
  [...callersIn(text)]
    .filter(([, rules]) => isOperators(rules))
    .map(([who, rules]) => ({ sample, text, who, rules })),
)

/** The rules of each kind of caller in a sample. */
function callersIn(text: string): Map<string, Rule[]> {
  const { grants = [] } = fromHujson(text) as Policy
  const callers = new Map<string, Rule[]>()
  for (const { src, app = {} } of grants) {
    for (const who of src) {
      callers.set(who, [...(callers.get(who) ?? []), ...Object.values(app).flat()])
    }
  }
  return callers
}

function isOperators(rules: readonly Rule[]): boolean {
  return rules.some(({ action }) => action.includes('keys') || action.includes('backup'))
}
