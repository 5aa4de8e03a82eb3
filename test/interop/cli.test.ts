/**
 * The released command line of setec and Sotto's own, each against both servers: every verb does the
 * same and prints the same.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describeWith, requirePeer } from '../support/peers.ts'
import { TestProcess } from '../support/process.ts'
import { cli, startSotto, temporaryDirectory } from '../support/sotto.ts'
import { talk } from '../support/terminal.ts'
import { confirmed } from './confirmed.ts'
import { startSetecd } from './setecd.ts'
import { writeTailnet } from './tailnet.ts'

interface Ended {
  readonly code: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

interface Server {
  readonly url: string
  stop(): Promise<unknown>
}

/** One command, and what it must come to. */
interface Line {
  /** TOKEN stands for the confirmation token that the command asks for without it. */
  readonly args: readonly string[]
  readonly input?: string | Uint8Array
  /** PROGRAM stands for the name of the program. Absent: nothing. */
  readonly stdout?: string | Uint8Array
  /** What stderr tells of a failure; absent for a command that succeeds. */
  readonly error?: RegExp
  /** What a command that succeeds says on stderr. */
  readonly notes?: string
}

const binary = Uint8Array.of(0, 1, 0xfe, 0xff, 10)

/** Every verb with every flag, in an order in which each has something to do. */
function transcript(file: string): Line[] {
  const read = (bytes: number) => `Read ${bytes} bytes from stdin\n`
  return [
    {
      args: ['list'],
      stdout: 'NAME ACTIVE VERSIONS\n',
      notes: '(?:There is no secret that you may know about: .*\n)?',
    },
    { args: ['put', 'team/a'], input: 'one', stdout: saved('team/a', 1), notes: read(3) },
    { args: ['put', 'team/a'], input: ' two\n', error: /text value has surrounding whitespace/ },
    {
      args: ['put', '--trim-space', 'team/a'],
      input: ' two\n',
      stdout: saved('team/a', 2),
      notes: read(3),
    },
    {
      args: ['put', '--verbatim', 'team/a'],
      input: ' two\n',
      stdout: saved('team/a', 3),
      notes: read(5),
    },
    {
      args: ['put', '-verbatim', 'team/a'],
      input: ' two\n',
      stdout: saved('team/a', 3),
      notes: read(5),
    },
    { args: ['put', 'team/a'], input: '', error: /empty secret value/ },
    {
      args: ['put', '--empty-ok', 'team/a'],
      input: '',
      stdout: saved('team/a', 4),
      notes: read(0),
    },
    { args: ['put', 'team/a'], input: binary, stdout: saved('team/a', 5), notes: read(5) },
    { args: ['put', '--from-file', file, 'team/a'], stdout: saved('team/a', 6) },
    { args: ['put', '--from-file', `${file}-none`, 'team/a'], error: /no such file/ },
    { args: ['put', 'é "quoted"'], input: 'x', stdout: saved('é "quoted"', 1), notes: read(1) },
    {
      args: ['put', 'a-name-that-is-longer-than-the-others'],
      input: 'y',
      stdout: saved('a-name-that-is-longer-than-the-others', 1),
      notes: read(1),
    },
    {
      args: ['info', 'team/a'],
      stdout: 'Name:           team/a\nActive version: 1\nVersions:       1, 2, 3, 4, 5, 6\n',
    },
    { args: ['get', 'team/a'], stdout: 'one' },
    { args: ['get', '--version', '3', 'team/a'], stdout: ' two\n' },
    { args: ['get', '--version=5', 'team/a'], stdout: binary },
    { args: ['get', '--version', '4', 'team/a'] },
    { args: ['get', '--version', '6', 'team/a'], stdout: 'from a file' },
    { args: ['get', '--version', '7', 'team/a'], error: /not found|there is no/i },
    {
      args: ['get', '--version', '1', '--if-changed', 'team/a'],
      error: /not changed|still the active one/,
    },
    { args: ['get', '--version', '2', '--if-changed', 'team/a'], stdout: 'one' },
    { args: ['activate', 'team/a', '2'] },
    { args: ['activate', 'team/a', '2'] },
    { args: ['get', '--version', '1', '--if-changed', 'team/a'], stdout: 'two' },
    { args: ['activate', 'team/a', '7'], error: /not found|there is no/i },
    { args: ['activate', 'team/a', 'x'], error: /version/ },
    {
      args: ['list'],
      stdout:
        'NAME                                  ACTIVE VERSIONS\na-name-that-is-longer-than-the-others 1      1\nteam/a                                2      1,2,3,4,5,6\né "quoted"                            1      1\n',
    },
    {
      args: ['delete-version', 'team/a', '1', 'wrong'],
      error: /incorrect confirmation for "delete-version:team\/a:1", use token/,
    },
    { args: ['delete-version', 'team/a', '1', 'TOKEN'] },
    { args: ['delete-version', 'team/a', '1', 'TOKEN'], error: /not found|there is no/i },
    { args: ['delete-version', 'team/a', '2', 'TOKEN'], error: /status 400|active|internal error/ },
    {
      args: ['info', 'team/a'],
      stdout: 'Name:           team/a\nActive version: 2\nVersions:       2, 3, 4, 5, 6\n',
    },
    {
      args: ['delete', 'team/a', 'wrong'],
      error: /incorrect confirmation for "delete-secret:team\/a", use token/,
    },
    { args: ['delete', 'team/a', 'TOKEN'] },
    { args: ['get', 'team/a'], error: /not found|there is no/i },
    { args: ['info', 'team/a'], error: /not found|there is no/i },
    { args: ['delete', 'never-was', 'TOKEN'] },
    { args: ['get'], error: /./ },
    { args: ['nonsense'], error: /./ },
  ]
}

