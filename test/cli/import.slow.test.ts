/** `sotto import setec` between two real servers; test/interop/import.test.ts has a real setec. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Report, runImport } from '../../cli/handlers/import/importer.ts'
import { Side } from '../../cli/handlers/import/side.ts'
import type { Io } from '../../cli/terminal/io.ts'
import { run } from '../../cli/run.ts'
import { SottoError } from '../../client/api/errors.ts'
import { type Client, ServerError } from '../../client/client.ts'
import { scripted } from '../client/scripted.ts'
import { TestProcess } from '../support/process.ts'
import { cli } from '../support/sotto.ts'
import { bytes, everything, fourCallers, type Service, startService } from '../support/service.ts'

/** Found in no output, whatever happens. */
const CANARY = 'canary-5f0d'

let source: Service
let destination: Service
/** What the names of each test begin with; `importing` leaves it out of what it resolves with. */
let scope: string
let tests = 0

beforeAll(async () => {
  ;[source, destination] = await Promise.all([startService(), startService()])
})

beforeEach(() => {
  scope = `test-${++tests}/`
})

afterAll(async () => {
  await Promise.all([source[Symbol.asyncDispose](), destination[Symbol.asyncDispose]()])
})

interface Ended {
  readonly exit: number
  /** The rows of the table, without the head and with one space between cells. */
  readonly rows: string[]
  readonly stdout: string
  readonly stderr: string
}

/** Runs the command in this process; `seen` gets each write to stderr, and what a Ctrl-C calls. */
async function importing(
  args: readonly string[] = [],
  { from = source.url, isTTY = false, seen = (_text: string, _press: () => void): void => {} } = {},
): Promise<Ended> {
  let press = (): void => {}
  const said = { stdout: '', stderr: '' }
  const output = (name: keyof typeof said) => ({
    isTTY: isTTY && name === 'stderr',
    write: async (data: string | Uint8Array) => {
      said[name] += String(data)
      if (name === 'stderr') seen(String(data), press)
    },
  })
  let now = 0
  const io: Io = {
    stdin: { isTTY: false, chunks: async function* none() {} },
    stdout: output('stdout'),
    stderr: output('stderr'),
    now: () => (now += 1000),
    onInterrupt: (act) => {
      press = () => act('SIGINT')
      return { [Symbol.dispose]: () => {} }
    },
  }
  const only = args.includes('--only') ? [] : ['--only', `${scope}*`]
  const argv = ['import', 'setec', '--from', from, '-s', destination.url, ...only, ...args]
  const exit = await run(argv, io, {})
  expect(said.stdout + said.stderr).not.toContain(CANARY)
  const stdout = said.stdout.replaceAll(scope, '')
  const rows = stdout.split('\n').map((row) => row.replace(/ +/g, ' '))
  return { exit, rows: rows.slice(1, -1), stdout, stderr: said.stderr.replaceAll(scope, '') }
}

/** The import itself, with clients that a test had its hands on and no waiting between attempts. */
async function imported(
  from: Client,
  to: Client,
  {
    signal = new AbortController().signal,
    except = [],
  }: { signal?: AbortSignal; except?: readonly string[] } = {},
): Promise<Report> {
  const pace = { signal, wait: async () => {} }
  const report = await runImport({
    source: new Side('source', from, pace),
    destination: new Side('destination', to, pace),
    only: `${scope}*`,
    except,
    dryRun: false,
    halted: () => false,
    progress: () => {},
  })
  const results = report.results.map((each) => ({ ...each, name: each.name.replace(scope, '') }))
  return { ...report, results }
}

/** The secrets of this test with their values, as the owner reads them. */
async function contents(service: Service): Promise<Record<string, unknown>> {
  const client = service.client()
  const list = (await client.list()).filter(({ Name }) => Name.startsWith(scope))
  const entries = list.map(async ({ Name, Versions, ActiveVersion }) => {
    const values = Versions.map(async (version) => [
      version,
      Buffer.from((await client.getVersion(Name, version)).Value).toString(),
    ])
    return [
      Name.replace(scope, ''),
      { active: ActiveVersion, ...Object.fromEntries(await Promise.all(values)) },
    ]
  })
  return Object.fromEntries(await Promise.all(entries)) as Record<string, unknown>
}

