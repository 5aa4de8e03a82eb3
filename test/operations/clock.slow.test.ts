/** What callers and operators ask of a server comes out the same whatever the clock of its machine does meanwhile. */
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { drawsOf, moved } from '../support/clock-moves.ts'
import { depth } from '../support/depth.ts'
import { MemoryBackend, SharedMemory } from '../support/memory-backend.ts'
import { mirroredBackend } from '../support/backend-spec.ts'
import { bytes, type Line, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'

const ORIGIN = 'http://127.0.0.1:9'
const START = Date.parse('2026-11-28T12:00:00Z')
const DAY = 86_400_000
const SEQUENCES = depth({ usual: 2, full: 60 })
const STEPS = 40

const acts = [
  'put',
  'put',
  'activate',
  'get',
  'refused',
  'delete version',
  'delete',
  'backup',
  'rehearsal',
  'backends',
  'mirror',
  'rotate',
  'rotate root',
] as const

interface Step {
  readonly act: (typeof acts)[number]
  readonly passes: number
  readonly restarts: boolean
}

function stepsOf(seed: number): Step[] {
  const draw = drawsOf(seed)
  return Array.from({ length: STEPS }, () => ({
    act: acts[Math.floor(draw() * acts.length)] ?? 'get',
    passes: [0, 1000, 120_000, DAY / 3][Math.floor(draw() * 4)] ?? 0,
    restarts: draw() < 0.1,
  }))
}

/** What came of each step, and what is there at the end. The clock moves by `seed`, if given. */
async function history(steps: readonly Step[], seed?: number): Promise<unknown> {
  using scratch = temporaryDirectory()
  const draw = seed === undefined ? undefined : drawsOf(seed)
  const shared = new SharedMemory()
  // No job runs by itself: each step asks.
  let monotonic = 0
  const timers = { now: () => monotonic, after: () => () => {} }
  let wall = START
  const state = join(scratch.path, 'state')
  const path = join(scratch.path, 'backups')
  mkdirSync(path)
  const start = () =>
    startService(
      {
        clock: () => new Date(wall),
        timers,
        openBackend: (_, { owner }) => new MemoryBackend(owner, shared),
      },
      {
        state,
        backendOrigins: [ORIGIN],
        backups: {
          place: { kind: 'directory', path },
          keep: undefined,
          rehearsal: { everyMs: DAY, directory: scratch.path },
        },
      },
    )
  let service = await start()
  let client = service.client()
  let refused = service.client('127.0.0.4')
  await client.put('backends/vault', bytes('token'))
  const mirror = { secrets: ['prod/a'], onDrift: 'report' as const, onDelete: 'remove' as const }
  await client.operate('backend-create', { ...mirroredBackend(ORIGIN, mirror), Default: true })
  let puts = 0
  const run = async (Name: string): Promise<unknown> => {
    const { LastResult, LastMessage = '' } = await client.operate('job-run', { Name })
    const same = LastMessage.replaceAll(scratch.path, '')
    return [LastResult, same.replaceAll(/sotto-\S+-r/g, 'r').replaceAll(/\d+ bytes/g, '')]
  }
  const does: Record<Step['act'], (name: string) => Promise<unknown>> = {
    put: (name) => client.put(name, bytes(`value ${++puts}`)),
    activate: async (name) => {
      const { Versions } = await client.info(name)
      const version = Versions.at(-1) ?? 1
      await client.activate(name, version)
      return version
    },
    get: async (name) => {
      const { Value, Version } = await client.get(name)
      return [Buffer.from(Value).toString(), Version]
    },
    refused: (name) => refused.get(name),
    'delete version': async (name) => {
      const { Versions, ActiveVersion } = await client.info(name)
      const version = Versions.find((each) => each !== ActiveVersion) ?? 0
      if (version > 0) await client.deleteVersion(name, version)
      return version
    },
    delete: (name) => client.delete(name),
    backup: async (name) => {
      // How old the newest one is, a server that starts has the clock alone for: so something changed.
      await client.put(name, bytes(`value ${++puts}`))
      return run('backup')
    },
    rehearsal: () => run('rehearsal'),
    backends: () => run('backends'),
    mirror: async () => {
      const ended = await run('mirror')
      const [status] = await client.operate('mirror-status', {})
      return [ended, status?.Counts, status?.LagSeconds]
    },
    // Their work rests by the timers, which stand still: what is begun stays so.
    rotate: async () => (await client.operate('key-rotate', {})).Entries.length,
    'rotate root': async () => (await client.operate('key-rotate', { Root: true })).Root.Number,
  }
  const told: unknown[] = []
  for (const [at, { act, passes, restarts }] of steps.entries()) {
    monotonic += passes
    const right = START + monotonic
    wall = draw ? moved(wall + passes, right, draw) : right
    if (restarts) {
      await service[Symbol.asyncDispose]()
      if (draw) wall = moved(wall, right, draw)
      service = await start()
      client = service.client()
      refused = service.client('127.0.0.4')
    }
    const name = ['prod/a', 'prod/b'][at % 2] ?? ''
    const came = await does[act](name).catch((error: Error & { code?: string }) => error.code)
    told.push([act, name, came])
  }
  // Every act is on the log, in its place, and is found without a word of time.
  const found: number[] = []
  for (let After: number | undefined = 0; After !== undefined; ) {
    const page: Awaited<ReturnType<typeof client.operate<'audit-query'>>> = await client.operate(
      'audit-query',
      { After, Since: new Date(0).toISOString(), Limit: 50 },
    )
    found.push(...page.Records.map(({ id }) => id))
    After = page.After
  }
  const names = await client.list()
  await service[Symbol.asyncDispose]()
  const records = service.records()
  const ids = records.map(({ id }) => id as number)
  expect(ids.filter((id) => id <= (found.at(-1) ?? 0))).toEqual(found)
  // What gave a caller nothing is recorded or counted, by a timer of the process.
  const gaveNothing = ({ kind, result }: Line): boolean =>
    kind === 'refusals' || result === 'denied' || result === 'not-found'
  const acted = records
    .filter((record) => !gaveNothing(record))
    .map(({ kind, action, operation, secret, secretVersion, verb, result }) =>
      [kind, action, operation, secret, secretVersion, verb, result].join(' '),
    )
  return {
    told,
    acted,
    names,
    leaves: [...shared.leaves.keys()].toSorted(),
    projections: [...shared.projections.keys()],
    partial: readdirSync(path).filter((each) => each.startsWith('.')),
  }
}

test.each(Array.from({ length: SEQUENCES }, (_, seed) => seed + 1))(
  'U1: nothing is lost, hidden, doubled or early with the clock moved: sequence %i',
  async (seed) => {
    const steps = stepsOf(seed)
    expect(await history(steps, seed * 5 + 2)).toEqual(await history(steps))
  },
  120_000,
)
