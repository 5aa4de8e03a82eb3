/**
 * The command line of setec and Sotto's own side by side, on servers of both: every output, message and exit code is
 * the same, or a difference that docs/guides/from-setec.md shows.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describeWith, requirePeer } from '../support/peers.ts'
import { TestProcess } from '../support/process.ts'
import { cli, startSotto, temporaryDirectory } from '../support/sotto.ts'
import { talk } from '../support/terminal.ts'
import {
  asMarkdown,
  commandDifferences,
  type Outcome,
  serverDifferences,
  type Step,
} from './cli-differences.ts'
import { confirmed } from './confirmed.ts'
import { startSetecd } from './setecd.ts'
import { differences, storedDifferences } from './wire/differences.ts'

/** Everything on these names alone, the empty one too. */
const rules = [
  {
    action: ['get', 'info', 'put', 'create-version', 'activate', 'delete'],
    secret: ['t/*', '', 'é*'],
  },
]

const binary = Uint8Array.of(0, 1, 0xfe, 0xff, 10)
const down = 'http://127.0.0.1:1'
const put = (input: string | Uint8Array, ...args: string[]): Step => ({
  args: ['put', ...args],
  input,
})
const say = (...args: string[]): Step => ({ args })

/** TOKEN stands for the confirmation token that the command asks for without it. */
function steps(file: string): readonly Step[] {
  return [
    say('list'),
    put('one', 't/a'),
    put(' two\n', 't/a'),
    put(' two\n', '--trim-space', 't/a'),
    put(' two\n', '--verbatim', 't/a'),
    put(' two\n', '-verbatim', '-trim-space', 't/a'),
    put('\u00a0x\u2003', '--trim-space', 't/spaces'),
    put('\ufeffx', 't/mark'),
    put('', 't/a'),
    put('', '--empty-ok', 't/a'),
    put(' \n', '--trim-space', 't/a'),
    put(binary, 't/a'),
    say('put', '--from-file', file, 't/a'),
    say('put', '--from-file', `${file}-none`, 't/a'),
    put('x', 'é "quoted"'),
    put('x', 't/ edge '),
    say('list'),
    say('info', 't/a'),
    say('info', 't/none'),
    say('info', 'é "quoted"'),
    say('get', 't/a'),
    say('get', '--version', '3', 't/a'),
    say('get', '--version=5', 't/a'),
    say('get', '-version=5', 't/a'),
    say('get', '--version', '4', 't/a'),
    say('get', '--version', '99', 't/a'),
    say('get', '--version', 'x', 't/a'),
    say('get', '--version', '-1', 't/a'),
    say('get', '--if-changed', 't/a'),
    say('get', '--version', '1', '--if-changed', 't/a'),
    say('get', '--version', '2', '--if-changed', 't/a'),
    say('get', '--if-changed=false', '--version', '1', 't/a'),
    say('get', 't/none'),
    say('get', 'other/x'),
    put('x', 'other/x'),
    say('activate', 't/a', '2'),
    say('activate', 't/a', '2'),
    say('activate', 't/a', '99'),
    say('activate', 't/a', 'x'),
    say('activate', 't/a', '4294967296'),
    say('activate', 'other/x', '1'),
    say('get', '--version', '1', '--if-changed', 't/a'),
    say('delete-version', 't/a', '1'),
    say('delete-version', 't/a', '1', 'wrong'),
    say('delete-version', 't/a', '1', 'TOKEN'),
    say('delete-version', 't/a', '1', 'TOKEN'),
    say('delete-version', 't/a', 'x', 'TOKEN'),
    say('info', 't/a'),
    say('delete', 't/spaces'),
    say('delete', 't/spaces', 'wrong'),
    say('delete', 't/spaces', 'TOKEN'),
    say('delete', 't/none', 'TOKEN'),
    say('get', 't/spaces'),
    say('list'),
    // Wrong command lines.
    say(),
    say('get'),
    say('get', 't/a', 't/b'),
    say('list', 't/a'),
    say('activate', 't/a'),
    say('nonsense'),
    say('get', '--nonsense', 't/a'),
    { args: ['list'], server: '' },
    { args: ['list'], server: down },
    { args: ['-s', down, 'get', 't/a'] },
    say('help'),
    say('version'),
    // Where the servers are not alike.
    say('activate', 't/a', '0'),
    say('delete-version', 't/a', '0', 'TOKEN'),
    say('delete-version', 't/a', '2', 'TOKEN'),
    put('x', ''),
    say('delete', '', 'TOKEN'),
    put('x', `t/${'n'.repeat(600)}`),
    put('x', 't/tab\there'),
    put('v'.repeat(3 * 1024 * 1024), 't/large'),
    put('one', 't/again'),
    put('two', 't/again'),
    say('delete', 't/again', 'TOKEN'),
    put('three', 't/again'),
  ]
}

interface Combination {
  readonly command: readonly string[]
  readonly server: () => string
}