/** Gives a secret these versions, and makes `active` the active one. */
async function give(
  name: string,
  versions: readonly number[],
  active: number,
  to: Service = source,
): Promise<void> {
  const client = to.client()
  for (const version of versions) {
    await client.createVersion(scope + name, version, bytes(`${CANARY} ${name} ${version}`))
  }
  await client.activate(scope + name, active)
}

/** The changes of this test by the audit log of a server, in order. */
function changes(service: Service): string[] {
  return service
    .records()
    .filter(({ kind, secret }) => kind === 'change' && String(secret).startsWith(scope))
    .map(
      ({ action, secret, secretVersion }) =>
        `${String(action)} ${String(secret).replace(scope, '')} ${String(secretVersion)}`,
    )
}

describe('what comes over', () => {
  test('versions, their numbers with holes, the active one, and empty values', async () => {
    await give('holes', [2, 5, 9], 5)
    await give('one', [1], 1)
    await source.client().put(`${scope}empty`, new Uint8Array(0))
    const ended = await importing()
    expect(ended.rows).toEqual([
      'empty imported added 1; active 1',
      'holes imported added 2,5,9; active 5',
      'one imported added 1; active 1',
    ])
    expect(ended.stderr).toMatch(
      /^Of 3 secrets: 3 imported\.\nVersions whose values are equal on both, by digest: 5\.\nEach value [^]*Clients are switched by setting SETEC_SERVER to /,
    )
    expect(ended.exit).toBe(0)
    expect(await contents(destination)).toEqual(await contents(source))
  })

  test('the active version is written first and set again at the end', async () => {
    await give('a', [1, 2, 3, 4], 3)
    await importing()
    expect(changes(destination)).toEqual([
      'create-version a 3',
      'create-version a 4',
      'create-version a 1',
      'create-version a 2',
      'activate a 3',
    ])
  })

  test('a second run writes nothing', async () => {
    await give('a', [1, 2, 3], 2)
    await importing()
    const before = changes(destination)
    expect(before).toHaveLength(4)
    expect(await importing()).toMatchObject({ exit: 0, rows: ['a already there'] })
    expect(changes(destination)).toEqual(before)
  })

  test('a second run brings what changed: versions, the active one, new secrets', async () => {
    await give('a', [1, 2], 2)
    await give('b', [1, 2], 2)
    await importing()
    await give('a', [4], 4)
    await source.client().activate(`${scope}b`, 1)
    await give('c', [1], 1)
    expect((await importing()).rows).toEqual([
      'a imported added 4; active 4',
      'b imported active 1',
      'c imported added 1; active 1',
    ])
    expect(await contents(destination)).toEqual(await contents(source))
  })

  test('--only brings the names that match', async () => {
    await give('prod/a', [1], 1)
    await give('dev/a', [1], 1)
    expect(await importing(['--only', `${scope}prod/*`])).toMatchObject({ exit: 0 })
    expect(Object.keys(await contents(destination))).toEqual(['prod/a'])
    expect(await importing(['--only', 'prdo/*'])).toMatchObject({
      exit: 3,
      stderr: `sotto: ${source.url} shows no secret that matches "prdo/*"\nhint: It shows those that its rules allow you info on.\n`,
    })
  })

  test('a dry run reads no value and writes nothing', async () => {
    await give('a', [1, 3], 1)
    await give('b', [1], 1)
    await give('b', [1], 1, destination)
    const reads = () => source.records().filter(({ action }) => action === 'get').length
    const before = reads()
    expect(await importing(['--dry-run'])).toMatchObject({
      exit: 0,
      rows: ['a to import adds 1,3; active 1', 'b already there'],
    })
    expect(changes(destination)).toEqual(['create-version b 1'])
    expect(reads()).toBe(before)
  })

  test('with -o json a program reads the same', async () => {
    await give('a', [1, 3], 1)
    await give('mine', [1], 1, destination)
    const { stdout, stderr, exit } = await importing(['-o', 'json'])
    expect(JSON.parse(stdout)).toEqual({
      source: source.url,
      destination: destination.url,
      dryRun: false,
      interrupted: false,
      compared: 2,
      others: ['mine'],
      secrets: [
        { name: 'a', outcome: 'imported', versions: [1, 3], active: 1, added: [1, 3], own: [] },
      ],
    })
    expect({ stderr, exit }).toEqual({ stderr: '', exit: 0 })
  })

  test('on a terminal it shows how far it is, and clears that', async () => {
    await give('a', [1], 1)
    await give('b', [1], 1)
    const { stderr } = await importing([], { isTTY: true })
    expect(stderr).toMatch(
      /^\rcopying 1 of 2 secrets\rcopying 2 of 2 secrets\r(comparing 1 of 2 secrets\r)?comparing 2 of 2 secrets\r {24}\rOf 2 secrets/,
    )
  })
})

