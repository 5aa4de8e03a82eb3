/** Plays transcripts: runs each step, and compares what it answers with what the file says. */
import { expect } from 'vitest'
export { inProcess } from './in-process.ts'
import { mismatch, type Step, splitWords, substitute, type Variables } from './transcript.ts'

/** What a step answered. */
export interface Answered {
  /** Absent: it did not run on a terminal. */
  readonly screen?: string
  readonly stdout: string
  readonly stderr: string
  readonly exit: string
}

/** A step as it is run. */
export interface Played {
  readonly program: string
  readonly args: readonly string[]
  /** A field of the step with the values put in, empty where it has none. */
  readonly field: (key: Field) => string
  /** Whether the step has the field. */
  readonly has: (key: Field) => boolean
}

type Field = Parameters<Step['fields']['get']>[0]

/** Plays one step of `file`; `act` runs it. Keeps in `variables` what the step says. */
export async function play(
  step: Step,
  file: string,
  variables: Variables,
  act: (played: Played) => Promise<Answered>,
): Promise<void> {
  const [program = '', ...args] = splitWords(substitute(step.command, variables))
  const answered = await act({
    program,
    args,
    field: (key) => substitute(step.fields.get(key) ?? '', variables),
    has: (key) => step.fields.has(key),
  })
  const expected: Readonly<Record<keyof Answered, string>> = {
    screen: step.fields.get('screen') ?? '',
    stdout: step.fields.get('stdout') ?? '',
    stderr: step.fields.get('stderr') ?? '',
    exit: (step.fields.get('exit') ?? '0').trim(),
  }
  const wanted: Record<string, string> = {}
  for (const [key, actual] of Object.entries(answered)) {
    const text = expected[key as keyof Answered]
    wanted[key] = mismatch(text, actual, variables) ?? actual
  }
  expect(answered, `${file}:${step.line}: ${step.command}`).toEqual(wanted)
}

/** `env`, changed by the lines of the field `env`: `NAME=VALUE` sets a variable, `NAME` alone removes one. */
export function environmentOf(
  { field }: Pick<Played, 'field'>,
  env: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const lines = field('env').split('\n').filter(Boolean)
  const removed = lines.filter((line) => !line.includes('='))
  const set = lines.flatMap((line) => {
    const [, name = '', value = ''] = /^([^=]+)=(.*)$/.exec(line) ?? []
    return name === '' ? [] : [[name, value] as const]
  })
  const kept = Object.entries(env).filter(([name]) => !removed.includes(name))
  return Object.fromEntries([...kept, ...set])
}
