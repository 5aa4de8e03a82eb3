/** U7: `sotto doctor` does what the server does: what keeps one from starting is what the other finds, in the same words. */
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Finding } from '../../cli/handlers/finding.ts'
import { readServerConfig } from '../../server/config/config.ts'
import { awsKmsProvider } from '../../server/crypto/aws-kms.ts'
import { bindWrap } from '../../server/crypto/bound-wrap.ts'
import { createKeyFile } from '../../server/crypto/local-key.ts'
import { bind } from '../../server/http/bind.ts'
import { described } from '../../client/platform/system-error.ts'
import { initialise } from '../../server/start/new-store.ts'
import { startServer } from '../../server/start/server.ts'
import { makePair } from '../support/certificates.ts'
import { recorded, StubLocalApi } from '../support/local-api.ts'
import { startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { needRoot, runNodeAs, SERVER } from '../support/users.ts'
import { inProcess } from './in-process.ts'
import type { Answered } from './play.ts'

// Each server listens for signals, and here many are begun in one process.
process.setMaxListeners(100)

const NAME = 'server.tail-test.ts.net'
const KEY = 'arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab'

let localApi: StubLocalApi
let scratch: ReturnType<typeof temporaryDirectory>
/** A store with a log, as a server left it, and an earlier copy of its file. */
let sound: string
let earlier: string
/** A copy of it for the test. */
let state: string
let count = 0

beforeAll(async () => {
  // The SDK of AWS reads them itself.
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'test')
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'test')
  localApi = await StubLocalApi.start()
  const all = JSON.parse(recorded('status')) as { Self: object }
  const Self = { ...all.Self, TailscaleIPs: ['127.0.0.1'] }
  localApi.status = JSON.stringify({ ...all, Self })
  scratch = temporaryDirectory()
  sound = join(scratch.path, 'sound')
  earlier = join(scratch.path, 'earlier.db')
  await initialise({ stateDir: sound, keyFile: undefined })
  for (const act of [
    async () => cpSync(join(sound, 'sotto.db'), earlier),
    () => inProcess(['key', 'rotate', '--state-dir', sound], {}),
  ]) {
    await (await started(settings(sound)))[Symbol.asyncDispose]()
    await act()
  }
})
afterAll(async () => {
  vi.unstubAllEnvs()
  await localApi[Symbol.asyncDispose]()
  scratch[Symbol.dispose]()
})
beforeEach(() => {
  state = join(scratch.path, `state-${count++}`)
  cpSync(sound, state, { recursive: true })
})

/** The settings of a server on that state directory, on a port that is free. */
function settings(stateDir: string): string[] {
  const socket = ['--tailscaled-socket', localApi.path]
  return ['--state-dir', stateDir, ...socket, '--plain-http', '--listen', ':0']
}

async function started(args: readonly string[]): Promise<AsyncDisposable> {
  const server = await startServer(readServerConfig(args, {}))
  return { [Symbol.asyncDispose]: () => server.stop() }
}

/** Why a server with these settings does not start; undefined where it does. */
async function refusal(args: readonly string[]): Promise<string | undefined> {
  try {
    await using _ = await started(args)
    return undefined
  } catch (error) {
    return described(error).message
  }
}

/** What `doctor` with these settings finds to fail. */
async function failures(args: readonly string[]): Promise<Finding[]> {
  const { stdout, exit } = await inProcess(['doctor', '-o', 'json', ...args], {})
  const { findings } = JSON.parse(stdout) as { findings: Finding[] }
  const found = findings.filter((each) => each.state === 'failed')
  expect(exit).toBe(found.length > 0 ? '1' : '0')
  for (const { name, hint = '' } of found) expect(hint, name).not.toBe('')
  return found
}

const file = (...parts: string[]): string => join(state, ...parts)

function alter(name: string, change: (text: string) => string): void {
  writeFileSync(file(name), change(readFileSync(file(name), 'latin1')), 'latin1')
}

function newestSegment(): string {
  return join('audit', readdirSync(file('audit')).toSorted().at(-1) ?? '')
}

function schema(sql: string): void {
  const db = new Database(file('sotto.db'))
  db.exec(sql)
  db.close()
}

/** As a store whose root key a key service wraps. */
function sealUnder(provider: string, fingerprint: string): void {
  const db = new Database(file('sotto.db'))
  const store = db.prepare<[], string>('SELECT store_id FROM meta').pluck().get() ?? ''
  const wrapped = bindWrap(store, Buffer.from('vault:v1:AAAA'))
  db.prepare('UPDATE root_wrap SET provider = ?, fingerprint = ?, wrapped = ?').run(
    provider,
    fingerprint,
    wrapped,
  )
  db.close()
}