describeWith(['setec', 'setecd', 'python3'], 'R10: the command lines side by side', () => {
  const directory = temporaryDirectory()
  const tailnet = join(directory.path, 'tailnet.json')
  const nodes = { '127.0.0.1': { name: 'laptop', user: 'someone@example.com', rules } }
  writeFileSync(tailnet, JSON.stringify({ nodes }))
  const file = join(directory.path, 'value')
  writeFileSync(file, 'from a file')
  const met = new Set<unknown>()

  let servers: { readonly url: string; stop(): Promise<unknown> }[] = []
  beforeAll(async () => {
    servers = await Promise.all([
      startSetecd(directory.path, tailnet),
      startSotto({ args: ['--tailnet', tailnet] }),
      startSotto({ args: ['--tailnet', tailnet] }),
    ])
  }, 120_000)
  afterAll(async () => {
    await Promise.all(servers.map((server) => server.stop()))
    directory[Symbol.dispose]()
  })

  const setec = [requirePeer('setec')]
  const sotto = [process.execPath, cli]
  const combinations: readonly Combination[] = [setec, setec, sotto].map((command, at) => ({
    command,
    server: () => servers[at]?.url ?? '',
  }))

  test.for(
    steps(file).map((step) => [step.args.join(' ').slice(0, 60) || '(nothing)', step] as const),
  )('%s', async ([, step]) => {
    const [reference, between, ours] = (await Promise.all(
      combinations.map((each) => outcome(each, step)),
    )) as [Outcome, Outcome, Outcome]
    const unexplained: string[] = []
    const meet = (found: object | undefined, which: string, unlike: readonly Outcome[]): void => {
      if (found) met.add(found)
      else unexplained.push(`${which}: ${JSON.stringify(unlike, null, 1).slice(0, 3000)}`)
    }
    if (!isDeepStrictEqual(reference, between)) {
      const found = serverDifferences.find(({ explains }) => explains(step, reference, between))
      meet(found, 'setec with setecd and with Sotto', [reference, between])
    }
    for (const part of ['code', 'stdout', 'stderr'] as const) {
      if (between[part] === ours[part]) continue
      const found = commandDifferences.find(
        (each) => each.part === part && each.explains(step, between, ours),
      )
      meet(found, `${part} of setec and of sotto`, [between, ours])
    }
    expect(unexplained).toEqual([])
  })

  test('every difference was met', () => {
    const all = [...serverDifferences, ...commandDifferences]
    expect(all.filter((each) => !met.has(each)).map(({ what }) => what)).toEqual([])
  })

  test('a value typed at the prompt with space around it', async () => {
    const typed = async (at: number, ...flags: string[]) => {
      const { command, server } = combinations[at] as Combination
      const dialog = [
        ['Enter secret: ', ' typed \n'],
        ['Confirm secret: ', ' typed \n'],
      ] as const
      const argv = [...command, 'put', ...flags, `t/typed${flags.length}`]
      return talk({ argv, env: { SETEC_SERVER: server() }, dialog })
    }
    const [theirs, ours, told] = await Promise.all([typed(1), typed(2), typed(2, '--verbatim')])
    expect(theirs).toMatchObject({ exit: 0 })
    expect(ours.screen).toContain('specify --verbatim to keep the space or --trim-space')
    expect(ours.exit).toBe(1)
    expect(told.screen).toBe(theirs.screen.replace('typed0', 'typed1'))
  })

  async function outcome({ command, server }: Combination, step: Step): Promise<Outcome> {
    const url = step.server ?? server()
    const { code, stdout, stderr } = await confirmed(step.args, (args) =>
      run(command, { ...step, args }, url),
    )
    const name = command === setec ? 'setec' : 'sotto'
    const plain = (text: string): string =>
      text
        .replaceAll(server(), 'URL')
        .replaceAll(`run '${name} activate`, "run 'PROGRAM activate")
        .replace(/use token "[^"]+"/g, 'use token "TOKEN"')
        .replace(/^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d /gm, '')
    return { code, stdout: plain(stdout), stderr: plain(stderr) }
  }
})

async function run(command: readonly string[], step: Step, server: string): Promise<Outcome> {
  const [program = '', ...rest] = [...command, ...step.args]
  const env = { SETEC_SERVER: server || undefined }
  const client = new TestProcess(program, rest, { env, input: step.input ?? '' })
  const code = await client.exited
  return { code, stdout: client.stdoutBytes.toString('latin1'), stderr: client.stderr }
}

describe('R10: docs/guides/from-setec.md', () => {
  const page = readFileSync(new URL('../../docs/guides/from-setec.md', import.meta.url), 'utf8')
  const between = (mark: string): string | undefined =>
    new RegExp(`<!-- ${mark} -->\\n([^]*?)<!-- end -->`).exec(page)?.[1]

  test('shows where the command lines differ', () => {
    expect(between('command line')).toBe(asMarkdown())
  })

  test('shows where the answers differ', () => {
    const rows = [...differences, ...storedDifferences].map(
      ({ title }) => `- ${title[0]?.toUpperCase()}${title.slice(1)}\n`,
    )
    expect(between('wire')).toBe(rows.join(''))
  })
})