describe('R10: --except', () => {
  const except = (...names: readonly string[]) =>
    names.flatMap((name) => ['--except', `${scope}${name}`])

  test('leaves out what matches one of them, and says so in the plan and at the end', async () => {
    for (const name of ['a', 'odd/1', 'odd/2', 'old']) await give(name, [1, 3], 1)
    const planned = await importing(['--dry-run', ...except('odd/*', 'old')])
    expect(planned.rows).toEqual([
      'a to import adds 1,3; active 1',
      'odd/1 left out',
      'odd/2 left out',
      'old left out',
    ])
    expect(planned.stderr).toMatch(/^Of 4 secrets: 1 to import, 3 left out\.\n/)
    const ended = await importing(except('odd/*', 'old'))
    expect(ended.rows).toEqual(['a imported added 1,3; active 1', ...planned.rows.slice(1)])
    expect(ended.stderr).toMatch(/^Of 4 secrets: 1 imported, 3 left out\.\n/)
    expect(ended.exit).toBe(0)
    expect(Object.keys(await contents(destination))).toEqual(['a'])
    const { stdout } = await importing(['-o', 'json', ...except('o*')])
    expect((JSON.parse(stdout) as { secrets: object[] }).secrets).toContainEqual({
      name: 'old',
      outcome: 'left-out',
      versions: [1, 3],
      active: 1,
      added: [],
      own: [],
    })
  })

  test('leaves out a name that Sotto does not give, so that the run ends with 0', async () => {
    await give('a', [1], 1)
    const real = source.client()
    const listing = Object.assign(source.client(), {
      list: async () => [
        ...(await real.list()),
        { Name: `${scope}tab\there`, Versions: [1], ActiveVersion: 1 },
      ],
    })
    expect((await imported(listing, destination.client())).results).toMatchObject([
      { name: 'a', outcome: 'imported' },
      { name: 'tab\there', outcome: 'failed' },
    ])
    const without = await imported(listing, destination.client(), { except: [`${scope}tab*`] })
    expect(without.results).toMatchObject([
      { name: 'a', outcome: 'there' },
      { name: 'tab\there', outcome: 'left-out' },
    ])
  })

  test('is refused where it leaves out nothing, or everything, before anything is written', async () => {
    await give('a', [1], 1)
    const none = await importing(except('a', 'typo'))
    expect(none).toMatchObject({ exit: 3, stdout: '' })
    expect(none.stderr).toContain(' shows no secret that --except "typo" would leave out\n')
    const all = await importing(except('*'))
    expect(all).toMatchObject({ exit: 3, stdout: '' })
    expect(all.stderr).toContain(' shows no secret that --except does not leave out\n')
    expect(await contents(destination)).toEqual({})
  })

  test('what only the destination has is not counted where it matches', async () => {
    for (const name of ['a', 'b']) await give(name, [1], 1)
    for (const name of ['mine', 'b/mine']) await give(name, [1], 1, destination)
    const { stderr } = await importing(except('b*'))
    expect(stderr).toContain('does not show: 1. They were left alone.')
  })
})