/** What is in the way, what puts it there and gives further settings, and the words that both have for it. */
const cases: readonly (readonly [
  string,
  () => readonly string[] | void | Promise<readonly string[] | void>,
  RegExp,
])[] = [
  ['no state directory', () => rmSync(state, { recursive: true }), /There is no state directory/],
  [
    'a file as the state directory',
    () => {
      rmSync(state, { recursive: true })
      writeFileSync(state, '')
    },
    /is not a directory/,
  ],
  ['a state directory that others can enter', () => chmodSync(state, 0o755), /has mode 0755/],
  [
    'an empty state directory',
    () => {
      for (const name of readdirSync(state)) rmSync(file(name), { recursive: true })
    },
    /there is no such file/,
  ],
  ['an empty database', () => writeFileSync(file('sotto.db'), ''), /it is not a Sotto store/],
  [
    'garbage as the database',
    () => writeFileSync(file('sotto.db'), 'x'.repeat(9000)),
    /not a Sotto store/,
  ],
  [
    'a folder as the database',
    () => {
      for (const name of readdirSync(state).filter((each) => each.startsWith('sotto.db')))
        rmSync(file(name))
      mkdirSync(file('sotto.db'))
    },
    /it is not a Sotto store/,
  ],
  ['a store of a later release', () => schema('PRAGMA user_version = 999'), /found schema 999/],
  ['a store of --dev', () => schema('UPDATE meta SET development = 1'), /was made by --dev/],
  [
    'a restore that was cut short',
    () => {
      rmSync(file('sotto.db'))
      mkdirSync(file('restore.0123abcd.partial'))
    },
    /a restore was cut short/,
  ],
  [
    "another store's key",
    async () => {
      const path = join(scratch.path, `other-${count}.key`)
      await createKeyFile(path)
      return ['--key-file', path]
    },
    /it was sealed under local key/,
  ],
  ['a key that is gone', () => rmSync(file('local.key')), /there is no such file/],
  [
    'a key file that is named and not there',
    () => ['--key-file', file('none')],
    /there is no such file/,
  ],
  [
    'a folder as the key',
    () => {
      rmSync(file('local.key'))
      mkdirSync(file('local.key'), { mode: 0o700 })
    },
    /it is not a regular file/,
  ],
  [
    'garbage as the key',
    () => writeFileSync(file('local.key'), 'garbage'),
    /it is not a Sotto local key/,
  ],
  ['a key that others can read', () => chmodSync(file('local.key'), 0o644), /have rights to it/],
  [
    'a KMS that cannot be reached',
    async () => {
      const fingerprint = await awsKmsProvider({ key: KEY }).fingerprint()
      sealUnder('aws-kms', fingerprint)
      return ['--kms-key', KEY, '--kms-endpoint', 'http://127.0.0.1:1']
    },
    /KMS could not be reached/,
  ],
  [
    'an OpenBao that cannot be reached',
    () => {
      sealUnder('openbao-transit', 'a'.repeat(16))
      writeFileSync(file('token'), 's.abc', { mode: 0o600 })
      const transit = ['--transit-key', 'sotto', '--transit-url', 'http://127.0.0.1:1']
      return [...transit, '--transit-insecure', '--transit-token-file', file('token')]
    },
    /openbao-transit key/,
  ],
  [
    'a log that is gone',
    () => rmSync(file('audit'), { recursive: true }),
    /the log ends at|audit log/,
  ],
  ['a log that was cut', () => rmSync(file(newestSegment())), /audit|log/],
  [
    'a log that was altered',
    () =>
      alter(newestSegment(), (text) =>
        text.replace(/\d(?=Z")/, (digit) => (digit === '1' ? '2' : '1')),
      ),
    /audit log/,
  ],
  [
    'a log of another store',
    () => {
      const id = /"log":"([0-9a-f]{32})"/
      for (const name of readdirSync(file('audit')))
        alter(join('audit', name), (text) => text.replace(id, `"log":"${'0'.repeat(32)}"`))
    },
    /audit|log/,
  ],
  [
    'a file as the folder of the log',
    () => {
      rmSync(file('audit'), { recursive: true })
      writeFileSync(file('audit'), '')
    },
    /audit/,
  ],
  [
    'a store that was rolled back',
    () => {
      for (const ending of ['', '-wal', '-shm']) rmSync(file(`sotto.db${ending}`), { force: true })
      cpSync(earlier, file('sotto.db'))
    },
    /rolled back|log/,
  ],
  [
    'authorities that are none',
    () => {
      writeFileSync(file('ca.pem'), 'none')
      return ['--backend-ca-file', file('ca.pem')]
    },
    /Cannot read certificates of authorities/,
  ],
  [
    'authorities that are not there',
    () => ['--backend-ca-file', file('ca.pem')],
    /there is no such file/,
  ],
  [
    'authorities that others can write',
    () => {
      writeFileSync(file('ca.pem'), makePair([NAME]).certificate)
      chmodSync(file('ca.pem'), 0o666)
      return ['--backend-ca-file', file('ca.pem')]
    },
    /others can write to/,
  ],
  [
    'an address of another machine',
    () => ['--listen', '192.0.2.1:80'],
    /is not an address of this node/,
  ],
]

describe('U7: doctor and server refuse', () => {
  test('nothing of a store that is sound', async () => {
    expect(await failures(settings(state))).toEqual([])
    expect(await refusal(settings(state))).toBeUndefined()
  })

  test('nothing of a store of an earlier release, and doctor leaves it as it is', async () => {
    rmSync(state, { recursive: true })
    cpSync(new URL('../store/golden-7', import.meta.url), state, { recursive: true })
    for (const name of ['.', 'audit', 'local.key']) chmodSync(file(name), 0o700)
    schema('UPDATE meta SET development = 0')
    const before = readFileSync(file('sotto.db'))
    expect(await failures(settings(state))).toEqual([])
    expect(readFileSync(file('sotto.db'))).toEqual(before)
    expect(await refusal(settings(state))).toBeUndefined()
  })

  test('nothing of a store that no server has used', async () => {
    state = join(scratch.path, `state-${count++}`)
    await initialise({ stateDir: state, keyFile: undefined })
    expect(await failures(settings(state))).toEqual([])
    expect(readdirSync(state)).not.toContain('audit')
    expect(await refusal(settings(state))).toBeUndefined()
  })

  test.each(cases)('%s', async (_, make, words) => {
    const args = [...settings(state), ...((await make()) ?? [])]
    // First: the server may change what it refuses in the end.
    const found = await failures(args)
    const refused = await refusal(args)
    expect(refused).toMatch(words)
    expect(found.map(({ message }) => message)).toContain(refused)
  })

  test('a port in use', async () => {
    await using other = createServer((socket) => socket.destroy())
    const port = await bind(other, { host: '127.0.0.1', port: 0 })
    const args = [...settings(state), '--listen', `:${port}`]
    const refused = await refusal(args)
    expect(refused).toBe(`Cannot listen on 127.0.0.1:${port}: something else is listening there`)
    expect((await failures(args)).map(({ message }) => message)).toEqual([refused])
  })

  const behind = (path: string): string[] => [
    ...settings(state).filter((each) => !['--plain-http', '--listen', ':0'].includes(each)),
    '--serve-socket',
    path,
  ]

  test.each<[string, () => Promise<AsyncDisposable | void> | void, RegExp]>([
    ['nothing', () => {}, /^$/],
    [
      'a folder that others can enter',
      () => {
        mkdirSync(file('run'))
        chmodSync(file('run'), 0o755)
      },
      /Others could reach a socket/,
    ],
    [
      'a file in its place',
      () => {
        mkdirSync(file('run'), { mode: 0o700 })
        writeFileSync(file('run/sotto.sock'), '')
      },
      /something else is listening there/,
    ],
    [
      'another program',
      async () => {
        mkdirSync(file('run'), { mode: 0o700 })
        const server = createServer((socket) => socket.destroy())
        await new Promise<void>((resolve) => server.listen(file('run/sotto.sock'), resolve))
        return server
      },
      /something else is listening there/,
    ],
    ['a file in place of its folder', () => writeFileSync(file('run'), ''), /directory/],
  ])('a socket behind a proxy where there is %s', async (_, make, words) => {
    await using undo = new AsyncDisposableStack()
    undo.use((await make()) ?? undefined)
    const args = behind(file('run/sotto.sock'))
    const found = await failures(args)
    const refused = (await refusal(args)) ?? ''
    expect(refused).toMatch(words)
    expect(found.map(({ message }) => message)).toEqual(refused === '' ? [] : [refused])
  })

  test.each([
    ['the key belongs to another certificate', { key: makePair([NAME]).key }, 0o600],
    ['it ended', makePair([NAME], { until: new Date(Date.now() - 1000) }), 0o600],
    ['others than its owner have rights to it', {}, 0o604],
  ])('a certificate where %s', async (words, pair, mode) => {
    const whole = { ...makePair([NAME]), ...pair }
    writeFileSync(file('tls.crt'), whole.certificate)
    writeFileSync(file('tls.key'), whole.key)
    chmodSync(file('tls.key'), mode)
    const plain = settings(state).filter((each) => each !== '--plain-http')
    const args = [...plain, '--tls-cert', file('tls.crt'), '--tls-key', file('tls.key')]
    const found = await failures(args)
    const refused = await refusal(args)
    expect(refused).toContain(words.replace('the key', 'its key'))
    expect(found.map(({ message }) => message)).toEqual([refused])
  })
})

describe('U7: doctor finds what the backups of a server will fail of', () => {
  test.each([
    ['backup', 'a target that is not there', (path: string) => ({ to: join(path, 'none') })],
    [
      'backup',
      'a file as the target',
      (path: string) => {
        writeFileSync(join(path, 'file'), '')
        return { to: join(path, 'file') }
      },
    ],
    [
      'rehearsal',
      'a folder for rehearsals that is not there',
      (path: string) => ({ to: path, rehearse: join(path, 'none') }),
    ],
  ])('%s: %s', async (job, _, make) => {
    using target = temporaryDirectory()
    const { to, rehearse }: { to: string; rehearse?: string } = make(target.path)
    const more = rehearse === undefined ? [] : ['--rehearse-in', rehearse]
    const found = await failures([...settings(state), '--backup-to', to, ...more])
    const place = { kind: 'directory' as const, path: to }
    const rehearsal = { everyMs: 3_600_000, directory: rehearse }
    await using service = await startService({}, { backups: { place, keep: undefined, rehearsal } })
    await service.client().operate('backup-create', {})
    const ended = await service.client().operate('job-run', { Name: job })
    expect(ended.LastResult).toBe('failed')
    expect(found.map(({ message }) => message)).toEqual([ended.LastMessage])
  })
})

describe('U7: what another user made', () => {
  const made: readonly (readonly [string, () => void])[] = [
    ['the store', () => chownSync(file('sotto.db'), 0, 0)],
    ['the key', () => chownSync(file('local.key'), 0, 0)],
    ['the lock', () => chownSync(file('lock'), 0, 0)],
    [
      'the folder of the log',
      () => {
        chownSync(file('audit'), 0, 0)
        chmodSync(file('audit'), 0o755)
      },
    ],
    [
      'an empty folder of the log',
      () => {
        rmSync(file('audit'), { recursive: true })
        mkdirSync(file('audit'), { mode: 0o755 })
        cpSync(join(scratch.path, 'fresh.db'), file('sotto.db'))
        chownSync(file('sotto.db'), SERVER, SERVER)
        chmodSync(file('sotto.db'), 0o600)
      },
    ],
    ['a segment of the log', () => chownSync(file(newestSegment()), 0, 0)],
    ['all of it', () => chownAll(0)],
  ]

  function chownAll(uid: number): void {
    for (const name of ['.', ...readdirSync(state, { recursive: true, encoding: 'utf8' })]) {
      chownSync(file(name), uid, uid)
    }
  }

  beforeAll(async () => {
    const fresh = join(scratch.path, 'fresh')
    await initialise({ stateDir: fresh, keyFile: join(sound, '..', 'fresh.key') })
    cpSync(join(fresh, 'sotto.db'), join(scratch.path, 'fresh.db'))
  })

  test("keeps both the server and doctor from a store that is another user's", async (context) => {
    needRoot(context)
    chmodSync(scratch.path, 0o755)
    chmodSync(join(localApi.path, '..'), 0o755)
    chmodSync(localApi.path, 0o777)
    const commands: { args: string[]; env: object }[] = []
    for (const [what, make] of made) {
      state = join(scratch.path, `made-${count++}`)
      cpSync(sound, state, { recursive: true })
      if (!readdirSync(state).includes('lock')) writeFileSync(file('lock'), '', { mode: 0o600 })
      chownAll(SERVER)
      make()
      const key = what === 'an empty folder of the log' ? ['--key-file', freshKey()] : []
      const args = [...settings(state), ...key]
      commands.push(
        { args: ['doctor', '-o', 'json', ...args], env: {} },
        { args: ['server', ...args], env: {} },
      )
    }
    const script = new URL('../support/run-commands.ts', import.meta.url).pathname
    const { stdout, stderr } = await runNodeAs(SERVER, [script, JSON.stringify(commands)])
    expect(stderr).toBe('')
    const answered = JSON.parse(stdout) as Answered[]
    for (const [index, [what]] of made.entries()) {
      const [doctor, server] = answered.slice(2 * index) as [Answered, Answered]
      const { findings } = JSON.parse(doctor.stdout) as { findings: Finding[] }
      const [found, ...more] = findings.filter((each) => each.state === 'failed')
      const reason = /permission denied|belongs to user/
      expect.soft(server.stderr, what).toMatch(/^sotto: Cannot /m)
      expect.soft(server.stderr, what).toMatch(reason)
      expect.soft(found?.message, what).toMatch(reason)
      expect
        .soft(found?.hint, what)
        .toMatch(/chown|must have the right|Check the disk and the folder/)
      expect.soft(more, what).toEqual([])
      expect.soft(doctor.exit, what).toBe('1')
    }
  })

  function freshKey(): string {
    const path = join(scratch.path, 'fresh.key')
    chownSync(path, SERVER, SERVER)
    return path
  }
})
