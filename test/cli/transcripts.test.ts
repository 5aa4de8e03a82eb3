/** Plays the transcripts beside this file against one server. */
import { isUtf8 } from 'node:buffer'
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Io, Output } from '../../cli/io.ts'
import { run } from '../../cli/run.ts'
import { cli, type Running, startSotto, temporaryDirectory } from '../support/sotto.ts'
import { talk } from '../support/terminal.ts'
import { makeLogs } from './made-log.ts'
import {
  mismatch,
  readTranscript,
  splitWords,
  type Step,
  substitute,
  type Variables,
} from './transcript.ts'

const here = import.meta.dirname
const files = readdirSync(here).filter((name) => name.endsWith('.txt'))

/** Callers by the address that they call from. */
const tailnet = {
  nodes: {
    '127.0.0.1': {
      name: 'desk',
      user: 'developer@example.com',
      rules: [
        {
          action: ['get', 'info', 'put', 'create-version', 'activate', 'delete'],
          secret: ['*'],
        },
      ],
    },
    '127.0.0.2': {
      name: 'app-1',
      tags: ['tag:app', 'tag:prod'],
      rules: [
        { action: ['get', 'info'], secret: ['list/*'] },
        { action: ['info'], secret: ['app/*', 'team/*'] },
      ],
    },
    '127.0.0.3': {
      name: 'office',
      user: 'operator@example.com',
      rules: [
        {
          action: [
            'backends:view',
            'backends:create',
            'backends:edit',
            'backends:delete',
            'migrate',
            'keys',
          ],
          secret: ['*'],
        },
        { action: ['get', 'info', 'put'], secret: ['backends/*', 'moved/*'] },
      ],
    },
    '127.0.0.5': {
      name: 'auditor',
      tags: ['tag:audit'],
      rules: [{ action: ['audit'], secret: ['*'] }],
    },
    '127.0.0.4': { name: 'stranger', user: 'nobody@example.com', rules: [] },
  },
}

/** Of the recipient that key.txt names. */
const identity = 'AGE-SECRET-KEY-1Y9T6L290HXPWFFCAD4PF0LTKG3CESDZXWPZ6FSHYPT8D4K7DZ0US3ZHQVM\n'

const directory = temporaryDirectory()
let server: Running

beforeAll(async () => {
  const file = join(directory.path, 'tailnet.json')
  writeFileSync(file, JSON.stringify(tailnet))
  writeFileSync(join(directory.path, 'identity'), identity, { mode: 0o600 })
  await makeLogs(directory.path)
  const backups = join(directory.path, 'backups')
  mkdirSync(backups)
  const broken = 'sotto-20260102T030405.006Z-00112233445566778899aabbccddeeff-r7.backup'
  writeFileSync(join(backups, broken), 'none')
  server = await startSotto({
    // Nothing listens there.
    args: ['--tailnet', file, '--backend-origin', 'http://127.0.0.1:9'],
  })
})

afterAll(async () => {
  await server.stop()
  directory[Symbol.dispose]()
})

test('a transcript with an unknown key is refused', () => {
  expect(() => readTranscript('$ sotto list\nstdoutt: x\n')).toThrow(/Line 2 is not understood/)
})

const noTerminal =
  process.env['CI'] !== 'true' && spawnSync('python3', ['--version']).status !== 0
    ? 'there is no python3 to run test/support/terminal.py'
    : undefined
if (noTerminal) console.warn(`Transcripts of the terminal are skipped: ${noTerminal}`)

test.concurrent.for(files)('%s', { timeout: 60_000 }, async (file, { skip }) => {
  if (noTerminal && file.startsWith('terminal')) skip(noTerminal)
  const steps = readTranscript(readFileSync(join(here, file), 'utf8'))
  const variables: Variables = new Map([
    ['server', server.url],
    ['port', String(server.port)],
    ['dir', directory.path],
  ])
  const clock = { now: Date.UTC(2026, 0, 1) }
  for (const step of steps) await play(step, file, variables, clock)
})

async function play(
  step: Step,
  file: string,
  variables: Variables,
  clock: { now: number },
): Promise<void> {
  const field = (key: Parameters<typeof step.fields.get>[0]) =>
    substitute(step.fields.get(key) ?? '', variables)
  const [program, ...args] = splitWords(substitute(step.command, variables))
  if (program !== 'sotto') throw new Error(`${file}:${step.line} runs ${program}, not sotto`)
  const env: Record<string, string> = { SOTTO_SERVER: server.url }
  for (const line of field('env').split('\n').filter(Boolean)) {
    const at = line.indexOf('=')
    env[line.slice(0, at)] = line.slice(at + 1)
  }
  clock.now += Number(field('clock')) * 1000
  const input = step.fields.has('stdin-hex')
    ? Buffer.from(field('stdin-hex').trim(), 'hex')
    : Buffer.from(field('stdin'))
  const answered = step.fields.has('dialog')
    ? await onTerminal(args, env, field('dialog'))
    : await inProcess(args, env, input, clock)
  const expected = {
    screen: step.fields.get('screen') ?? '',
    stdout: step.fields.get('stdout') ?? '',
    stderr: step.fields.get('stderr') ?? '',
    exit: (step.fields.get('exit') ?? '0').trim(),
  }
  const wanted: Record<string, string> = {}
  for (const [key, actual] of Object.entries(answered)) {
    const text = expected[key as keyof typeof expected]
    wanted[key] = mismatch(text, actual, variables) ?? actual
  }
  expect(answered, `${file}:${step.line}: ${step.command}`).toEqual(wanted)
}

interface Answered {
  readonly screen: string
  readonly stdout: string
  readonly stderr: string
  readonly exit: string
}

/** Most steps run inside this process: the same code over the same sockets, without a start-up each. */
async function inProcess(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  input: Uint8Array,
  clock: { readonly now: number },
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
    now: () => clock.now,
    onInterrupt: () => ({ [Symbol.dispose]: () => {} }),
  }
  const exit = String(await run(args, io, env))
  return { screen: '', stdout: stdout.text(), stderr: stderr.text(), exit }
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

async function onTerminal(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  dialog: string,
): Promise<Answered> {
  const { screen, exit, echo, missed } = await talk({
    argv: [process.execPath, cli, ...args],
    env,
    dialog: dialog
      .split('\n')
      .filter(Boolean)
      .map((line) => {
        const [seen = '', typed = ''] = line.split('<- ')
        return [seen, typed === 'SIGTERM' ? null : (JSON.parse(`"${typed}"`) as string)]
      }),
  })
  expect({ missed, echo }, `the terminal showed ${JSON.stringify(screen)}`).toEqual({
    missed: null,
    echo: true,
  })
  return { screen: screen.replaceAll('\r\n', '\n'), stdout: '', stderr: '', exit: String(exit) }
}