describe('what is left alone', () => {
  const conflict = 'a FAILED version 1 has another value at the destination'

  test('a version that has another value is told, and nothing of its secret is written', async () => {
    await give('a', [1, 2], 2)
    await destination.client().put(`${scope}a`, bytes(`${CANARY} other`))
    const before = await contents(destination)
    const ended = await importing()
    expect(ended).toMatchObject({ exit: 1, rows: [conflict] })
    expect(ended.stderr).toContain('sotto: 1 of 1 secrets failed; the table says why')
    expect(await contents(destination)).toEqual(before)
  })

  test('a conflict shows too where nothing is missing', async () => {
    await give('a', [1], 1)
    await destination.client().put(`${scope}a`, bytes(`${CANARY} other`))
    expect(await importing()).toMatchObject({ exit: 1, rows: [conflict] })
  })

  test('a number that was deleted at the destination is a failure by name', async () => {
    await give('a', [1], 1, destination)
    await destination.client().delete(`${scope}a`)
    await give('a', [1, 2], 2)
    expect(await importing()).toMatchObject({
      exit: 1,
      rows: [
        'a FAILED version 1 was deleted at the destination, and no number is given twice; added 2',
      ],
    })
    // What could come over is right for its readers.
    expect(await destination.client().info(`${scope}a`)).toMatchObject({
      Versions: [2],
      ActiveVersion: 2,
    })
  })

  test('where the active version cannot be written, nothing is', async () => {
    await give('a', [1, 2], 1)
    await give('a', [1], 1, destination)
    await destination.client().delete(`${scope}a`)
    expect((await importing()).exit).toBe(1)
    expect(await contents(destination)).toEqual({})
  })

  test('a secret whose clients have moved on is not taken back', async () => {
    await give('a', [1], 1)
    await importing()
    await give('a', [2], 2, destination)
    await give('a', [3], 3)
    expect(await importing()).toMatchObject({
      exit: 1,
      rows: [
        'a FAILED the destination has version 2 active, which the source lacks; what it lacks was not added; keeps 2, which the source lacks',
      ],
    })
    expect(await destination.client().info(`${scope}a`)).toMatchObject({ Versions: [1, 2] })
  })

  test('what only the destination has is counted', async () => {
    await give('a', [1], 1)
    await give('a', [1, 7], 1, destination)
    await give('b', [1], 1, destination)
    const ended = await importing()
    expect(ended.rows).toEqual(['a already there keeps 7, which the source lacks'])
    expect(ended.stderr).toContain('does not show: 1. They were left alone.\n')
    expect(ended.exit).toBe(0)
  })
})

describe('who may', () => {
  /** Gives a caller of its own address these rules at a server until the scope is left. */
  function rules(service: Service, ...given: (typeof everything)[]): Disposable {
    const mover = { name: 'mover', user: 'mover@example.com', rules: given }
    service.policy({ nodes: { ...fourCallers.nodes, '127.0.0.9': mover } })
    return { [Symbol.dispose]: () => service.policy(fourCallers) }
  }

  test('what the rules of the destination lack is told by name before anything is written', async () => {
    await give('prod/a', [1, 2], 1)
    await give('dev/a', [1], 1)
    using _ = rules(
      destination,
      { action: ['info', 'get', 'create-version'], secret: ['*'] },
      { action: ['activate'], secret: ['dev/*'] },
    )
    expect(
      await importing(['--local-address', '127.0.0.9', '--from-local-address', '127.0.0.1']),
    ).toMatchObject({
      exit: 1,
      rows: [
        'dev/a imported added 1; active 1',
        'prod/a FAILED no rule allows activate on it at the destination',
      ],
    })
    expect(Object.keys(await contents(destination))).toEqual(['dev/a'])
  })

  test('where they allow none of it, the command fails at once', async () => {
    await give('prod/a', [1, 2], 1)
    await give('prod/b', [1, 2], 1)
    using _ = rules(destination, { action: ['info', 'get'], secret: ['*'] })
    const ended = await importing([
      '--local-address',
      '127.0.0.9',
      '--from-local-address',
      '127.0.0.1',
    ])
    expect(ended).toMatchObject({ exit: 4, stdout: '' })
    expect(ended.stderr).toContain(
      'Cannot import "prod/a": no rule allows create-version, activate on it at the destination; nor any other of 2\n',
    )
  })

  test('a value that the source does not reveal is a failure by name', async () => {
    await give('prod/a', [1], 1)
    await give('dev/a', [1], 1)
    using _ = rules(
      source,
      { action: ['info'], secret: ['*'] },
      { action: ['get'], secret: ['*/dev/*'] },
    )
    expect((await importing(['--from-local-address', '127.0.0.9'])).rows).toEqual([
      'dev/a imported added 1; active 1',
      'prod/a FAILED no rule allows get on it at the source',
    ])
  })
})

