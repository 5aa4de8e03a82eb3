/** What the documents have operators install, type and write is what the program understands. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { imageRun } from '../.ci/image/image.ts'
import { parseArguments } from '../cli/arguments.ts'
import { commandTable } from '../cli/commands.ts'
import { actions } from '../client/api/types.ts'
import { readDoctorConfig, readInitConfig, readServerConfig } from '../server/config/config.ts'
import { rulesIn } from '../server/identity/tailscale/rules.ts'
import type { Environment } from '../client/api/given.ts'
import { settingsHelp } from '../server/config/settings/table.ts'
import { version } from '../server/platform/version.ts'
import { splitWords } from './cli/transcript.ts'
import { fromHujson } from './support/hujson.ts'
import { runSotto, temporaryDirectory } from './support/sotto.ts'

const docs = new URL('../docs', import.meta.url).pathname
const read = (name: string): string => readFileSync(join(docs, name), 'utf8')
const pages = readdirSync(docs, { recursive: true, encoding: 'utf8' }).filter((name) =>
  name.endsWith('.md'),
)
const unit = read('deploy/sotto.service')
const compose = read('deploy/compose.yaml')
const commands = await commandTable.all()

describe('commands', () => {
  /** Lines of shell that are shown and not run, by the file that shows them. */
  const shown = [
    ...pages.flatMap((name) => {
      const blocks = [
        ...read(name).matchAll(
          /^(?!<!-- run(?:: (?:openbao|postgres|valkey))? -->).*\n```sh\n([^]*?)```/gm,
        ),
      ].map(([, text = '']) => text)
      return blocks.flatMap((text) => linesOf(text).map((line) => [name, line] as const))
    }),
    ...commentsOf(unit).map((line) => ['sotto.service', line] as const),
    ...commentsOf(compose).map((line) => ['compose.yaml', line] as const),
  ].flatMap(([name, line]) => sottoIn(line).map((args) => [name, args] as const))

  test('of sotto are shown on the tailnet page and in the unit', () => {
    const names = new Set(shown.map(([name]) => name))
    expect([...names]).toEqual(expect.arrayContaining(['guides/tailnet.md', 'sotto.service']))
  })

  test.each(shown)('%s: sotto %s', (_, args) => {
    expect(() => understand(args)).not.toThrow()
  })
})

