/** `sotto import dotenv`, `json`, `yaml`, `k8s`, `sops` and `openbao` into a real server. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { deposit } from '../../cli/handlers/import/deposit.ts'
import { Side } from '../../cli/handlers/import/side.ts'
import type { Io } from '../../cli/terminal/io.ts'
import { run } from '../../cli/run.ts'
import { startScripted } from '../support/scripted.ts'
import { bytes, type Service, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'

/** Found in no output, whatever happens. */
const CANARY = 'canary-19bf'

let service: Service
const folder = temporaryDirectory()
let scope: string
let tests = 0

beforeAll(async () => {
  service = await startService()
})

beforeEach(() => {
  scope = `test-${++tests}/`
})

afterAll(async () => {
  await service[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

interface Ended {
  readonly exit: number
  /** The rows of the table, without the head and with one space between cells. */
  readonly rows: string[]
  readonly stdout: string
  readonly stderr: string
}

/** Imports `text` in this process; `seen` gets each write to stderr, and what a Ctrl-C calls. */
async function importing(
  kind: string,
  text: string,
  args: readonly string[] = [],
  {
    env = {},
    isTTY = false,
    from = '127.0.0.1',
    seen = (_text: string, _press: () => void): void => {},
  } = {},
): Promise<Ended> {
  const file = join(folder.path, `file-${tests}`)
  writeFileSync(file, text)
  let press = (): void => {}
  const said = { stdout: '', stderr: '' }
  const output = (name: keyof typeof said) => ({
    isTTY: isTTY && name === 'stderr',
    write: async (data: string | Uint8Array) => {
      said[name] += String(data)
      if (name === 'stderr') seen(String(data), press)
    },
  })
  const io: Io = {
    stdin: { isTTY: false, chunks: async function* none() {} },
    stdout: output('stdout'),
    stderr: output('stderr'),
    now: Date.now,
    onInterrupt: (act) => {
      press = () => act('SIGINT')
      return { [Symbol.dispose]: () => {} }
    },
  }
  const path = kind === 'openbao' ? text : file
  const argv = ['import', kind, path, '-s', service.url, '--local-address', from]
  const exit = await run([...argv, '--prefix', scope, ...args], io, env)
  expect(said.stdout + said.stderr).not.toContain(CANARY)
  const rows = said.stdout.replaceAll(scope, '').split('\n')
  return { exit, rows: rows.slice(1, -1).map((row) => row.replace(/ +/g, ' ')), ...said }
}

/** The secrets of this test, as the owner reads them: the active value, and the versions. */
async function contents(): Promise<Record<string, readonly [string, readonly number[]]>> {
  const client = service.client()
  const list = (await client.list()).filter(({ Name }) => Name.startsWith(scope))
  const read = list.map(async ({ Name, Versions }) => {
    const { Value } = await client.get(Name)
    return [Name.replace(scope, ''), [Buffer.from(Value).toString(), Versions]] as const
  })
  return Object.fromEntries(await Promise.all(read))
}

const puts = (): string[] =>
  service
    .records()
    .filter(({ kind, action, secret }) => {
      return kind === 'change' && action === 'put' && String(secret).startsWith(scope)
    })
    .map(({ secret }) => String(secret))

test('new, same, changed and refused, each in its row', async () => {
  await service.client().put(`${scope}SAME`, bytes(CANARY))
  await service.client().put(`${scope}CHANGED`, bytes('old'))
  const text = `NEW=${CANARY}\nSAME=${CANARY}\nCHANGED='${CANARY}'\nBAD=${CANARY}#x\nEMPTY=\nodd\n`
  const ended = await importing('dotenv', text)
  expect(ended.rows).toEqual([
    'NEW new version 1',
    'SAME same version 1',
    'CHANGED changed version 2, not active',
    'BAD REFUSED line 4: it has a # without a blank before it: put it in quotes',
    'EMPTY REFUSED line 5: its value is empty: --empty-ok takes it',
    'line 6 REFUSED it is not NAME=VALUE',
  ])
  expect(ended.stderr).toBe(`Of 6 secrets: 1 new, 1 changed, 1 same, 3 refused.
Versions that are not active: 1. Activate each, or run this again with --activate.
sotto: 3 of 6 secrets were refused or failed; the table says why
hint: Fix that and run the same command again: what is there is not written again.
`)
  expect(ended.exit).toBe(1)
  expect(await contents()).toEqual({
    NEW: [CANARY, [1]],
    SAME: [CANARY, [1]],
    CHANGED: ['old', [1, 2]],
  })
})

test('again, nothing is written; --activate activates what a run before left', async () => {
  await service.client().put(`${scope}A`, bytes('old'))
  const text = `A=${CANARY}\nB=${CANARY}\n`
  expect((await importing('dotenv', text)).rows).toEqual([
    'A changed version 2, not active',
    'B new version 1',
  ])
  expect(await importing('dotenv', text)).toMatchObject({
    rows: ['A same version 2, not active', 'B same version 1'],
    exit: 0,
  })
  expect((await importing('dotenv', text, ['--activate'])).rows).toEqual([
    'A same version 2',
    'B same version 1',
  ])
  expect(await contents()).toEqual({ A: [CANARY, [1, 2]], B: [CANARY, [1]] })
})

test('a dry run compares, and writes nothing', async () => {
  await service.client().put(`${scope}A`, bytes(CANARY))
  await service.client().put(`${scope}B`, bytes('old'))
  const before = puts()
  const text = `A=${CANARY}\nB=${CANARY}\nC=${CANARY}\n`
  const ended = await importing('dotenv', text, ['--dry-run'])
  expect(ended.rows).toEqual(['A same version 1', 'B changed', 'C new'])
  expect(ended.stderr).toBe('Of 3 secrets: 1 new, 1 changed, 1 same.\nNothing was written.\n')
  expect(ended.exit).toBe(0)
  expect(puts()).toEqual(before)
})

test('who may put and not read is told what can be known', async () => {
  await service.client().put('team/x/A', bytes('old'))
  const args = ['--prefix', 'team/x/']
  const dry = await importing('dotenv', `A=${CANARY}\n`, [...args, '--dry-run'], {
    from: '127.0.0.3',
  })
  expect(dry.stdout).toMatch(/team\/x\/A +new or changed +no rule allows to compare it/)
  const ended = await importing('dotenv', `A=${CANARY}\n`, args, { from: '127.0.0.3' })
  expect(ended.stdout).toMatch(/team\/x\/A +changed +version 2, not active/)
  const denied = await importing('dotenv', `A=${CANARY}\n`, [], { from: '127.0.0.3' })
  expect(denied).toMatchObject({ rows: ['A REFUSED line 1: no rule allows put on it'], exit: 1 })
})

test('with -o json a program reads the same', async () => {
  const { stdout, stderr, exit } = await importing('json', `{"a":"${CANARY}","b":null}`, [
    '-o',
    'json',
  ])
  expect(JSON.parse(stdout)).toEqual({
    destination: service.url,
    dryRun: false,
    interrupted: false,
    secrets: [
      { name: `${scope}a`, line: 1, outcome: 'new', version: 1, active: true },
      { name: `${scope}b`, line: 1, outcome: 'refused', reason: 'it has no value' },
    ],
  })
  expect(JSON.parse(stderr)).toMatchObject({ code: 'import_incomplete' })
  expect(exit).toBe(1)
})

test('names that Sotto gives nobody, and values that no request holds, are refused', async () => {
  const text = JSON.stringify({ 'a\nb': 'x', large: 'x'.repeat(2 * 1024 * 1024), ok: 'x' })
  const { rows, exit } = await importing('json', text)
  expect(rows).toEqual([
    'a\\u000ab REFUSED line 1: Sotto gives no such name: it has control characters',
    expect.stringMatching(
      /^large REFUSED line 1: it has 2097152 bytes, and a request to Sotto holds \d+$/,
    ),
    'ok new version 1',
  ])
  expect(exit).toBe(1)
})

test.each([
  ['dotenv', '# nothing\n', 'Cannot import: there is nothing in it'],
  ['json', `{"a": ${CANARY}}`, 'it is not JSON'],
  ['yaml', `a: ${CANARY}: b`, 'line 1: it has a colon too many'],
  ['k8s', `a: ${CANARY}`, 'there is no Secret in it'],
])('%s that is none writes nothing: %j', async (kind, text, why) => {
  const ended = await importing(kind, text)
  expect(ended.stderr).toContain(why)
  expect({ exit: ended.exit, contents: await contents() }).toEqual({ exit: 1, contents: {} })
})

test('1,000 secrets, interrupted twice: each is written once', { timeout: 240_000 }, async () => {
  const names = Array.from({ length: 1000 }, (_, at) => `K${at}`)
  const items = names.map((name) => ({ name, value: bytes(`${CANARY}-${name}`) }))
  const { signal } = new AbortController()
  const destination = new Side('destination', service.client(), { signal })
  const rest = { items, prefix: scope, destination, activate: false, emptyOk: false, dryRun: false }
  for (const share of [200, 500, 1000]) {
    let reached = 0
    const halted = () => reached >= share
    const { deposits } = await deposit({ ...rest, halted, progress: (done) => (reached = done) })
    const unfinished = deposits.filter(({ outcome }) => outcome === 'unfinished').length
    // Those under way are finished.
    expect(unfinished).toBeLessThanOrEqual(1000 - share)
    expect(unfinished).toBeGreaterThan(1000 - share - 8)
  }
  const found = Object.entries(await contents())
  expect(found).toHaveLength(1000)
  for (const [name, content] of found) expect(content).toEqual([`${CANARY}-${name}`, [1]])
})

test('Ctrl-C finishes what is under way, and says how to continue', async () => {
  const text = Array.from({ length: 100 }, (_, at) => `K${at}=${CANARY}\n`).join('')
  let pressed = false
  const ended = await importing('dotenv', text, [], {
    isTTY: true,
    seen: (_, press) => {
      if (pressed) return
      pressed = true
      press()
    },
  })
  expect(ended.exit).toBe(130)
  expect(ended.rows.filter((row) => row.includes('not done')).length).toBeGreaterThan(80)
  expect(ended.stderr).toContain('To finish it, run the same command again.')
  expect(await importing('dotenv', text)).toMatchObject({ exit: 0 })
  expect(Object.keys(await contents())).toHaveLength(100)
})

test('a server that goes away ends the run, and says what is left', async () => {
  await using other = await startService()
  const names = Array.from({ length: 300 }, (_, at) => `K${at}=${CANARY}\n`)
  let stopped: Promise<void> | undefined
  const args = ['-s', other.url]
  const ended = await importing('dotenv', names.join(''), args, {
    isTTY: true,
    seen: (line) => {
      if (/(\d+) of 300/.test(line)) stopped ??= other.server.stop()
    },
  })
  await stopped
  expect(ended.stdout).toMatch(/not done/)
  expect(ended.stderr).toMatch(/At the destination: /)
  expect([2, 6]).toContain(ended.exit)
})

describe('sops', () => {
  test('that is not installed is named', async () => {
    const env = { PATH: folder.path }
    expect(await importing('sops', 'x', [], { env })).toMatchObject({
      stderr: expect.stringContaining('Cannot decrypt: sops is not installed') as string,
      exit: 1,
    })
  })

  test('that fails says why, in its own words', async () => {
    const bin = join(folder.path, 'bin')
    mkdirSync(bin)
    writeFileSync(join(bin, 'sops'), '#!/bin/sh\necho "no key" >&2\nexit 128\n')
    chmodSync(join(bin, 'sops'), 0o755)
    const env = { PATH: `${bin}:${process.env['PATH']}` }
    const ended = await importing('sops', 'x', [], { env })
    expect(ended.stderr).toMatch(/^sops: no key\nsotto: Cannot decrypt ".*": sops failed\n/)
    expect(ended.exit).toBe(1)
  })
})

describe('openbao', () => {
  const json = (data: object, status = 200) => ({
    status,
    body: JSON.stringify({ request_id: 'x', data }),
  })
  const none = { status: 404, body: '{"errors":[]}' }

  /** An OpenBao with a KV engine of that version at `secret`. */
  const engine = (version: '1' | '2') =>
    startScripted(({ url }) => {
      const path = url.replace('/v1/', '')
      const mount = { path: 'secret/', type: 'kv', options: { version } }
      if (path.startsWith('sys/internal/ui/mounts/')) return json(mount)
      const kv2 = version === '2'
      const at = (kind: string, rest: string): string => `secret/${kv2 ? `${kind}/` : ''}${rest}`
      if (path === `${at('metadata', 'app')}?list=true`) {
        return json({ keys: ['db', 'sub/', 'gone', 'denied', 'a b'] })
      }
      if (path === `${at('metadata', 'app/sub')}?list=true`) return json({ keys: ['x'] })
      if (path === at('data', 'app/denied')) {
        return {
          status: 403,
          body: '{"errors":["1 error occurred:\\n\\t* permission denied\\n\\n"]}',
        }
      }
      const held: Record<string, object> = {
        'app/db': { user: 'u', password: CANARY, port: 5432, on: true, list: ['x'] },
        'app/sub/x': { value: CANARY },
      }
      const found = Object.entries(held).find(([each]) => path === at('data', each))?.[1]
      if (found === undefined) return none
      return json(kv2 ? { data: found, metadata: { version: 1 } } : found)
    })

  test.each(['1', '2'] as const)('KV %s: each field of each secret', async (version) => {
    await using bao = await engine(version)
    const env = { BAO_ADDR: bao.url, BAO_TOKEN: 'token-of-this-test' }
    const ended = await importing('openbao', 'secret/app', [], { env })
    expect(ended.rows.toSorted()).toEqual([
      'a b REFUSED a character of its path needs an escape',
      'db/list REFUSED it is not a text',
      'db/on new version 1',
      'db/password new version 1',
      'db/port new version 1',
      'db/user new version 1',
      'denied REFUSED OpenBao does not let it be read',
      'sub/x/value new version 1',
    ])
    expect(ended.exit).toBe(1)
    expect(await contents()).toMatchObject({
      'db/port': ['5432', [1]],
      'db/on': ['true', [1]],
      'sub/x/value': [CANARY, [1]],
    })
    expect(ended.stderr).not.toContain('token-of-this-test')
  })

  test.each([
    [1, 'has a path that is too long', /its path is too long/],
    [5000, 'is refused', /Cannot import "secret": there are more than 100000 paths below it/],
  ])('a list without an end, of %d folders each, %s', async (folders, _what, words) => {
    await using bao = await startScripted(({ url }) => {
      if (url.includes('/mounts/'))
        return json({ path: 'secret/', type: 'kv', options: { version: '2' } })
      if (!url.endsWith('?list=true')) return none
      return json({ keys: Array.from({ length: folders }, (_, at) => `more-${at}/`) })
    })
    const env = { BAO_ADDR: bao.url, BAO_TOKEN: 'x' }
    const ended = await importing('openbao', 'secret', [], { env })
    expect(ended.stdout + ended.stderr).toMatch(words)
    expect(ended.exit).not.toBe(0)
    expect(await contents()).toEqual({})
  })

  test('what is needed is named', async () => {
    const env = { BAO_ADDR: 'http://127.0.0.1:1' }
    expect((await importing('openbao', 'secret')).stderr).toContain(
      'No address of OpenBao is given',
    )
    expect((await importing('openbao', 'secret', [], { env })).stderr).toContain(
      'No token of OpenBao',
    )
    const all = { ...env, VAULT_TOKEN: 'x' }
    expect(await importing('openbao', 'secret', [], { env: all })).toMatchObject({ exit: 2 })
    expect((await importing('openbao', 'a b', [], { env: all })).stderr).toContain('not a path')
  })
})
