/** The configuration file: what it may have, where it stands among the other ways, and what is refused with its line. */
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import type { SottoError } from '../../client/api/errors.ts'
import type { Environment } from '../../client/api/given.ts'
import {
  readBackupPlace,
  readDoctorConfig,
  readInitConfig,
  readKeysConfig,
  readServerConfig,
} from '../../server/config/config.ts'
import { exampleFile } from '../../server/config/settings/example.ts'
import { readConfigFile } from '../../server/config/settings/file.ts'
import { allSettings, readSettings } from '../../server/config/settings/given.ts'
import { settings } from '../../server/config/settings/table.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { inProcess } from '../cli/play.ts'

const scratch = temporaryDirectory()
afterAll(() => scratch[Symbol.dispose]())
let files = 0

/** The path of a new file with `content`. */
function written(content: string | Uint8Array): string {
  const path = join(scratch.path, `config-${++files}.yaml`)
  writeFileSync(path, content)
  return path
}

/** What `act` is refused with. */
function refusal(act: () => unknown): string {
  try {
    act()
    return 'taken'
  } catch (error) {
    const { code, message, hint } = error as SottoError
    return `${code}: ${message}. ${hint ?? ''}`
  }
}

/** What a server says that is given a file with `content`. */
const refusedIn = (content: string | Uint8Array): string => {
  const path = written(content)
  const said = refusal(() => readServerConfig(['--state-dir', '/s', '--config', path], {}))
  return said.replaceAll(path, 'FILE')
}

const inFile = settings.filter((each) => each.inFile)
const nothing = () => undefined

/** The lines of the example that have a setting. */
const examples = new Map(
  [...exampleFile().matchAll(/^#([a-z][a-z-]*): (.*)$/gm)].map(([line, flag]) => [
    flag ?? '',
    line.slice(1),
  ]),
)