/** What only another server than Sotto answers. */
describe('a source that is setec', () => {
  type Asked = { readonly Name: string; readonly Version: number }

  /** Answers as setec does: no whoami, and what `answers` gives by method; undefined is a refusal. */
  function setec(answers: Record<string, (request: Asked) => unknown>) {
    return scripted(({ path, body }, response) => {
      const answer = answers[path.replace('/api/', '')]
      const told = answer?.(JSON.parse(body) as Asked)
      if (answer === undefined) response.writeHead(400).end('invalid method\n')
      else if (told === undefined) response.writeHead(403).end('access denied\n')
      else response.setHeader('Content-Type', 'application/json').end(JSON.stringify(told))
    })
  }

  test('names that Sotto does not give, values that it does not hold, reads that are denied', async () => {
    const long = 'x'.repeat(513)
    const names = ['big', 'denied', 'fine', 'line\nbreak', long].map((name) => scope + name)
    const value = (text: string) => ({ Value: Buffer.from(text).toString('base64'), Version: 1 })
    await using server = await setec({
      list: () => names.map((Name) => ({ Name, Versions: [1], ActiveVersion: 1 })),
      get: ({ Name }) => {
        if (Name.endsWith('denied')) return undefined
        return value(Name.endsWith('big') ? CANARY.repeat(200_000) : CANARY)
      },
    })
    const ended = await importing([], { from: server.url })
    expect(ended.exit).toBe(1)
    expect(ended.rows).toEqual([
      expect.stringMatching(
        /^big FAILED version 1 has 2200000 bytes, and a request to Sotto holds 15728\d\d$/,
      ),
      'denied FAILED At the source: Cannot get version 1 of "denied": access denied',
      'fine imported added 1; active 1',
      'line\\u000abreak FAILED Sotto gives no such name: it has control characters',
      `${long} FAILED Sotto gives no such name: it is longer than 512 bytes`,
    ])
    expect(await contents(destination)).toEqual({ fine: { active: 1, 1: CANARY } })
  })

  test('an empty one answers null', async () => {
    await using server = await setec({ list: () => null })
    const ended = await importing(['--only', '*'], { from: server.url })
    expect(ended.exit).toBe(3)
    expect(ended.stderr).toContain(`${server.url} shows no secret\n`)
  })

  test('one that names no active version is told', async () => {
    const Name = `${scope}a`
    await using server = await setec({ list: () => [{ Name, Versions: [1], ActiveVersion: 2 }] })
    expect((await importing([], { from: server.url })).rows).toEqual([
      'a FAILED the source names no active version of it',
    ])
  })

  test('setec is no destination', async () => {
    await using server = await setec({ list: () => null })
    expect(await importing(['-s', server.url])).toMatchObject({
      exit: 2,
      stderr: `sotto: Cannot import into ${server.url}: it is not a Sotto server\nhint: The Sotto server is given by -s, the setec server by --from.\n`,
    })
  })
})

