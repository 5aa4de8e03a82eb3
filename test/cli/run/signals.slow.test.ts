/** Signals, terminals and endings of a program that `sotto run` runs: as if it ran alone. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startChild } from '../../../cli/handlers/run/child.ts'
import { exitOf } from '../../../cli/handlers/run/ending.ts'
import { Client } from '../../../client/client.ts'
import { OnTerminal } from '../../support/pty.ts'
import { run, TestProcess } from '../../support/process.ts'
import { cli, type Running, startSotto, temporaryDirectory } from '../../support/sotto.ts'

const reporter = join(import.meta.dirname, 'reporter.mjs')
const noPython = process.env['CI'] !== 'true' && spawnSync('python3', ['--version']).status !== 0
const noNamespace = spawnSync('unshare', ['--pid', '--fork', 'true']).status !== 0

const scratch = temporaryDirectory()
let server: Running
let env: Record<string, string>

beforeAll(async () => {
  server = await startSotto()
  env = { SOTTO_SERVER: server.url }
  const client = new Client({ server: server.url })
  await client.put('prod/key', Buffer.from('canary'))
  client.close()
})
afterAll(async () => {
  await server.stop()
  scratch[Symbol.dispose]()
})

/** The words of a run: with a file the program is supervised, with a variable it takes our place. */
const how = {
  replaced: ['run', '-e', 'KEY=prod/key', '--'],
  supervised: ['run', '--file', 'key=prod/key', '--'],
} as const
const ways = ['replaced', 'supervised'] as const

const sotto = (way: keyof typeof how, ...words: string[]): string[] => [
  process.execPath,
  cli,
  ...how[way],
  ...words,
]
const report = (way: keyof typeof how, ...left: string[]): string[] =>
  sotto(way, process.execPath, reporter, ...left)

/** A process without a terminal, whatever the tests run on. */
function withoutTerminal(words: readonly string[]): TestProcess {
  return new TestProcess('setsid', words, { env })
}

const heard = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGUSR1',
  'SIGUSR2',
  'SIGALRM',
  'SIGTERM',
  'SIGCONT',
  'SIGTSTP',
  'SIGWINCH',
  'SIGPWR',
  'SIGIO',
  'SIGURG',
] as const

const gotten = (text: string, signal: string): number => text.split(`got ${signal} .`).length - 1

/** Resolves once the program heard `fence`, after which nothing that was sent before is still to come. */
async function settled(shown: TestProcess, to: number, fence: NodeJS.Signals): Promise<void> {
  const got = shown.line(new RegExp(`got ${fence} `))
  process.kill(to, fence)
  await got
}

