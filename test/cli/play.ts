/** Plays transcripts: runs each step, and compares what it answers with what the file says. */
import { isUtf8 } from 'node:buffer'
import { expect } from 'vitest'
import type { Io, Output } from '../../cli/terminal/io.ts'
import { run } from '../../cli/run.ts'
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

/** The variables that the field `env` sets, one a line. */
export function environmentOf({ field }: Pick<Played, 'field'>): Record<string, string> {
  const lines = field('env').split('\n').filter(Boolean)
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  )
}

/** Runs the command line inside this process: the same code over the same sockets, without a start-up each. */
export async function inProcess(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  input: Uint8Array = new Uint8Array(0),
  now: () => number = Date.now,
): Promise<Answered> {
  const stdout = collector()
  const stderr = collector()
  const io: Io = {
    stdin: {
      isTTY: false,
      chunks: async function* chunks() {
        yield input
      },
    },
    stdout,
    stderr,
    now,
    onInterrupt: () => ({ [Symbol.dispose]: () => {} }),
  }
  const exit = String(await run(args, io, env))
  return { stdout: stdout.text(), stderr: stderr.text(), exit }
}

function collector(): Output & { text(): string } {
  const parts: Buffer[] = []
  return {
    isTTY: false,
    write: async (data) => void parts.push(Buffer.from(data as string)),
    text: () => {
      const all = Buffer.concat(parts)
      return all.toString(isUtf8(all) ? 'utf8' : 'hex')
    },
  }
}
