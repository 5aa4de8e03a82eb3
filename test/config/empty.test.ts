/** U9: what is given empty is neither absent nor here. Every flag, every variable and every argument is tried. */
import { describe, expect, test } from 'vitest'
import { parseArguments } from '../../cli/arguments.ts'
import { commandTable } from '../../cli/commands.ts'
import { run } from '../../cli/run.ts'
import type { Io } from '../../cli/terminal/io.ts'
import type { Environment } from '../../client/api/given.ts'
import { allSettings, readSettings } from '../../server/config/settings/given.ts'
import type { RawVerb } from '../../server/config/settings/setting.ts'
import { settings } from '../../server/config/settings/table.ts'

const bad = ['', ' ', '\t'] as const
const broken = ['/srv/state\r', '\r', 'a\n', 'a\r\n'] as const
const nothing = () => undefined

/** What `act` is refused with. */
function refusal(act: () => unknown): { code: string; message: string; hint: string } {
  try {
    act()
  } catch (error) {
    return error as ReturnType<typeof refusal>
  }
  return { code: 'taken', message: '', hint: '' }
}

const read = settings.flatMap((setting) => setting.verbs.map((verb) => ({ ...setting, verb })))

describe('a setting', () => {
  test.each(read.filter(({ value }) => value !== undefined))('--$flag of $verb', (setting) => {
    const { flag, setec = flag, verb } = setting
    const by = [
      (text: string) => [`--${flag}`, text],
      (text: string) => [`--${flag}=${text}`],
      (text: string) => [`-${setec}=${text}`],
    ]
    for (const args of by) {
      for (const [texts, why] of [
        [bad, `The value of --${flag} is empty`],
        [broken, `The value of --${flag} ends in a line break`],
      ] as const) {
        for (const text of texts) {
          const { code, message } = refusal(() => readSettings(verb, args(text), {}))
          expect({ code, message }).toEqual({ code: 'usage', message: why })
        }
      }
    }
  })

  const variables = read.flatMap(({ env, ...each }) => env.map((name) => ({ ...each, name })))

  test.each(variables.filter(({ name }) => name.startsWith('SOTTO_')))(
    '$name of $verb',
    ({ name, verb, flag, value }) => {
      const readers = [
        (env: Environment) => readSettings(verb, [], env),
        (env: Environment) => allSettings(nothing, env, '/none')[value ? 'value' : 'on'](flag),
      ]
      for (const reader of readers) {
        for (const text of bad) {
          const { code, message } = refusal(() => reader({ [name]: text }))
          expect([code, message]).toEqual(['usage', `The value of $${name} is empty`])
        }
        for (const text of [...broken, '1\r']) {
          const { code, message, hint } = refusal(() => reader({ [name]: text }))
          expect([code, message]).toEqual(['usage', `The value of $${name} ends in a line break`])
          expect(hint).toContain('Windows')
        }
      }
    },
  )

  test.each(variables.filter(({ name }) => !name.startsWith('SOTTO_')))(
    '$name of $verb, which is of another program: as if it were not set',
    ({ name, verb, flag }) => {
      expect(readSettings(verb, [], { [name]: '' }).value(flag)).toBeUndefined()
      expect(refusal(() => readSettings(verb, [], { [name]: 'x\r' })).code).toBe('usage')
    },
  )

  test('a flag goes before an empty variable', () => {
    const given = readSettings('server', ['--state-dir', '/s'], { SOTTO_STATE_DIR: '' })
    expect(given.value('state-dir')).toBe('/s')
  })
})

describe('U9: what only a shell makes a path of', () => {
  const paths = read.filter(({ value }) => /^(?:DIR|FILE)/.test(value ?? ''))
  const quoted = ['"/srv/state"', "'/srv/state'", '""']
  const unreplaced = ['~/state', '~', '~sotto/state', '$HOME/state', '${HOME}/state', 'file:///srv']

  test.each(paths)('--$flag of $verb, and its variables', ({ flag, env, verb }) => {
    const ways = [
      [`--${flag}`, (text: string) => readSettings(verb, [`--${flag}`, text], {})] as const,
      ...env.map((name) => {
        return [`$${name}`, (text: string) => readSettings(verb, [], { [name]: text })] as const
      }),
    ]
    for (const [what, way] of ways) {
      for (const text of quoted) {
        expect(refusal(() => way(text)).message).toBe(`The value of ${what} is in quotes`)
      }
      for (const text of unreplaced) {
        expect(refusal(() => way(text)).message).toBe(`The value of ${what} is not a path`)
      }
      // That one is read at once.
      if (flag === 'config') continue
      for (const text of ['./~', 'a~', '/srv/$x', '"', `/srv/it's`, 's3://bucket']) {
        expect(way(text).value(flag)).toBe(text)
      }
    }
  })

  test.each(read.filter(({ value }) => value !== undefined))(
    'quotes around a variable of --$flag of $verb',
    ({ env, verb }) => {
      for (const name of env) {
        const { message } = refusal(() => readSettings(verb, [], { [name]: '"x"' }))
        expect(message).toBe(`The value of $${name} is in quotes`)
      }
    },
  )

  test('a command refuses them too, where it takes a path', () => {
    const flags = { to: { value: 'DIR', help: '' }, text: { value: 'TEXT', help: '' } }
    expect(refusal(() => parseArguments(['--to=~/new'], flags)).message).toBe(
      'The value of --to is not a path',
    )
    expect(refusal(() => parseArguments(['--to', '"/new"'], flags)).message).toBe(
      'The value of --to is in quotes',
    )
    expect(parseArguments(['--text', '"~/x"'], flags).values.get('text')).toBe('"~/x"')
  })

  test('and the address of the server', async () => {
    const { stderr } = await saidBy(['list'], { SOTTO_SERVER: '"http://127.0.0.1:1"' })
    expect(stderr).toContain('sotto: The value of $SOTTO_SERVER is in quotes\n')
  })
})