describe('the list of settings', () => {
  test('is the same in the table, in the example and in the docs', () => {
    const flags = inFile.map(({ flag }) => flag)
    expect([...examples.keys()]).toEqual(flags)
    const page = readFileSync(new URL('../../docs/reference/settings.md', import.meta.url), 'utf8')
    const [, shown] = /<!-- example -->\n```yaml\n([^]*?)```/.exec(page) ?? []
    expect(shown).toBe(exampleFile())
    expect(readConfigFile(written(exampleFile())).settings.size).toBe(0)
    const whole = exampleFile().replaceAll(/^#(?=[a-z])/gm, '')
    expect([...readConfigFile(written(whole)).settings.keys()]).toEqual(flags)
  })

  test('has all but those of one run, and what is for a development server', () => {
    const rest = settings.filter((each) => !each.inFile).map(({ flag }) => flag)
    expect(rest).toEqual(['dev', 'tailnet', 'config', 'peer', 'output'])
    expect(inFile.filter(({ help }) => help.includes('commas separate several'))).toEqual(
      inFile.filter(({ many }) => many),
    )
  })

  test.each(inFile)('$flag can be given in the file, and is known to be from there', (setting) => {
    const { flag, value, verbs } = setting
    const path = written(`# a comment\n${examples.get(flag)}\n`)
    const by = [
      ...verbs.map((verb) => readSettings(verb, ['--config', path], {})),
      readSettings('doctor', [], { SOTTO_CONFIG: path }),
      allSettings((name) => (name === 'config' ? path : undefined), {}),
      allSettings(nothing, {}, path),
    ]
    for (const given of by) {
      expect(given.source(flag)).toEqual({ kind: 'file', path, line: 2 })
      expect(given.value(flag) !== undefined).toBe(value !== undefined)
    }
  })

  test.each(inFile.filter(({ value }) => value === undefined))(
    '$flag is on where the file says so, and off where a flag or a variable does',
    ({ flag, env: [variable = ''] }) => {
      const args = ['--config', written(`${flag}: yes\n`)]
      const on = (more: readonly string[], env: Environment = {}): boolean =>
        readSettings('server', [...args, ...more], env).on(flag)
      expect([on([]), on([`--${flag}=false`]), on([], { [variable]: '0' })]).toEqual([
        true,
        false,
        false,
      ])
      const typed = new Map<string, string | boolean>([
        ['config', args[1] ?? ''],
        [flag, false],
      ])
      expect(allSettings((name) => typed.get(name), {}).on(flag)).toBe(false)
    },
  )
})

test('flags go before the environment, that before the file, and that before defaults', () => {
  const path = written('state-dir: /file\ncapability: example.com/file\nstale-after: 10m\n')
  const env = { SOTTO_CONFIG: path, SOTTO_STATE_DIR: '/variable', SOTTO_CAPABILITY: 'a/variable' }
  expect(readServerConfig(['--capability', 'a/flag'], env)).toMatchObject({
    stateDir: '/variable',
    tailscaled: { capabilities: ['a/flag'], staleAfterMs: 600_000, userspace: false },
    configFile: { path, count: 3 },
  })
})

test('a text is what is written: digits keep their zeros, lists may be lists or have commas', () => {
  const path = written(
    'state-dir: "/s"\ntransit-role-id: 0012\nlisten: \':8443\'\nhost-name: [a.example, b]\nservice-address: 100.1.1.1,100.1.1.2\n',
  )
  const given = readSettings('server', ['--config', path], {})
  expect(['transit-role-id', 'listen', 'host-name', 'service-address'].map(given.value)).toEqual([
    '0012',
    ':8443',
    'a.example,b',
    '100.1.1.1,100.1.1.2',
  ])
})

describe('who reads it', () => {
  const path = written(
    'state-dir: /file/state\nkey-file: /file/key\nbackup-to: s3://from-file/x\nbackup-bucket-region: eu-central-1\n',
  )
  const env = { SOTTO_CONFIG: path }

  test('server, init and doctor, and what works on files with the flags of a command', () => {
    const stateDir = '/file/state'
    const read = [readServerConfig, readInitConfig, readDoctorConfig].map((each) => each([], env))
    expect(read).toEqual(read.map(() => expect.objectContaining({ stateDir })))
    expect(readKeysConfig(nothing, env)).toEqual({ stateDir, keyFile: '/file/key' })
    const place = { kind: 's3', bucket: 'from-file', prefix: 'x', region: 'eu-central-1' }
    expect(readBackupPlace(undefined, nothing, env)).toEqual(place)
    expect(readBackupPlace('s3://other', nothing, env)).toMatchObject({ region: 'eu-central-1' })
    expect(readBackupPlace('/mnt', nothing, env)).toEqual({ kind: 'directory', path: '/mnt' })
  })

  test('server and doctor say which file they read', async () => {
    const gone = join(scratch.path, 'gone')
    const named = ['--config', written(`state-dir: ${gone}\n`)]
    const served = await inProcess(['server', ...named])
    expect(served.stderr).toMatch(`settings are read from "${named[1]}"\nsotto: There is no state`)
    const examined = await inProcess(['doctor', ...named])
    expect(examined.stdout).toMatch(/^ok +config +".*" has 1 setting$/m)
  })

  test('no development server', () => {
    expect(readServerConfig(['--dev'], { SOTTO_CONFIG: '/not/there' }).stateDir).toBeUndefined()
    expect(
      readSettings('server', ['--dev'], {}, { usual: path }).value('state-dir'),
    ).toBeUndefined()
    expect(refusal(() => readServerConfig(['--dev', '--config', path], {}))).toMatch(
      /^usage: --config does not go with --dev\./,
    )
  })

  test('no command that asks a server', async () => {
    const broken = { SOTTO_CONFIG: '/not/there', SOTTO_SERVER: 'http://127.0.0.1:1' }
    for (const args of [['get', 'a'], ['list'], ['key', 'status'], ['backup', 'status']]) {
      const { exit, stderr } = await inProcess(args, broken)
      expect([args, exit]).toEqual([args, '6'])
      expect(stderr).not.toContain('configuration')
    }
  })

  test('the usual file is read where it is there; one that is named must be', () => {
    expect(allSettings(nothing, {}, join(scratch.path, 'none')).value('state-dir')).toBeUndefined()
    expect(allSettings(nothing, {}, join(path, 'none')).value('state-dir')).toBeUndefined()
    expect(allSettings(nothing, {}, path).value('state-dir')).toBe('/file/state')
    expect(refusal(() => readInitConfig(['--config', '/not/there'], {}))).toMatch(
      /^local: Cannot read the configuration file "\/not\/there": there is no such file\. `sotto config example`/,
    )
  })
})

describe('refused with the line', () => {
  test.each([
    ['listen: ":443"\nlisten-to: x\n', /line 2: there is no setting "listen-to"/],
    ['state_dir: /s\n', /line 1: there is no setting "state_dir"\. Did you mean state-dir\?/],
    ['\nkeyFile: /s\n', /line 2: .*Did you mean key-file\?/],
    ['SOTTO_KMS_KEY: x\n', /Did you mean kms-key\?/],
    ['kms-key-name: x\n', /Did you mean kms-key\?/],
    ['lisen: :443\n', /Did you mean listen\?/],
    ['zzz: 1\n', /there is no setting "zzz"\. `sotto config example` has all/],
    ['dev: true\n', /line 1: dev is not for a file: use the flag --dev/],
    ['config: /x\n', /config is not for a file/],
    ['? [a]\n: b\n', /line 1: there is no setting ""/],
    ['<<: {listen: x}\n', /there is no setting "<<"/],
    ['listen: a\nlisten: b\n', /line 2: its key is there twice/],
    ['listen: [a, b]\n', /line 1: listen has no text for its value/],
    ['listen: {a: b}\n', /line 1: listen has no text/],
    ['a: &x 1\nlisten: *x\n', /line 1: there is no setting "a"/],
    ['capability: &x a\nlisten: *x\n', /line 2: listen has no text/],
    ['host-name: []\n', /host-name has no text/],
    ['host-name: ["a,b"]\n', /host-name has a comma in one of its values/],
    ['plain-http: maybe\n', /line 1: plain-http is neither true nor false/],
    ['key-file: local.key\n', /line 1: key-file is not a whole path\. Begin it with \//],
    ['backup-to: backups\n', /line 1: backup-to is not a whole path/],
    ['- listen\n', /line 1: it is not a map of settings/],
    ['listen\n', /line 1: it is not a map of settings/],
    ['listen: :1\n---\nlisten: :2\n', /line [23]: it has a second document/],
    ['listen: "x\n', /line \d: a colon, a comma, a quote or a bracket is missing/],
    ['\tlisten: x\n', /line 1: /],
    ['listen: a: b\n', /line 1: it has a colon too many/],
    ['a:\n- b\n c: d\n', /line 3: its indentation is wrong, or a colon is missing above it/],
    ['state-dir: /s\n  listen: ":443"\n', /line 2: its indentation is wrong/],
  ])('%j', (content, said) => {
    const text = refusedIn(content)
    expect(text).toMatch(/^usage: Cannot use the configuration file "FILE": /)
    expect(text).toMatch(said)
  })

  // The value, or the whole file where more is needed, by the flag whose reader refuses it.
  const bad: Readonly<Record<string, string>> = {
    listen: '":99999"',
    'host-name': 'https://x',
    watchers: '0',
    'watchers-per-node': '99999',
    'stale-after': '10',
    'kms-endpoint': 'nowhere\nkms-key: k',
    'transit-auth': 'none\ntransit-key: k\ntransit-url: https://bao',
    'transit-key': 'k',
    'tls-cert': '/c',
    'serve-socket': '/s\nplain-http: true',
    'backend-origin': 'bao',
    'backend-jwt-role': 'sotto',
    'rotation-target': 'https://db',
    'backup-to': 's3://b/p',
    'backup-bucket': 'B',
    'backup-keep': 'last=0\nbackup-to: /b',
    'backup-role': 'sotto\nbackup-to: s3://bucket',
    'backup-endpoint': 'http://minio:9000\nbackup-to: s3://bucket',
    'backup-lock': 'x\nbackup-to: s3://bucket',
    'backup-bucket-region': 'x\nbackup-to: /b',
    'rehearse-every': '1s\nbackup-to: /b',
    'rehearse-in': '/x',
    'log-format': 'xml',
  }
  test.each(Object.entries(bad))('%s, whose value does not fit', (flag, value) => {
    const text = refusedIn(`# one\n# two\n${flag}: ${value}\n`)
    expect(text).toMatch(/^(?:usage|unsafe): /)
    expect(text).toContain(`${flag} (line 3 of "FILE")`)
    expect(text.split('. ')[0]).not.toContain(`--${flag}`)
  })

  test('a wildcard, and a value that a flag replaces is not looked at', () => {
    const path = written('state-dir: /s\nlisten: 0.0.0.0:443\n')
    const read = (...args: string[]) =>
      refusal(() => readServerConfig([...args, '--config', path], {}))
    expect(read()).toContain(
      `unsafe: Cannot use "0.0.0.0" as listen (line 2 of "${path}"): it means`,
    )
    expect(read('--listen', ':443')).toBe('taken')
  })
})

test('U9: what is empty is a mistake, in every setting', () => {
  for (const { flag } of inFile) {
    for (const empty of ['', ' ', ' ""', ' "  "', ' ~', ' null']) {
      expect(refusedIn(`${flag}:${empty}\n`)).toContain(
        `line 1: the value of ${flag} is empty. Leave the line out`,
      )
    }
    expect(refusedIn(`${flag}: "x\\n"\n`)).toContain(`the value of ${flag} has more than one line`)
  }
  const named = refusal(() => readServerConfig(['--config', ''], {}))
  expect(named).toContain('The value of --config is empty')
  expect(refusal(() => readServerConfig([], { SOTTO_CONFIG: '' }))).toContain(
    '$SOTTO_CONFIG is empty',
  )
})

describe('U10: the file is text that people wrote', () => {
  const text = 'state-dir: /s # the store\r\n\r\n# more\r\ncapability: a.b/c  \r\n \t\r\n'
  test.each([
    ['CRLF and blanks', text],
    ['a mark of the byte order', `\uFEFF${text}`],
    ['no line end', text.trimEnd()],
  ])('%s: taken', (_, content) => {
    const given = readSettings('server', ['--config', written(content)], {})
    expect([given.value('state-dir'), given.value('capability')]).toEqual(['/s', 'a.b/c'])
  })

  test.each([
    ['UTF-16', Buffer.from(`\uFEFF${text}`, 'utf16le'), /it is UTF-16\. Save it as UTF-8/],
    ['Latin-1', Buffer.from('# é\n', 'latin1'), /it is not text in UTF-8/],
  ])('%s: named', (_, content, said) => expect(refusedIn(content)).toMatch(said))
})

describe('U11: what the system refuses', () => {
  test.each([
    ['a folder', (path: string) => mkdirSync(path), 'it is not a regular file'],
    [
      'a named pipe, which is not waited for',
      (path: string) => void execFileSync('mkfifo', ['-m', '600', path]),
      'it is not a regular file',
    ],
    [
      'what is too large',
      (path: string) => writeFileSync(path, '#'.repeat(1024 * 1024 + 1)),
      'it has more than 1 MiB',
    ],
  ])('%s', (_, make, why) => {
    const path = join(scratch.path, `odd-${++files}`)
    make(path)
    expect(refusal(() => readConfigFile(path))).toMatch(
      `local: Cannot use the configuration file "${path}": ${why}`,
    )
  })
})

describe('U6: who may write it', () => {
  const folder = (mode: number): string => {
    const path = join(scratch.path, `folder-${++files}`)
    mkdirSync(path)
    chmodSync(path, mode)
    return path
  }
  const fileIn = (directory: string, mode = 0o644): string => {
    const path = join(directory, 'config.yaml')
    writeFileSync(path, 'state-dir: /s\n')
    chmodSync(path, mode)
    return path
  }

  test('everybody may read it', () => {
    expect(readConfigFile(fileIn(folder(0o755))).settings.size).toBe(1)
  })

  test.each([
    ['a file that all may write', () => fileIn(folder(0o755), 0o666), /others can write to/],
    ['a folder that all may write', () => fileIn(folder(0o777)), /others can write to/],
    [
      'what a link leads to',
      () => {
        const path = join(folder(0o755), 'config.yaml')
        symlinkSync(fileIn(folder(0o777)), path)
        return path
      },
      /others can write to/,
    ],
  ])('%s: refused', (_, make, why) => {
    const path = make()
    const said = refusal(() => readServerConfig(['--config', path], {}))
    expect(said).toContain(`unsafe: Cannot use the configuration file "${path}": `)
    expect(said).toMatch(why)
  })

  test.skipIf(process.getuid?.() !== 0)('a file of another user: refused', () => {
    const path = fileIn(folder(0o755))
    chownSync(path, 65_534, 65_534)
    expect(refusal(() => readConfigFile(path))).toContain('belongs to user 65534')
  })
})

describe('no secret is in it', () => {
  test.each([
    [
      'recovery-identity',
      'AGE-SECRET-KEY-1Y9T6L290HXPWFFCAD4PF0LTKG3CESDZXWPZ6FSHYPT8D4K7DZ0US3ZHQVM',
    ],
    ['transit-token-file', 'hvs.CAESIJ1p2b3c4d5e6f7a8b9c0d1e2f3a'],
    ['transit-token-file', 's.CAESIJ1p2b3c4d5e6f7a8b9c'],
    ['transit-url', 'https://sotto:hunter2hunter2@bao.example'],
    ['tls-key', '"-----BEGIN PRIVATE KEY-----"'],
  ])('%s: told without repeating it', (flag, value) => {
    const said = refusedIn(`${flag}: ${value}\n`)
    expect(said).toMatch(`line 1: the value of ${flag} looks like a secret`)
    expect(said).not.toContain(value.slice(3, 20))
  })

  test('nor is what stands where YAML ends repeated', () => {
    for (const content of [
      'listen: "hunter2',
      'hunter2',
      'hunter2: [',
      '? hunter2: x\n',
      '&hunter2 listen: *other',
    ])
      expect(refusedIn(content).replace(/there is no setting "[^"]*"/, '')).not.toContain('hunter2')
  })
})

describe('sotto config', () => {
  test('check takes the example, and says how many settings a file has', async () => {
    const path = written('state-dir: /s\nlisten: ":443"\n')
    expect(await inProcess(['config', 'check', '--config', path])).toMatchObject({
      exit: '0',
      stdout: `"${path}": 2 settings, all understood\n`,
    })
    const { stdout: example } = await inProcess(['config', 'example'])
    expect(example).toBe(exampleFile())
    const answered = await inProcess(['config', 'check', '-o', 'json'], {
      SOTTO_CONFIG: written(example),
    })
    expect(JSON.parse(answered.stdout)).toMatchObject({ settings: 0 })
  })

  test('check refuses what the server would', async () => {
    const path = written('backup-keep: last=1\n')
    const { exit, stderr } = await inProcess(['config', 'check', '--config', path])
    expect([exit, stderr]).toEqual([
      '1',
      `sotto: backup-keep (line 1 of "${path}") says how, and nothing says where to keep backups\nhint: Give --backup-to DIR or --backup-to s3://BUCKET/PREFIX.\n`,
    ])
  })

  test('show says of each setting where it was given', async () => {
    const path = written('state-dir: /file\nlisten: ":1"\nplain-http: true\n')
    const args = ['config', 'show', '--config', path, '--stale-after', '5m']
    const env = { SOTTO_LISTEN: ':2' }
    const { stdout, stderr } = await inProcess(args, env)
    expect(stderr).toBe(`The configuration file is "${path}".\n`)
    const rows = new Map(
      stdout.split('\n').map((line) => [line.split(' ')[0], line.replaceAll(/ +/g, ' ')]),
    )
    expect(
      [
        'state-dir',
        'listen',
        'plain-http',
        'stale-after',
        'capability',
        'userspace',
        'kms-key',
      ].map((each) => rows.get(each)),
    ).toEqual([
      'state-dir file, line 1 /file',
      'listen $SOTTO_LISTEN :2',
      'plain-http file, line 3 true',
      'stale-after flag 5m',
      'capability default tailscale.com/cap/secrets',
      'userspace default false',
      'kms-key default -',
    ])
    expect(rows.size).toBe(inFile.length + 2)
    const { settings: shown } = JSON.parse(
      (await inProcess([...args, '-o', 'json'], env)).stdout,
    ) as {
      settings: { setting: string }[]
    }
    expect(shown.map(({ setting }) => setting)).toEqual(inFile.map(({ flag }) => flag))
    expect(shown).toContainEqual({
      setting: 'listen',
      value: ':2',
      source: 'environment',
      variable: 'SOTTO_LISTEN',
    })
    expect(shown).toContainEqual({ setting: 'plain-http', value: true, source: 'file', line: 3 })
  })
})
