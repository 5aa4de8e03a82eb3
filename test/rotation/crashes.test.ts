/** Whatever crashes between any two things that a run does: one candidate at most, and an end that is known. */
import { expect, test } from 'vitest'
import { rotationConfig, type RotationConfig } from '../../client/api/rotations.ts'
import type { RotationRecord } from '../../server/rotation/registry.ts'
import { ROTATIONS_USER } from '../../server/rotation/secret-view.ts'
import { fits } from '../../server/rotation/template.ts'
import { depth } from '../support/depth.ts'
import { Random } from '../fire/support-crash/random.ts'
import { type Fate, openWorld, type RotationWorld } from './world.ts'

const NAME = 'prod/key'
const ended = new Set(['done', 'aborted', 'held'])
/** More steps than any run takes with all of its crashes. */
const PATIENCE = 300

function configOf(more: object): RotationConfig {
  const template = { shape: 'text' }
  return rotationConfig.parse({ kind: 'generated', secret: NAME, template, ...more })
}

async function put(world: RotationWorld, text: string): Promise<number> {
  const Value = new Uint8Array(Buffer.from(text))
  const { version } = await world.services.secrets.put(world.person(), { Name: NAME, Value })
  return version
}

/** Versions that runs added and that are stored: those that were never active, and all. */
async function candidates({
  services,
}: RotationWorld): Promise<{ idle: number[]; active: number }> {
  const row = await services.cache.row(NAME)
  const history = await services.store.history(NAME)
  const own = history
    .filter(({ verb, by }) => verb === 'append' && by.user === ROTATIONS_USER)
    .map(({ version = 0 }) => version)
  const wasActive = new Set(
    history.filter(({ verb }) => verb === 'activate').map(({ version = 0 }) => version),
  )
  const idle = own.filter((each) => row?.versions.includes(each) && !wasActive.has(each))
  return { idle, active: row?.active ?? 0 }
}

async function activeFits(world: RotationWorld, config: RotationConfig, others: Set<string>) {
  const { gate, cache } = world.services
  // As the server reads for itself: whoever gets it in another way is a holder, and waited for.
  const pass = await gate.enter(world.person(), 'get', NAME)
  const found = await cache.read(NAME, 0)
  const sealed = found?.versions.get(found.row.active)
  if (!found || !sealed) throw new Error('there is no active version')
  const value = await pass.reveal(found.row, sealed)
  const text = value.toString()
  return others.has(text) || (config.kind === 'generated' && fits(config.template, value))
}

/** Carries the run of `record` on, by one process after another, until it ends. Checks after each step. */
async function carryOn(
  world: RotationWorld,
  record: RotationRecord,
  fate: Fate,
  between: () => Promise<void> = async () => {},
): Promise<RotationRecord> {
  let runs = world.process(fate)
  let current = record
  for (let at = 0; at < PATIENCE; at++) {
    if (ended.has(current.state.step)) return current
    const advanced = await runs.advance(world.job(), current)
    expect((await candidates(world)).idle.length).toBeLessThanOrEqual(1)
    if (advanced === undefined) runs = world.process(fate)
    await between()
    current = await world.read(record.name)
  }
  throw new Error(`the run does not end: ${JSON.stringify(current.state)}`)
}

test('a run ends as it should wherever it crashes once', async () => {
  await using undo = new AsyncDisposableStack()
  const world = await openWorld(undo)
  const others = new Set([await put(world, 'by hand').then(() => 'by hand')])
  const config = configOf({ deleteOld: true })
  let record = await world.create('key', config)
  let acts = 0
  let crashed = true
  for (let at = 0; crashed; at++) {
    for (const when of ['before', 'after'] as const) {
      acts = 0
      crashed = false
      const fate: Fate = () => {
        if (crashed || acts++ !== at) return undefined
        crashed = true
        return when
      }
      record = await world.process(() => undefined).begin(world.person(), record, undefined)
      record = await carryOn(world, record, fate)
      expect(record.state.step).toBe('done')
      const { idle, active } = await candidates(world)
      expect([idle, active]).toEqual([[], record.state.candidate])
      expect((await world.services.cache.row(NAME))?.versions).toEqual([active])
      expect(await activeFits(world, config, others)).toBe(true)
    }
  }
  // Begun, put, staged, applied, tested, activated twice, converging, retiring, deleted, done.
  expect(acts).toBe(10)
})