describe.each(ways)('without a terminal, %s', (way) => {
  test('each signal is heard once', async () => {
    await using program = withoutTerminal(report(way))
    const [, pid] = await program.line(/^ready (\d+) /)
    expect(Number(pid) === program.pid).toBe(way === 'replaced')
    for (const signal of heard) {
      program.signal(signal)
      await program.line(new RegExp(`^got ${signal} `))
    }
    for (const signal of heard)
      expect([signal, gotten(program.stdout, signal)]).toEqual([signal, 1])
    process.kill(Number(pid), 'SIGKILL')
    await program.exited
    expect([program.child.signalCode, program.stderr]).toEqual(['SIGKILL', ''])
  })

  test.each(['SIGINT', 'SIGTERM', 'SIGPIPE', 'SIGABRT'] as const)(
    'a program that dies of %s',
    async (signal) => {
      const words = sotto(way, 'sh', '-c', `kill -${signal.slice(3)} $$`)
      const program = withoutTerminal(words)
      await program.exited
      expect([program.child.signalCode, program.child.exitCode]).toEqual([signal, null])
    },
  )

  test.each([0, 255])('a program that ends with exit code %i', async (code) => {
    expect(await withoutTerminal(sotto(way, 'sh', '-c', `exit ${code}`)).exited).toBe(code)
  })

  test('no signal is ignored or blocked, and the limit of open files is that of who started it', async () => {
    const script = 'grep -E "^Sig(Blk|Ign)" /proc/self/status; ulimit -Sn'
    const limited = ['sh', '-c', 'ulimit -Sn 300; "$@"', 'sh', ...sotto(way, 'sh', '-c', script)]
    const { stdout } = await run(limited[0] as string, limited.slice(1), { env })
    expect(stdout.split('\n')).toEqual([
      'SigBlk:\t0000000000000000',
      'SigIgn:\t0000000000000000',
      '300',
      '',
    ])
  })

  test('files that were open are open, and those of a pipe that nobody reads end it in silence', async () => {
    const words = sotto(way, 'sh', '-c', 'cat <&3; exec yes')
    const piped = [
      '-c',
      'echo three >"$0"; "$@" 3<"$0" | head -2',
      join(scratch.path, 'three'),
      ...words,
    ]
    const { stdout, stderr } = await run('bash', piped, { env })
    expect({ stdout, stderr }).toEqual({ stdout: 'three\ny\n', stderr: '' })
  })

  test('stdin arrives, and may be closed', async () => {
    const words = sotto(way, 'cat')
    expect(await run(words[0] as string, words.slice(1), { env, input: 'typed' })).toMatchObject({
      code: 0,
      stdout: 'typed',
    })
    const closed = await run('sh', ['-c', '"$@" <&-', 'sh', ...words], { env })
    expect(closed).toEqual({ code: 0, stdout: '', stderr: '' })
  })
})

test('a socket that systemd hands over is for the number that the program has', async () => {
  const script = 'test "$LISTEN_PID" = $$ && cat <&3'
  const words = sotto('replaced', 'sh', '-c', script)
  const file = join(scratch.path, 'socket')
  const listening = [
    '-c',
    'echo handed >"$0"; export LISTEN_PID=$$; exec "$@" 3<"$0"',
    file,
    ...words,
  ]
  expect(await run('sh', listening, { env })).toEqual({ code: 0, stdout: 'handed\n', stderr: '' })
})

