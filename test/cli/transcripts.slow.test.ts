/** Plays the transcripts next to this file against one server. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { cli, type Running, startSotto, temporaryDirectory } from '../support/sotto.ts'
import { talk } from '../support/terminal.ts'
import { makeLogs } from './made-log.ts'
import { type Answered, environmentOf, inProcess, play, type Played } from './play.ts'
import { readTranscript, type Variables } from './transcript.ts'

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
            'backup',
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
    '127.0.0.6': {
      name: 'rotator',
      user: 'rotator@example.com',
      rules: [
        { action: ['rotation:view', 'rotation:edit', 'rotation:run'], secret: ['*'] },
        { action: ['get', 'info', 'put', 'activate'], secret: ['rotated/*'] },
      ],
    },
    '127.0.0.7': {
      name: 'app-2',
      tags: ['tag:app', 'tag:prod'],
      rules: [{ action: ['info'], secret: ['rolled/*'] }],
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
  mkdirSync(join(directory.path, 'lint/deploy'), { recursive: true })
  writeFileSync(join(directory.path, 'lint/deploy/.env'), 'PORT=${PORT:-80}\nAPI_TOKEN=abcd\n')
  writeFileSync(join(directory.path, 'lint/README.md'), 'Nothing to see.\n')
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

// They run at the same time: each takes as long as all of them together.
test.concurrent.for(files)('%s', { timeout: 180_000 }, async (file, { skip }) => {
  if (noTerminal && file.startsWith('terminal')) skip(noTerminal)
  const steps = readTranscript(readFileSync(join(here, file), 'utf8'))
  const variables: Variables = new Map([
    ['server', server.url],
    ['port', String(server.port)],
    ['dir', directory.path],
  ])
  const clock = { now: Date.UTC(2026, 0, 1) }
  for (const step of steps) {
    await play(step, file, variables, act(clock, `${file}:${step.line}`))
  }
})

/** Runs a step of a transcript against the server. */
function act(clock: { now: number }, where: string): (played: Played) => Promise<Answered> {
  return async (played) => {
    const { program, args, field, has } = played
    if (program !== 'sotto') throw new Error(`${where} runs ${program}, not sotto`)
    const env = environmentOf(played, { SOTTO_SERVER: server.url })
    clock.now += Number(field('clock')) * 1000
    if (has('dialog')) return onTerminal(args, env, field('dialog'))
    const input = has('stdin-hex')
      ? Buffer.from(field('stdin-hex').trim(), 'hex')
      : Buffer.from(field('stdin'))
    return inProcess(args, env, input, () => clock.now)
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