test('what a person activates before the run does stays, at whatever step', async () => {
  await using undo = new AsyncDisposableStack()
  const world = await openWorld(undo)
  await put(world, 'by hand')
  let record = await world.create('key', configOf({}))
  const fate: Fate = () => undefined
  for (const at of ['planned', 'staged', 'applied', 'tested']) {
    record = await world.process(fate).begin(world.person(), record, undefined)
    while (record.state.step !== at) {
      record = (await world.process(fate).advance(world.job(), record)) ?? record
    }
    const chosen = await put(world, `by hand at ${at}`)
    await world.services.secrets.activate(world.person(), { Name: NAME, Version: chosen })
    record = await carryOn(world, record, fate)
    expect(record.state).toMatchObject({ step: 'held', held: { reason: 'changed', at } })
    record = await world.process(fate).reconcile(world.person(), record)
    record = await carryOn(world, record, fate)
    expect(record.state.step).toBe('aborted')
    expect(await candidates(world)).toEqual({ idle: [], active: chosen })
  }
})

const rounds = depth({ usual: 25, full: 2000 })

test(`${rounds} runs with crashes, aborts and changes by hand at random: one candidate, nothing overwritten`, async () => {
  const seed = Math.floor(Math.random() * 1e9)
  const random = new Random(seed)
  await using undo = new AsyncDisposableStack()
  const world = await openWorld(undo)
  await put(world, 'by hand 0')
  const others = new Set(['by hand 0'])
  const ends = new Map<string, number>()
  const config = configOf({ deleteOld: true })
  let record = await world.create('key', config)
  const { secrets } = world.services
  for (let round = 1; round <= rounds; round++) {
    const meddles = random.chance(0.4) ? random.below(8) : -1
    const aborts = random.chance(0.2) ? random.below(8) : -1
    let steps = 0
    /** What a person made active during this run. */
    let chosen: number | undefined
    const between = async (): Promise<void> => {
      steps++
      if (steps === aborts) {
        const now = await world.read('key')
        await world
          .process(() => undefined)
          .note(world.person(), now, { is: 'abort' })
          .catch(() => {})
      }
      if (steps !== meddles) return
      others.add(`by hand ${round}`)
      chosen = await put(world, `by hand ${round}`)
      if (random.chance(0.5)) {
        await secrets.activate(world.person(), { Name: NAME, Version: chosen })
      } else chosen = undefined
    }
    const fate: Fate = () =>
      random.chance(0.15) ? random.pick(['before', 'after'] as const) : undefined
    record = await world.process(() => undefined).begin(world.person(), record, undefined)
    record = await carryOn(world, record, fate, between)
    if (record.state.step === 'held') {
      ends.set('held', (ends.get('held') ?? 0) + 1)
      record = await world.process(() => undefined).reconcile(world.person(), record)
      record = await carryOn(world, record, fate)
    }
    const { step } = record.state
    ends.set(step, (ends.get(step) ?? 0) + 1)
    expect([seed, round, ['done', 'aborted'].includes(step)]).toEqual([seed, round, true])
    const { idle, active } = await candidates(world)
    expect([seed, round, idle]).toEqual([seed, round, []])
    expect([seed, round, active]).toEqual([seed, round, chosen ?? active])
    expect(await activeFits(world, config, others)).toBe(true)
  }
  expect(ends.get('done') ?? 0, `seed ${seed}`).toBeGreaterThan(0)
})