const commands = await commandTable.all()

describe('a command', () => {
  test.each(commands)('$name: its flags', ({ flags = {}, takesValue }) => {
    const all = { ...flags, ...commandTable.globalFlags }
    for (const [name, { value, short }] of Object.entries(all)) {
      if (value === undefined) continue
      for (const args of [
        [`--${name}`, ''],
        [`--${name}=`],
        [`-${name}=`],
        [`-${short ?? name}`, ''],
      ]) {
        const { code, message } = refusal(() => parseArguments(args, all, takesValue))
        expect([code, message]).toEqual(['usage', `The value of --${name} is empty`])
      }
      const { message } = refusal(() => parseArguments([`--${name}`, 'x\r'], all, takesValue))
      expect(message).toBe(`The value of --${name} ends in a line break`)
    }
  })

  test.each(commands)('$name: its arguments', async ({ name, args, failureExit = 1 }) => {
    for (const [at, arg] of args.entries()) {
      // What a program that is run is given is its own affair.
      if (name === 'run' && at > 0) continue
      const words = args
        .map((_, place) => (place === at ? '' : 'x'))
        .slice(0, Math.max(at + 1, args.filter((each) => !each.startsWith('[')).length))
      const said = await saidBy([...name.split(' '), ...words], {
        SOTTO_SERVER: 'http://127.0.0.1:1',
      })
      expect(said).toEqual({
        exit: failureExit,
        stderr: expect.stringContaining(
          `sotto: The argument ${arg.replaceAll(/[[\]]| …/g, '')} is empty\n`,
        ) as string,
      })
    }
  })

  test.each([
    [['list'], { SOTTO_SERVER: '' }, '$SOTTO_SERVER is empty'],
    [['list'], { SOTTO_SERVER: 'http://127.0.0.1:1\r' }, '$SOTTO_SERVER ends in a line break'],
    [['list'], { SETEC_SERVER: 'http://127.0.0.1:1\r' }, '$SETEC_SERVER ends in a line break'],
    [['list', '-s', ''], { SOTTO_SERVER: 'http://127.0.0.1:1' }, '--server is empty'],
    [['key', 'status'], { SOTTO_STATE_DIR: '' }, '$SOTTO_STATE_DIR is empty'],
    [['key', 'check'], { SOTTO_STATE_DIR: '' }, '$SOTTO_STATE_DIR is empty'],
    [['key', 'check', '--state-dir', '/s'], { SOTTO_KEY_FILE: '' }, '$SOTTO_KEY_FILE is empty'],
    [
      ['key', 'check', '--state-dir', '/s'],
      { SOTTO_RECOVERY_IDENTITY: '' },
      '$SOTTO_RECOVERY_IDENTITY is empty',
    ],
    [['backup', 'list', 's3://bucket'], { SOTTO_BACKUP_ROLE: '' }, '$SOTTO_BACKUP_ROLE is empty'],
  ])('%j with %j', async (args, env, why) => {
    const { exit, stderr } = await saidBy(args, env)
    expect(exit).toBe(1)
    expect(stderr).toContain(`sotto: The value of ${why}\n`)
  })
})

async function saidBy(args: readonly string[], env: Environment) {
  let stderr = ''
  const output = { isTTY: false, write: async () => {} }
  const io: Io = {
    stdin: { isTTY: false, chunks: async function* none() {} },
    stdout: output,
    stderr: { isTTY: false, write: async (text) => void (stderr += String(text)) },
    now: Date.now,
    onInterrupt: () => ({ [Symbol.dispose]() {} }),
  }
  return { exit: await run(args, io, env), stderr }
}

test('every command that reads its own arguments is here', () => {
  const verbs = new Set<string>(read.map(({ verb }) => verb))
  const own = commandTable.raw.filter(({ like }) => like === undefined)
  expect(own.map(({ name }) => name as RawVerb)).toEqual([...verbs])
})