describe('a run that does not come to its end', () => {
  test('after Ctrl-C the secrets at hand are finished, and a later run does the rest', async () => {
    const names = Array.from({ length: 24 }, (_, at) => `s/${at + 10}`)
    await Promise.all(names.map(async (name) => give(name, [1, 2, 4], 2)))
    const ended = await importing([], {
      isTTY: true,
      seen: (text, press) => text.includes('copying 1 of') && press(),
    })
    expect(ended.exit).toBe(130)
    expect(ended.rows).toContain('s/10 imported added 1,2,4; active 2')
    expect(ended.rows).toContain('s/33 not done')
    expect(ended.stderr).toContain('The import is not complete: run the same command again')
    // None is left half done.
    const half = Object.values(await contents(destination))
    expect(half.length).toBeLessThan(24)
    for (const secret of half) expect(secret).toMatchObject({ active: 2, 4: expect.any(String) })
    expect((await importing()).exit).toBe(0)
    expect(await contents(destination)).toEqual(await contents(source))
    expect(changes(destination).filter((line) => line.startsWith('create'))).toHaveLength(72)
  })

  test.each([
    ['SIGINT', 130],
    ['SIGHUP', 129],
  ] as const)(
    'U18: the signals of a real process do that: %s twice ends it with %i',
    async (signal, exit) => {
      const asked = Promise.withResolvers<void>()
      // No answer ever comes.
      await using server = await scripted(() => asked.resolve())
      const argv = [cli, 'import', 'setec', '--from', server.url, '-s', destination.url]
      const command = new TestProcess(process.execPath, argv)
      await asked.promise
      command.signal(signal)
      // It says what the second one does.
      await command.line(/./)
      command.signal(signal)
      expect(await command.exited).toBe(exit)
    },
  )

  test('a call that is broken off leaves what a later run mends', async () => {
    await give('a', [1, 2, 3], 2)
    const breakOff = new AbortController()
    const client = source.client()
    const read = client.getVersion.bind(client)
    // No answer to this read ever comes.
    client.getVersion = async (name, version, options) => {
      if (version !== 3) return read(name, version, options)
      setImmediate(() => breakOff.abort(new Error('broken off')))
      return new Promise((_, reject) => {
        const signal = options?.signal
        signal?.addEventListener('abort', () => reject(signal.reason as Error))
      })
    }
    const report = await imported(client, destination.client(), { signal: breakOff.signal })
    expect(report.ended?.message).toBe('broken off')
    expect(report.results).toMatchObject([{ name: 'a', outcome: 'unfinished' }])
    expect((await importing()).exit).toBe(0)
    expect(await contents(destination)).toEqual(await contents(source))
  })

  test('a server that goes down ends the run with what was done, and is named', async () => {
    await give('a', [1], 1)
    await give('b', [1], 1)
    await using gone = await startService()
    const client = gone.client()
    const create = client.createVersion.bind(client)
    client.createVersion = async (name, ...rest) => {
      if (name.endsWith('b')) await gone.server.stop()
      return create(name, ...rest)
    }
    const report = await imported(source.client(), client)
    expect(report.results.map(({ outcome }) => outcome)).toContain('unfinished')
    expect(report.ended).toMatchObject({ code: 'unreachable' })
    expect(report.ended?.message).toMatch(/^At the destination: Cannot .* \(ECONNREFUSED\)$/)
  })

  test('an answer that was lost is no second write and no conflict', async () => {
    await give('a', [1], 1)
    const client = destination.client()
    const create = client.createVersion.bind(client)
    let lost = false
    client.createVersion = async (...args) => {
      await create(...args)
      if (lost) return
      lost = true
      throw new SottoError('unreachable', 'the answer was lost')
    }
    const report = await imported(source.client(), client)
    expect(report).toMatchObject({ compared: 1, results: [{ outcome: 'imported', added: [1] }] })
    expect(changes(destination)).toEqual(['create-version a 1'])
  })

  test('a server that is overloaded is asked four times', async () => {
    await give('a', [1], 1)
    const client = source.client()
    const list = client.list.bind(client)
    const answer = { status: 503, requestId: undefined }
    let refusals = 3
    client.list = async (options) => {
      if (refusals-- > 0) throw new ServerError('overloaded', 'too many requests', answer)
      return list(options)
    }
    expect((await imported(client, destination.client())).compared).toBe(1)
    refusals = 4
    await expect(imported(client, destination.client())).rejects.toMatchObject({
      code: 'overloaded',
      message: 'At the source: too many requests',
    })
  })
})