describe.skipIf(noPython)('on a terminal', () => {
  test.each(ways)('what is sent and what is typed is heard once, %s', async (way) => {
    await using terminal = new OnTerminal(report(way), env)
    const { shown } = terminal
    const [, child] = await shown.line(/ready (\d+) /)
    const pid = way === 'replaced' ? Number(child) : parentOf(Number(child))
    for (const [keys, signal] of [
      ['\x03', 'SIGINT'],
      ['\x1c', 'SIGQUIT'],
    ] as const) {
      terminal.type(keys)
      await shown.line(new RegExp(`got ${signal} `))
    }
    const sent = heard.filter((each) => !['SIGINT', 'SIGQUIT', 'SIGTSTP'].includes(each))
    for (const signal of sent) {
      process.kill(pid, signal)
      await shown.line(new RegExp(`got ${signal} `))
    }
    for (const signal of ['SIGINT', 'SIGQUIT', ...sent]) {
      expect([signal, gotten(shown.stdout, signal)]).toEqual([signal, 1])
    }
    process.kill(Number(child), 'SIGKILL')
    expect(await terminal.ended()).toBe(-9)
  })

  test.each(ways)('Ctrl-C twice is heard twice, and ends what dies of it, %s', async (way) => {
    const script = 'trap "trap - INT; echo one" INT; echo rea""dy; while :; do read -r line; done'
    await using terminal = new OnTerminal(sotto(way, 'bash', '-c', script), env)
    await terminal.shown.line(/ready/)
    terminal.type('\x03')
    await terminal.shown.line(/one/)
    terminal.type('\x03')
    expect(await terminal.ended()).toBe(-2)
  })

  test.each(ways)('in a script, the program has the terminal, %s', async (way) => {
    const program = sotto(way, 'sh', '-c', 'test -t 0 && stty size </dev/tty >/dev/null && exit 42')
    await using terminal = new OnTerminal(
      ['sh', '-c', '"$@"; echo sta""tus $?', 'sh', ...program],
      env,
    )
    await terminal.shown.line(/status 42/)
  })

  test.each(ways)('Ctrl-Z stops it, and fg goes on, %s', async (way) => {
    await using terminal = new OnTerminal(['bash', '--norc', '-i'], { ...env, PS1: '', PS2: '' })
    const { shown } = terminal
    terminal.type(`${quoted(report(way, 'SIGTSTP'))}\r`)
    const [, child] = await shown.line(/ready (\d+) /)
    terminal.type('\x1a')
    await shown.line(/Stopped/)
    expect(stateOf(Number(child))).toBe('T')
    terminal.type('fg\r')
    await shown.line(/got SIGCONT/)
    terminal.type('\x03')
    await shown.line(/got SIGINT/)
    await settled(shown, Number(child), 'SIGUSR1')
    expect(gotten(shown.stdout, 'SIGINT')).toBe(1)
    process.kill(Number(child), 'SIGKILL')
    terminal.type('echo sta""tus $?\r')
    await shown.line(/status 137/)
    terminal.type('exit 0\r')
    expect(await terminal.ended()).toBe(0)
  })

  test('a program that hears Ctrl-Z, and does not stop, is not stopped', async () => {
    await using terminal = new OnTerminal(report('supervised'), env)
    const { shown } = terminal
    const [, child] = await shown.line(/ready (\d+) /)
    terminal.type('\x1a')
    await shown.line(/got SIGTSTP/)
    await settled(shown, parentOf(Number(child)), 'SIGUSR1')
    expect(gotten(shown.stdout, 'SIGTSTP')).toBe(1)
    process.kill(Number(child), 'SIGKILL')
    expect(await terminal.ended()).toBe(-9)
  })
})

describe.skipIf(noNamespace)('as the first process of a container', () => {
  const contained = (words: readonly string[]): TestProcess =>
    new TestProcess('unshare', ['--pid', '--fork', '--mount-proc', '--kill-child', ...words], {
      env,
    })

  test('signals are passed on, and it ends with 128 and the number', async () => {
    const script = 'trap "kill -KILL $$" USR1; sleep 600 & kill -USR1 1; wait'
    expect(await contained(sotto('supervised', 'sh', '-c', script)).exited).toBe(137)
  })

  test('the program is the first process where it takes our place', async () => {
    expect(await contained(sotto('replaced', 'sh', '-c', 'exit $((40 + $$))')).exited).toBe(41)
  })
})

test('every exit code and every fatal signal comes through', async () => {
  const options = { env: { PATH: process.env['PATH'] ?? '' }, files: [], apart: true }
  const endOf = async (script: string) => {
    const launch = { file: '/bin/sh', argv: ['sh', '-c', script] as [string, ...string[]] }
    return (await startChild(launch, 'sh', options)).ended
  }
  for (let code = 0; code < 256; code++) {
    expect(exitOf(await endOf(`exit ${code}`))).toBe(code)
  }
  const survived = new Set([
    'SIGCHLD',
    'SIGCONT',
    'SIGURG',
    'SIGWINCH',
    'SIGSTOP',
    'SIGTSTP',
    'SIGTTIN',
    'SIGTTOU',
  ])
  const fatal = Object.entries(constants.signals).filter(([name]) => !survived.has(name))
  expect(fatal.length).toBeGreaterThan(20)
  for (const [, number] of fatal) {
    const ending = await endOf(`ulimit -c 0; kill -${number} $$`)
    expect([ending.code, exitOf(ending)]).toEqual([null, 128 + number])
  }
})

function parentOf(pid: number): number {
  return Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
}

function stateOf(pid: number): string | undefined {
  return /^State:\t(\w)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
}

function quoted(words: readonly string[]): string {
  return words.map((word) => `'${word}'`).join(' ')
}
