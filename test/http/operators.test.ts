/** The operators' socket: who is let in, what they may do there, and what its attackers try. */
import {
  chownSync,
  linkSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { operatorsSocket, viaOperators } from '../../cli/operators-socket.ts'
import { Client } from '../../client/client.ts'
import { secretActions } from '../../client/api/types.ts'
import { Operators } from '../../server/identity/operators.ts'
import type { WrapProof } from '../../server/keys/wraps.ts'
import { inProcess } from '../cli/play.ts'
import { bytes } from '../support/service.ts'
import { runSotto, temporaryDirectory } from '../support/sotto.ts'
import {
  loopbackDoor,
  startOnTailnet,
  type TailnetService,
  userspaceTailscaled,
} from '../support/tailnet-service.ts'

let service: TailnetService
let state: string
const backups = temporaryDirectory()
beforeAll(async () => {
  const localApi = await userspaceTailscaled()
  const place = { kind: 'directory', path: backups.path } as const
  service = await startOnTailnet({
    localApi,
    door: loopbackDoor,
    tailscaled: { userspace: true },
    backups: { place, keep: undefined, rehearsal: undefined },
  })
  state = service.server.state.path
})
afterAll(async () => {
  await service[Symbol.asyncDispose]()
  backups[Symbol.dispose]()
})

/** A client at the socket, as the command line has it. */
function operator(sudoUser?: string): Client {
  const via = viaOperators(operatorsSocket(state) ?? '', sudoUser)
  return new Client({ server: 'http://localhost', via })
}

/** What the server says to one who says `ready` after `make` got the path of the file to make. */
async function said(make: (path: string) => void): Promise<string> {
  const socket = connect({ path: join(state, 'operator.sock'), allowHalfOpen: true })
  const [name] = (await once(socket, 'data')) as [Buffer]
  make(join(state, 'operators', name.toString().slice('sotto '.length, -1)))
  socket.write('ready\n')
  const [answer] = (await once(socket, 'data')) as [Buffer]
  socket.destroy()
  return answer.toString()
}

const newest = () => service.records().at(-1)

test('U4: what cannot be removed of the folder keeps no operator out', async () => {
  const files = join(state, 'operators')
  const [folder, kept, left] = ['a', 'b', 'c'].map((digit) => join(files, digit.repeat(24)))
  mkdirSync(join(folder ?? '', 'within'), { recursive: true })
  writeFileSync(join(files, 'notes'), 'mine')
  symlinkSync('gone', kept ?? '')
  writeFileSync(left ?? '', '')
  const again = new Operators(files)
  expect(again).toBeDefined()
  expect(readdirSync(files).toSorted()).toEqual(['a'.repeat(24), 'notes'])
  expect((await operator().whoami()).User).toMatch(/^operator:/)
  rmSync(folder ?? '', { recursive: true })
  rmSync(join(files, 'notes'))
})

describe('an operator on the host', () => {
  test('is root or the user of the server, as the record and whoami say', async () => {
    const { User, Hostname, Rules } = await operator('alice').whoami()
    const who = process.getuid?.() === 0 ? 'root' : `user ${process.getuid?.()}`
    expect(User).toBe(`operator:${who} (sudo says for alice)`)
    await operator().operate('key-status', {})
    expect(newest()).toMatchObject({
      action: 'keys',
      result: 'ok',
      principal: { hostname: Hostname, ip: '', user: `operator:${who}` },
    })
    expect(Rules).toEqual([
      {
        action: [
          'audit',
          'backup',
          'keys',
          'metrics',
          'mirror',
          'migrate',
          'backends:view',
          'info',
        ],
        secret: ['*'],
      },
    ])
  })

  test('may do what the runbook asks for', async () => {
    const client = operator()
    await client.operate('audit-query', {})
    await client.operate('job-status', {})
    await client.operate('backend-list', {})
    expect(await client.list()).toEqual([])
  })

  test('is at the command line who names no server, or whose files the server has open', async () => {
    const env = { SOTTO_STATE_DIR: state, SUDO_USER: 'bob' }
    const { stdout } = await runSotto(['whoami'], { env })
    expect(stdout).toContain('(sudo says for bob)')
    const keys = await runSotto(['key', 'status', '--state-dir', state])
    expect([keys.code, keys.stdout]).toEqual([0, expect.stringContaining('local')])
    const other = await runSotto(['list'], { env: { SOTTO_STATE_DIR: join(state, 'audit') } })
    expect([other.code, other.stderr]).toEqual([1, expect.stringContaining('set SOTTO_STATE_DIR')])
  })

  test('may neither read nor change a secret', async () => {
    const client = operator()
    const acts = {
      get: () => client.get('prod/a'),
      put: () => client.put('prod/a', bytes('one')),
      'create-version': () => client.createVersion('prod/a', 2, bytes('two')),
      activate: () => client.activate('prod/a', 1),
      delete: () => client.delete('prod/a'),
    }
    expect(new Set([...Object.keys(acts), 'info'])).toEqual(new Set(secretActions))
    for (const [action, act] of Object.entries(acts)) {
      await expect(act(), action).rejects.toMatchObject({
        code: 'denied',
        hint: expect.stringMatching(/ on "prod\/a", .* operator of the host .*: ask from a node/),
      })
      expect(newest()).toMatchObject({ action, result: 'denied', secret: 'prod/a' })
    }
  })

  test('may not decide where values are kept, nor adopt a branch', async () => {
    const client = operator()
    for (const [operation, request] of [
      ['branch-adopt', { Branch: '0123456789abcdef', Confirm: true }],
      ['backend-delete', { Name: 'vault' }],
    ] as const) {
      await expect(client.operate(operation, request as never)).rejects.toMatchObject({
        code: 'denied',
      })
    }
  })
})

describe('V6: while the server serves, an operator on the host', () => {
  const recipient = 'age1x8wrduasc9fdma5yl8saqv075ndlwnrumckm7g4lggwsew4qufcqrl60uz'
  const identity = 'AGE-SECRET-KEY-1Y9T6L290HXPWFFCAD4PF0LTKG3CESDZXWPZ6FSHYPT8D4K7DZ0US3ZHQVM\n'
  const fingerprint = 'c9a53afcf17d894a'
  const env = () => ({ SOTTO_STATE_DIR: state })
  const sotto = (...args: string[]) => inProcess(args, env())
  const states = async (...args: string[]) => {
    const { stdout } = await sotto('key', 'check', '-o', 'json', ...args)
    return (JSON.parse(stdout) as WrapProof[]).map(({ wrap, state: found }) => [
      wrap.provider,
      found,
    ])
  }

  test('adds a recovery key by its recipient, from a file that the server need not read', async () => {
    const path = join(service.scratch, 'recipient.txt')
    writeFileSync(path, `# of the safe\n${recipient}\n`)
    const added = await sotto('key', 'add', 'recovery', '--recipient-file', path)
    expect(added).toMatchObject({ exit: '0', stdout: `Added recovery key ${fingerprint}\n` })
    expect(added.stderr).toMatch(/^The root key is [0-9a-f]{32}: write this down/)
    const who = process.getuid?.() === 0 ? 'root' : `user ${process.getuid?.()}`
    expect(newest()).toMatchObject({
      kind: 'key',
      verb: 'add',
      provider: 'recovery',
      fingerprint,
      principal: { user: `operator:${who}` },
    })
    expect(await sotto('key', 'add', 'recovery', '--recipient', recipient)).toMatchObject({
      exit: '2',
      stderr: `sotto: Cannot add recovery key ${fingerprint}: it opens the store already\n`,
    })
  })

  test('checks the keys of the server, which notes that they were proven', async () => {
    expect(await states()).toEqual([
      ['local', 'proven'],
      ['recovery', 'untried'],
    ])
    const before = (await operator().operate('key-status', {})).Wraps[0]?.Proven ?? ''
    await sotto('key', 'check')
    const after = (await operator().operate('key-status', {})).Wraps[0]?.Proven ?? ''
    expect(after > before).toBe(true)
  })

  test('checks a key that is given here, which no server sees', async () => {
    const path = join(service.scratch, 'identity.txt')
    writeFileSync(path, identity, { mode: 0o600 })
    const count = service.records().length
    expect(await states('--recovery-identity', path)).toEqual([
      ['local', 'proven'],
      ['recovery', 'proven'],
    ])
    expect(service.records()).toHaveLength(count)
    expect((await operator().operate('key-status', {})).Wraps[1]).not.toHaveProperty('Proven')
    rmSync(path)
  })

  test('adds a local key in a file that the server makes, and removes it; the store opens with it', async () => {
    const path = join(service.scratch, 'second.key')
    const added = await sotto('key', 'add', 'local', '--new-key-file', path)
    const [, second = ''] = /^Added local key ([0-9a-f]{16})\n$/.exec(added.stdout) ?? []
    expect(added.stderr).toContain(`Made the key file "${path}"\n`)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect((await sotto('key', 'check', '--key-file', path)).stdout).toContain(`${second} proven`)
    expect(await sotto('key', 'remove', 'local')).toMatchObject({
      exit: '3',
      stderr: expect.stringContaining('2 keys of this store have the provider "local"') as string,
    })
    expect(await sotto('key', 'remove', second)).toMatchObject({
      exit: '0',
      stdout: `Removed local key ${second}\n`,
    })
    // A job may have recorded something since.
    const ofKeys = service.records().filter(({ kind }) => kind === 'key')
    expect(ofKeys.at(-1)).toMatchObject({ verb: 'remove', fingerprint: second })
  })

  test('is told what is wrong with a key, as on the files', async () => {
    for (const [args, why] of [
      [['local'], 'key add local needs --new-key-file'],
      [['aws-kms'], 'key add aws-kms needs --kms-key or --new-kms-key'],
      [['openbao-transit', '--new-transit-key', 'k'], '--transit-key needs --transit-url'],
      [
        ['recovery', '--recipient', 'age1x'],
        'Cannot wrap to the recovery key "age1x": it is not a recipient',
      ],
      [['gpg'], 'There is no key provider "gpg"'],
    ] as const) {
      const { exit, stderr } = await sotto('key', 'add', ...args)
      expect(exit, args.join(' ')).not.toBe('0')
      expect(stderr).toContain(why)
    }
  })

  test('makes a backup where the settings say, and is told so where another place is named', async () => {
    const made = await sotto('backup', 'create')
    expect(made).toMatchObject({ exit: '0', stderr: '' })
    const [name] = made.stdout.split(': ')
    expect(readdirSync(backups.path)).toContain(name)
    const elsewhere = await sotto('backup', 'create', '--to', service.scratch)
    expect(elsewhere).toMatchObject({
      exit: '1',
      stderr: expect.stringContaining('leave --to out. Or stop it first.') as string,
    })
  })

  test('reaches it also by the state directory of the configuration file', async () => {
    const path = join(service.scratch, 'config.yaml')
    writeFileSync(path, `state-dir: ${state}\n`)
    const { exit, stdout } = await inProcess(['key', 'status', '--config', path], {})
    expect([exit, stdout]).toEqual(['0', expect.stringContaining(fingerprint)])
    expect(await inProcess(['key', 'check', '--config', path], {})).toMatchObject({ exit: '0' })
  })
})

describe('the socket and its directory', () => {
  test('are of the owner alone', () => {
    expect(statSync(join(state, 'operator.sock')).mode & 0o777).toBe(0o600)
    expect(statSync(join(state, 'operators')).mode & 0o777).toBe(0o700)
  })

  test('keep nothing of a proof', async () => {
    await operator().whoami()
    expect(readdirSync(join(state, 'operators'))).toEqual([])
  })
})

describe('refused, and recorded, is', () => {
  const refusals: Record<string, [make: (path: string) => void, why: string]> = {
    'who makes no file': [() => {}, 'it did not make the file that was asked for'],
    'a file of another user': [
      (path) => {
        writeFileSync(path, '')
        chownSync(path, 65_534, 65_534)
      },
      'it is of user 65534',
    ],
    'a symbolic link': [(path) => symlinkSync('/etc/hostname', path), 'not a file of its own'],
    'a hard link': [
      (path) => {
        const other = join(state, 'operators', 'other')
        writeFileSync(other, '')
        linkSync(other, path)
        rmSync(path.replace(/[^/]+$/, 'unused'), { force: true })
      },
      'not a file of its own',
    ],
    'a directory': [(path) => mkdirSync(path), 'not a file of its own'],
    'a name that another connection was given': [
      (path) => writeFileSync(`${path.slice(0, -24)}${'0'.repeat(24)}`, ''),
      'it did not make the file that was asked for',
    ],
  }
  test.each(Object.entries(refusals))('%s', async (_, [make, why]) => {
    expect(await said(make)).toContain(why)
    const recorded = { kind: 'unidentified', reason: expect.stringContaining(why) }
    // The second of the same reason within a minute is counted.
    await expect.poll(() => service.records()).toContainEqual(expect.objectContaining(recorded))
  })

  test('HTTP without a proof', async () => {
    const socket = connect(join(state, 'operator.sock'))
    await once(socket, 'data')
    socket.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n')
    const [answer] = (await once(socket, 'data')) as [Buffer]
    expect(answer.toString()).toMatch(/^refused: /)
  })

  test('a client whose directory is in the way, before it says anything', async () => {
    const path = join(state, 'operators')
    rmSync(path, { recursive: true })
    writeFileSync(path, '')
    await expect(operator().whoami()).rejects.toMatchObject({
      code: 'local',
      message: expect.stringMatching(
        /^Cannot make a file in ".*operators": a part of the path is not a directory$/,
      ) as string,
    })
    rmSync(path)
    mkdirSync(path, { mode: 0o700 })
    await operator().whoami()
  })

  test('D3: a server that would have its caller prove to another server who it is', async () => {
    const [theirs, name] = [join(service.scratch, 'theirs'), 'd'.repeat(24)]
    mkdirSync(theirs, { mode: 0o700 })
    symlinkSync(join(state, 'operators'), join(theirs, 'operators'))
    const relay = createServer((socket) => void socket.write(`sotto ${name}\n`))
    await once(relay.listen(join(theirs, 'operator.sock')), 'listening')
    const via = viaOperators(operatorsSocket(theirs) ?? '', undefined)
    await expect(new Client({ server: 'http://localhost', via }).whoami()).rejects.toMatchObject({
      code: 'unidentified',
      message: expect.stringContaining('its folder for files is a link') as string,
    })
    expect(readdirSync(join(state, 'operators'))).not.toContain(name)
    relay.close()
  })
})

test.each([
  ['accepts and is silent', ''],
  ['begins to speak', 'sotto '],
  ['asks for a proof and is silent', `sotto ${'e'.repeat(24)}\n`],
])('D7: a program ends whose server %s', async (_, words) => {
  using scratch = temporaryDirectory()
  mkdirSync(join(scratch.path, 'operators'), { mode: 0o700 })
  const open = new Set<Socket>()
  const silent = createServer((socket) => {
    open.add(socket.on('error', () => {}))
    socket.write(words)
  })
  await once(silent.listen(join(scratch.path, 'operator.sock')), 'listening')
  const env = { SOTTO_STATE_DIR: scratch.path }
  const { code, stderr } = await runSotto(['whoami', '--timeout', '100ms'], { env })
  expect([code, stderr]).toEqual([6, expect.stringContaining('no answer from the operators')])
  for (const socket of open) socket.destroy()
  silent.close()
})

test('a server starts also where its operators cannot come in, and says so', async () => {
  const localApi = await userspaceTailscaled()
  await using other = await startOnTailnet({
    localApi,
    door: (directory) => {
      writeFileSync(join(directory, 'state/operators'), '')
      return loopbackDoor
    },
    tailscaled: { userspace: true },
  })
  expect(other.said.join('\n')).toContain(
    'warn: operators of this host cannot call: Cannot make the directory',
  )
  expect(operatorsSocket(join(other.scratch, 'state'))).toBeUndefined()
})

test('who is slow is refused, and so is who comes while too many are', async () => {
  using scratch = temporaryDirectory()
  const alarms: (() => void)[] = []
  const timers = {
    now: () => 0,
    after: (_: number, act: () => void) => {
      alarms.push(act)
      return () => {}
    },
  }
  const operators = new Operators(join(scratch.path, 'operators'), timers)
  const ends: Promise<unknown>[] = []
  const server = createServer((socket) => {
    ends.push(operators.prove(socket).catch((error: unknown) => error))
  })
  const path = join(scratch.path, 'socket')
  await new Promise<void>((listening) => server.listen(path, listening))
  const sockets: Socket[] = []
  for (let count = 0; count < 17; count++) {
    const socket = connect(path).on('error', () => {})
    await once(socket, 'data')
    sockets.push(socket)
  }
  expect(await ends[16]).toMatchObject({ code: 'overloaded' })
  for (const alarm of alarms.splice(0)) alarm()
  for (const end of ends.slice(0, 16)) {
    expect(await end).toMatchObject({
      code: 'unidentified',
      message: expect.stringContaining('it took more than 5000 ms'),
    })
  }
  for (const socket of sockets) socket.destroy()
  await new Promise((closed) => server.close(closed))
})
