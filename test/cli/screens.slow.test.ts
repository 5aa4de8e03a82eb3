/** Every screen of help, and every table with real data, on a terminal of 80 columns. Needs Python, which has terminals to give. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { commandTable } from '../../cli/commands.ts'
import { version } from '../../server/platform/version.ts'
import { cli, startSotto } from '../support/sotto.ts'
import { talk } from '../support/terminal.ts'

const COLUMNS = 80
const noPython = process.env['CI'] !== 'true' && spawnSync('python3', ['--version']).status !== 0

/** Commands that are typed into one shell. */
const AT_ONCE = 12

/** A folder whose name is as long on every machine, since rows are as wide as what is in them. */
const directory = mkdtempSync('/tmp/sotto-')
afterAll(() => rmSync(directory, { recursive: true, force: true }))

describe.skipIf(noPython)('on a terminal of 80 columns', () => {
  test('V8: every screen of help is as in screens/help.txt', { timeout: 180_000 }, async () => {
    const names = await commandTable.names()
    const first = names.flatMap((name) => (name.includes(' ') ? [name.split(' ')[0] ?? ''] : []))
    const pages = [...names, ...new Set(first), ...Object.keys(await commandTable.shared())]
    const screens = await typed([
      'help',
      'help error',
      'help error denied',
      ...pages.flatMap((name) => (name === 'help' ? ['help help'] : [`help ${name}`])),
    ])
    // What is to be pasted stays on its line.
    expect(longLines(screens).filter((line) => !line.startsWith('Usage: '))).toEqual([])
    await expect(screens).toMatchFileSnapshot('screens/help.txt')
  })

  test.each(Object.entries(stages))(
    'V8: tables with long names: %s',
    { timeout: 120_000 },
    async (name, screensOf) => {
      const screens = await screensOf()
      expect(longLines(screens)).toEqual([])
      await expect(screens).toMatchFileSnapshot(`screens/${name}.txt`)
    },
  )
})

/** The lines that a terminal would break, but for those that were typed. */
function longLines(screens: string): string[] {
  const lines = screens.split('\n')
  return lines.filter((line) => line.length > COLUMNS && !line.startsWith('$ '))
}

const SECRET = 'prod/payments/eu-central-1/database/password'
const BACKEND = 'vault-of-the-payments-team-in-frankfurt'

/** WHO of the audit log has 40 characters with it. */
const operator = {
  name: 'desktop.tail-test.ts.net',
  user: 'alice.smith@payments.example.com',
  rules: [
    {
      action: ['get', 'info', 'put', 'create-version', 'activate', 'delete'],
      secret: ['prod/payments/eu-central-1/*', 'prod/payments/us-east-1/*', 'backends/*', 'dev/*'],
    },
    { action: ['audit', 'keys', 'backup', 'mirror', 'migrate'], secret: ['*'] },
    {
      action: ['backends:view', 'backends:create', 'backends:edit', 'backends:delete'],
      secret: ['*'],
    },
  ],
}

/** The files in the folder that the commands are typed in. */
const files: Readonly<Record<string, string>> = {
  'tailnet.json': JSON.stringify({ nodes: { '127.0.0.1': operator } }),
  value: 'correct horse',
  'vault.yaml': `kind: secretbackend
name: ${BACKEND}
type: openbao
description: The OpenBao of the payments team, for what their other programs read
config:
  url: http://127.0.0.1:9
  mount: secret/of/the/payments/team
  tokenSecretRef: {name: backends/vault-of-the-payments-team, key: token}
  mirror:
    secrets: ["prod/payments/eu-central-1/*"]
    onDelete: remove
`,
  'config.yaml': `state-dir: ${directory}/made
key-file: ${directory}/made/local.key
backup-to: s3://backups-of-the-payments-team-in-frankfurt/sotto
host-name: [secrets.payments.example.com, sotto.payments.example.com]
`,
}

const keys = '--state-dir state --key-file state/local.key'