function saved(name: string, version: number): string {
  const quoted = JSON.stringify(name)
  const first = `Secret saved as ${quoted}, version ${version}\n`
  return version === 1
    ? first
    : `${first}  To activate this version, run 'PROGRAM activate ${quoted} ${version}'\n`
}

describeWith(['setec', 'setecd', 'python3'], 'the command lines of setec and Sotto', () => {
  const directory = temporaryDirectory()
  const tailnet = writeTailnet(directory.path)
  const file = join(directory.path, 'value')
  writeFileSync(file, 'from a file')
  afterAll(() => directory[Symbol.dispose]())

  const clients: Record<string, readonly string[]> = {
    setec: [requirePeer('setec')],
    sotto: [process.execPath, cli],
  }
  const servers: Record<string, () => Promise<Server>> = {
    Sotto: () => startSotto({ args: ['--tailnet', tailnet] }),
    setec: () => startSetecd(directory.path, tailnet),
  }

  for (const [server, start] of Object.entries(servers)) {
    for (const [client, command] of Object.entries(clients)) {
      describe(`${client} with ${server}`, () => {
        let running: Server
        beforeAll(async () => {
          running = await start()
        })
        afterAll(() => running.stop())

        test.for(transcript(file).map((line) => [line.args.join(' '), line] as const))(
          '%s',
          async ([, line]) => {
            const ended = await confirmed([...command, ...line.args], (args) =>
              run(args, running.url, line.input),
            )
            check(client, line, ended)
          },
        )

        test('put asks for the value twice, without showing it', async () => {
          const dialog = [
            ['Enter secret: ', 'typed value\n'],
            ['Confirm secret: ', 'typed value\n'],
          ] as const
          const { screen, exit } = await talk({
            argv: [...command, 'put', 'typed'],
            env: { SETEC_SERVER: running.url },
            dialog,
          })
          expect(screen.replaceAll('\r\n', '\n')).toBe(
            'Enter secret: \nConfirm secret: \nSecret saved as "typed", version 1\n',
          )
          expect(exit).toBe(0)
          const { stdout } = await run([...command, 'get', 'typed'], running.url)
          expect(stdout.toString()).toBe('typed value')
        })

        test('put refuses two values that are not the same', async () => {
          const dialog = [
            ['Enter secret: ', 'typed value\n'],
            ['Confirm secret: ', 'other value\n'],
          ] as const
          const { screen, exit } = await talk({
            argv: [...command, 'put', 'untyped'],
            env: { SETEC_SERVER: running.url },
            dialog,
          })
          expect(screen).toContain('secrets do not match, aborting')
          expect(screen).not.toMatch(/typed value|other value/)
          expect(exit).not.toBe(0)
        })

        test('get ends its line on a terminal', async () => {
          const { screen, exit } = await talk({
            argv: [...command, 'get', 'typed'],
            env: { SETEC_SERVER: running.url },
            dialog: [],
          })
          expect([screen, exit]).toEqual(['typed value\r\n', 0])
        })
      })
    }
  }

  function check(client: string, line: Line, ended: Ended): void {
    const { stdout = '', notes = '', error } = line
    const wanted = typeof stdout === 'string' ? stdout.replace('PROGRAM', client) : stdout
    expect(ended.stdout.toString('latin1')).toBe(Buffer.from(wanted).toString('latin1'))
    expect(ended.stderr).toMatch(error ?? new RegExp(`^${notes}$`))
    expect(ended.code !== 0).toBe(error !== undefined)
  }

  async function run(
    args: readonly string[],
    url: string,
    input: string | Uint8Array = '',
  ): Promise<Ended> {
    const [program = '', ...rest] = args
    const client = new TestProcess(program, rest, { env: { SETEC_SERVER: url }, input })
    const code = await client.exited
    return { code, stdout: client.stdoutBytes, stderr: client.stderr }
  }
})