describe('settings', () => {
  test.each([
    ['the unit', unit],
    ['the compose file', compose],
    ['the image', imageRun.Env.join('\n')],
  ])('in the environment of %s are those of the server', (_, text) => {
    const named = [...text.matchAll(/\b(?:SOTTO|SETEC)_[A-Z_]+/g)].map(([name]) => name)
    expect(named.length).toBeGreaterThan(0)
    const known = settingsHelp('server')
      .map(({ names }) => names)
      .join('\n')
    for (const name of named) expect(known).toContain(`$${name}`)
  })

  test('of the unit and the containers start a server on a tailnet', () => {
    const fromUnit = /^Environment=(\w+)=(.*)$/m.exec(unit)
    const env = { [fromUnit?.[1] ?? '']: fromUnit?.[2] }
    const args = splitWords(
      /^ExecStart=\/usr\/local\/bin\/sotto server ?(.*)$/m.exec(unit)?.[1] ?? '-',
    )
    expect(readServerConfig(args, env)).toMatchObject({
      dev: false,
      stateDir: '/var/lib/sotto',
      door: { kind: 'addresses', host: undefined, port: 443, tls: 'tailnet' },
    })
    const ofImage = imageRun.Env.map((pair) => pair.split('='))
    const pairs = [...compose.matchAll(/^ {6}(SOTTO_\w+): (.*)$/gm)].map(([, key, value]) => [
      key,
      value,
    ])
    const config = readServerConfig([], Object.fromEntries([...ofImage, ...pairs]))
    const socket = /^ {6}TS_SOCKET: (.*)$/m.exec(compose)?.[1]
    expect(config).toMatchObject({
      dev: false,
      stateDir: '/var/lib/sotto',
      tailscaled: { socket, userspace: false },
    })
  })

  test('of the image and the compose file speak of one user, one image and one volume', () => {
    const [uid] = imageRun.User.split(':')
    expect(compose).toContain(`TS_PERMIT_CERT_UID: "${uid}"`)
    expect(compose).toContain(`image: localhost/sotto:${version}\n`)
    for (const path of Object.keys(imageRun.Volumes))
      expect(compose).toContain(`- sotto-state:${path}\n`)
  })

  test('of the compose file leave a temporary folder that may hold programs', () => {
    expect(compose).toMatch(/read_only: true\n +tmpfs:\n(?: +#.*\n)* +- \/tmp:exec,/)
  })
})

describe('a store that is gone', () => {
  test('is never replaced by the unit or the containers: they run the server alone', () => {
    const lines = unit.match(/^Exec\w+=.*$/gm)
    expect(lines).toEqual(['ExecStart=/usr/local/bin/sotto server'])
    expect([...imageRun.Entrypoint, ...imageRun.Cmd]).toEqual(['/usr/bin/sotto', 'server'])
    const run = [...compose.matchAll(/^ {4}(?:command|entrypoint|post_start|develop):/gm)]
    expect(run).toEqual([])
    const files = [unit, compose].map((text) => text.replaceAll(/^#.*$/gm, ''))
    for (const text of files) expect(text).not.toMatch(/\binit\b/)
  })

  test.each<[string, (state: string) => void, RegExp]>([
    [
      'an empty volume',
      (state) => mkdirSync(state, { mode: 0o700 }),
      /Cannot open the store .*: there is no such file/,
    ],
    ['no volume', () => {}, /There is no state directory/],
    [
      'a volume that lost the store and kept the rest',
      (state) => {
        mkdirSync(join(state, 'audit'), { recursive: true, mode: 0o700 })
        writeFileSync(join(state, 'local.key'), 'key', { mode: 0o600 })
        writeFileSync(join(state, 'backups.json'), '{}', { mode: 0o600 })
      },
      /Cannot open the store .*: there is no such file/,
    ],
  ])('%s is refused by the server as they start it, and left as it is', async (_, make, said) => {
    using scratch = temporaryDirectory()
    const state = join(scratch.path, 'state')
    make(state)
    const before = filesIn(scratch.path)
    const backups = join(scratch.path, 'backups')
    const env = { SOTTO_STATE_DIR: state, SOTTO_BACKUP_TO: backups }
    const { code, stdout, stderr } = await runSotto(['server'], { env })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(said)
    expect(filesIn(scratch.path)).toEqual(before)
  })

  function filesIn(path: string): string[] {
    const names = readdirSync(path, { recursive: true, encoding: 'utf8' })
    return names.filter((name) => !name.includes('lock')).toSorted()
  }
})

describe('policies', () => {
  interface Grant {
    readonly app?: Readonly<Record<string, unknown[]>>
  }
  const inFiles = ['policy-tailscale.hujson', 'policy-headscale.hujson'].map(
    (name) => [name, read(`deploy/${name}`)] as const,
  )
  const inBook = [...read('guides/policy.md').matchAll(/```json\n([^]*?)```/g)].map(
    ([, text = ''], at) => [`policy.md, ${at + 1}.`, text] as const,
  )

  test.each([...inFiles, ...inBook])('%s: its rules are understood whole', (_, text) => {
    const policy = fromHujson(text) as {
      grants?: Grant[]
      nodes?: Record<string, { rules: unknown[] }>
    }
    const values = [
      ...(policy.grants ?? []).flatMap(({ app = {} }) => Object.values(app)),
      ...Object.values(policy.nodes ?? {}).map(({ rules }) => rules),
      ...('action' in policy ? [[policy]] : []),
    ]
    expect(values.length).toBeGreaterThan(0)
    for (const each of values) {
      const rules = rulesIn({ capability: each }, ['capability'])
      expect(rules).toHaveLength(each.length)
      for (const { action, secret } of rules) {
        expect(actions).toEqual(expect.arrayContaining([...action]))
        expect(secret.length).toBeGreaterThan(0)
      }
    }
  })

  test('name the capability that the server reads', () => {
    const [tailscale, headscale] = inFiles.map(([, text]) => text)
    expect(capabilitiesIn(tailscale)).toEqual(['tailscale.com/cap/secrets'])
    const [, name] = /^echo 'capability: (\S+)' >>/m.exec(read('guides/headscale.md')) ?? []
    expect(capabilitiesIn(headscale)).toEqual([name])
  })

  test('are explained: every action is in the table', () => {
    const table = [
      ...read('guides/policy.md').matchAll(/^\| (`[a-z:-]+`(?: `[a-z:-]+`)*) \|/gm),
    ].flatMap(([, names = '']) => names.replaceAll('`', '').split(' '))
    expect(table).toEqual([...actions])
  })

  function capabilitiesIn(text = ''): string[] {
    const { grants } = fromHujson(text) as { grants: Grant[] }
    return [...new Set(grants.flatMap(({ app = {} }) => Object.keys(app)))]
  }
})

/** Lines of shell, those that go on with a backslash joined. */
function linesOf(text: string): string[] {
  return text.replaceAll('\\\n', ' ').split('\n')
}

function commentsOf(text: string): string[] {
  return text.split('\n').flatMap((line) => /^# {3}(.*)$/.exec(line)?.[1] ?? [])
}

/** The arguments of each call of sotto on a line, also after sudo, a pipe or a container. */
function sottoIn(line: string): string[][] {
  return line.split(/ && | \| | > /).flatMap((part) => {
    const words = splitWords(part)
    const at = words.findLastIndex((word) => /^sotto$|\/main\.js$/.test(word))
    const [verb = '', ...rest] = words.slice(at + 1)
    return at >= 0 && /^[a-z-]+$/.test(verb) && words[0] !== 'systemctl' ? [[verb, ...rest]] : []
  })
}

/** Reads a command line as the program would. Throws for what it would refuse. */
function understand([verb = '', ...rest]: readonly string[]): void {
  const readers: Readonly<Record<string, (args: readonly string[], env: Environment) => unknown>> =
    {
      server: readServerConfig,
      init: readInitConfig,
      doctor: readDoctorConfig,
    }
  const reader = readers[verb]
  if (reader) return void reader(rest, { SOTTO_STATE_DIR: '/var/lib/sotto' })
  const [second = '', ...others] = rest
  const long = commands.find(({ name }) => name === `${verb} ${second}`)
  const command = long ?? commands.find(({ name }) => name === verb)
  if (!command) throw new Error(`There is no command ${verb}`)
  const { words } = parseArguments(long ? others : rest, {
    ...command.flags,
    ...commandTable.globalFlags,
  })
  if (words.length > command.args.length) throw new Error(`${verb} takes fewer arguments`)
}

test('the unit keeps memory from core files, from swap and from debuggers', () => {
  for (const line of ['LimitCORE=0', 'MemorySwapMax=0']) expect(unit.split('\n')).toContain(line)
  const options = /^Environment="NODE_OPTIONS=(.*)"$/m.exec(unit)?.[1] ?? ''
  // Without the option, Node opens a debugger that any user of the host can reach.
  const script = "process.kill(process.pid, 'SIGUSR1'); setTimeout(() => {}, 300)"
  const run = (env: Record<string, string>): string =>
    spawnSync(process.execPath, ['--inspect-port=0', '-e', script], { env, encoding: 'utf8' })
      .stderr
  expect(run({ NODE_OPTIONS: options })).toBe('')
  expect(run({})).toContain('Debugger listening')
})