const stages: Readonly<Record<string, () => Promise<string>>> = {
  backups: () =>
    whileServing(['--state-dir', 'state', '--backup-to', 'backups'], async (env) => {
      await typed([`put ${SECRET} < value`, 'put dev/key < value'], env)
      return typed(
        ['backup create', 'job run rehearsal', 'backup status', 'job status', 'branch'],
        env,
      )
    }),
  // What a server makes by itself depends on when it comes to it.
  kept: () => typed([`backup create ${keys} --to kept`]),
  secrets: () =>
    whileServing(['--state-dir', 'state'], (env) =>
      typed(
        [
          `put --activate --verbatim ${SECRET} < vault.yaml`,
          'put backends/vault-of-the-payments-team < value',
          'list',
          'list --long',
          `info ${SECRET}`,
          `history ${SECRET}`,
          `diff ${SECRET} 1 1`,
          'whoami',
          `whoami ${SECRET}`,
          `delete ${SECRET} < value`,
          `get prod/payments/eu-central-1/there-is-no-such-secret`,
          'get team/of/somebody/else/and/its/passphrase',
          'audit query --principal alice.smith@payments.example.com --limit 8',
          'audit query --secret "dev/*"',
        ],
        env,
      ),
    ),
  question: () =>
    whileServing(['--state-dir', 'state'], (env) =>
      typed([`delete ${SECRET}`], env, [['name: ', 'no\r']]),
    ),
  operators: () =>
    whileServing(['--state-dir', 'state', '--backend-origin', 'http://127.0.0.1:9'], (env) =>
      typed(
        [
          'backend apply -f vault.yaml',
          'backend list',
          `backend test ${BACKEND}`,
          `mirror sync ${BACKEND}`,
          // Only now it has surely failed.
          `backend describe ${BACKEND}`,
          'mirror status',
          'branch',
          'key status',
          'key rotate',
          'list --backend default',
          `migrate secrets --from default --to ${BACKEND} --names "dev/*,prod/*" --dry-run`,
        ],
        env,
      ),
    ),
  import: async () => {
    const source = await startSotto()
    try {
      const from = { SOTTO_SERVER: source.url }
      await typed([`put ${SECRET} < vault.yaml --verbatim`, 'put dev/other < value'], from)
      return await whileServing(['--state-dir', 'state'], (env) =>
        typed(['import setec --dry-run', 'import setec'], { ...env, SETEC_SERVER: source.url }),
      )
    } finally {
      await source.stop()
    }
  },
  files: async () => {
    const recipient = 'age1x8wrduasc9fdma5yl8saqv075ndlwnrumckm7g4lggwsew4qufcqrl60uz'
    return typed([
      'audit tail -n 3 state/audit',
      `key add recovery ${keys} --recipient ${recipient}`,
      `key check ${keys}`,
      `key status ${keys}`,
      `audit verify ${keys} state/audit`,
      'backup list kept',
      'backup verify kept',
      'backup verify kept/*.backup --key-file state/local.key',
      'restore --latest kept --key-file state/local.key --dry-run --live state',
      'restore --latest kept --key-file state/local.key --to again',
    ])
  },
  restored: () =>
    whileServing(['--state-dir', 'again', '--key-file', 'state/local.key'], (env) =>
      typed(['branch', 'branch adopt', 'audit tail -n 3', `get ${SECRET} > got`], env),
    ),
  settings: () =>
    typed([
      'init --state-dir made',
      'config check --config config.yaml',
      'config show --config config.yaml',
      'config check --config none.yaml',
      'doctor --config config.yaml --backup-to kept --tailscaled-socket none.sock',
    ]),
}

beforeAll(() => {
  for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, name), content)
  for (const name of ['backups', 'kept']) mkdirSync(join(directory, name))
})

/** Starts a development server; arguments that have no dash are files in the folder. */
async function whileServing(
  args: readonly string[],
  act: (env: Readonly<Record<string, string>>) => Promise<string>,
): Promise<string> {
  const given = [...args, '--tailnet', 'tailnet.json']
  const server = await startSotto({
    args: given.map((each) => (/^-|:/.test(each) ? each : join(directory, each))),
  })
  try {
    return await act({ SOTTO_SERVER: server.url })
  } finally {
    await server.stop()
  }
}

/** What a terminal shows where these commands of `sotto` are typed, each after its own line; with what differs by run masked. */
async function typed(
  commands: readonly string[],
  env: Readonly<Record<string, string>> = {},
  dialog: Parameters<typeof talk>[0]['dialog'] = [],
): Promise<string> {
  const parts: string[] = []
  for (let at = 0; at < commands.length; at += AT_ONCE) {
    const lines = commands
      .slice(at, at + AT_ONCE)
      .map((each) => `echo '$ sotto ${each}'\nsotto ${each}\necho`)
    const { screen, exit, missed } = await talk({
      argv: [
        '/bin/sh',
        '-c',
        `cd ${directory}\nsotto() { ${process.execPath} ${cli} "$@"; }\n${lines.join('\n')}`,
      ],
      env,
      dialog,
      columns: COLUMNS,
      patience: 120,
    })
    expect({ exit, missed }).toEqual({ exit: 0, missed: null })
    parts.push(screen)
  }
  return masked(parts.join('').replaceAll('\r\n', '\n'))
}

/** `text` with what differs by run and by machine replaced by what is as long. */
function masked(text: string): string {
  return (
    text
      .replaceAll(/\r[^\n]*\r/g, '')
      .replaceAll(directory, '/tmp/sotto-abcdef')
      .replaceAll(/\d{4}-\d\d-\d\d(?=T)/g, '2026-01-01')
      .replaceAll(/T\d\d:\d\d:\d\d/g, 'T12:34:56')
      .replaceAll(/(?<=:\d\d)\.\d{3}Z/g, '.000Z')
      .replaceAll(/\d{8}T\d{6}\.\d{3}Z/g, '20260101T123456.000Z')
      .replaceAll(/\b(?=[a-f]*\d)[0-9a-f]{16,}\b/g, (hex) =>
        '0123456789abcdef'.repeat(4).slice(0, hex.length),
      )
      .replaceAll(/"[0-9a-f]{8}\./g, '"01234567.')
      .replaceAll(/127\.0\.0\.1:\d{5}/g, '127.0.0.1:12345')
      .replaceAll(/\b\d{5,6}\b/g, (digits) => '123456'.slice(0, digits.length))
      .replaceAll(/since \d+ s\b/g, 'since 1 s')
      .replaceAll(version, '0.1.0')
      // How many records there are depends on what ran meanwhile.
      .replaceAll(
        /^\d(?=   2026)|(?<=^10000000|of |to |(?:Records|Last|MACs): +)\d\d\b|^\d\d(?=  2026)/gm,
        (id) => '12'.slice(0, id.length),
      )
      .replaceAll(/^(?:ok|warning|failed) +(?:version|user|clock|disk) .*\n(?: .*\n)*/gm, '')
  )
}