describe('the comparison at the end', () => {
  /** Does `act` when a server is listed for the second time, which is after the copying. */
  function meanwhile(service: Service, act: () => Promise<unknown>): Client {
    const client = service.client()
    const list = client.list.bind(client)
    let calls = 0
    client.list = async (options) => {
      if (++calls === 2) await act()
      return list(options)
    }
    return client
  }

  test('tells what changed at the source meanwhile, and the next run brings it', async () => {
    await give('deleted', [1], 1)
    await give('grown', [1], 1)
    await give('moved', [1, 2], 2)
    await give('same', [1], 1)
    const changing = meanwhile(source, async () => {
      const client = source.client()
      await client.put(`${scope}grown`, bytes('2'))
      await client.activate(`${scope}moved`, 1)
      await client.delete(`${scope}deleted`)
      await client.put(`${scope}new`, bytes('1'))
    })
    const report = await imported(changing, destination.client())
    expect(report.results.map(({ name, outcome, reason }) => [name, outcome, reason])).toEqual([
      ['deleted', 'failed', 'it was deleted at the source meanwhile'],
      ['grown', 'failed', 'it was changed at the source meanwhile'],
      ['moved', 'failed', 'it was changed at the source meanwhile'],
      ['same', 'imported', undefined],
      ['new', 'failed', 'it was made at the source meanwhile'],
    ])
    expect((await importing()).exit).toBe(0)
    const { deleted, ...rest } = await contents(destination)
    expect(rest).toEqual(await contents(source))
    expect(deleted).toBeDefined()
  })

  test('tells what changed at the destination meanwhile', async () => {
    await give('a', [1, 2], 2)
    const changing = meanwhile(destination, () => destination.client().activate(`${scope}a`, 1))
    expect((await imported(source.client(), changing)).results).toMatchObject([
      { outcome: 'failed', reason: 'it was changed at the destination meanwhile' },
    ])
  })

  test('tells a value that is another than the one copied', async () => {
    await give('a', [1], 1)
    const client = source.client()
    const read = client.getVersion.bind(client)
    let reads = 0
    client.getVersion = async (...args) => {
      const value = await read(...args)
      return ++reads === 1 ? value : { ...value, Value: bytes('another') }
    }
    expect((await imported(client, destination.client())).results).toMatchObject([
      { outcome: 'failed', reason: 'version 1 has another value at the destination' },
    ])
  })
})

test('docs/guides/from-setec.md explains reasons that the code gives', () => {
  const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
  const [, table = ''] =
    /<!-- reasons -->\n([^]*?)<!-- end -->/.exec(read('docs/guides/from-setec.md')) ?? []
  const reasons = [...table.matchAll(/^\| (`.*?`) \|/gm)].flatMap(([, cell = '']) =>
    cell.split(', '),
  )
  const code = [
    'cli/handlers/import/plan.ts',
    'cli/handlers/import/copy.ts',
    'cli/handlers/import/importer.ts',
  ]
    .concat('client/api/names.ts', 'client/api/errors.ts')
    .map(read)
    .join('')
  expect(reasons.length).toBeGreaterThan(8)
  for (const reason of reasons) expect(code).toContain(reason.replaceAll('`', ''))
})

test('few values are in memory at once, and each is zeroed', async () => {
  const names = Array.from({ length: 20 }, (_, at) => `s/${at}`)
  await Promise.all(names.map(async (name) => give(name, [1, 2], 1)))
  const values: Uint8Array[] = []
  const unzeroed = () => values.filter((each) => each.some((byte) => byte > 0)).length
  let most = 0
  const counting = (client: Client): Client => {
    const read = client.getVersion.bind(client)
    client.getVersion = async (...args) => {
      const value = await read(...args)
      values.push(value.Value)
      most = Math.max(most, unzeroed())
      return value
    }
    return client
  }
  await imported(counting(source.client()), counting(destination.client()))
  expect(values).toHaveLength(20 * 2 * 3)
  expect(most).toBeLessThanOrEqual(8)
  expect(unzeroed()).toBe(0)
})
