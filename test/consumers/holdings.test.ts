/** Holdings against a model in which it is known what each program holds. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeHoldings, encodeHoldings } from '../../server/consumers/file.ts'
import { Holdings } from '../../server/consumers/holdings.ts'
import { TICKS } from '../../server/consumers/judge.ts'
import { finished, NAME, type Program, speakerOf, World } from './world.ts'

const HOUR = 3600

/** Programs that are awake ask every `seconds`, for `times` times. */
function rounds(world: World, times: number, seconds = 60): void {
  for (let round = 0; round < times; round++) {
    world.pass(seconds)
    for (const program of world.programs) world.poll(program)
  }
}

describe('a rollout', () => {
  test('one program without a label: behind, then current after a whole interval', () => {
    const world = new World()
    const app = world.start('n1', undefined)
    rounds(world, 5)
    expect(world.states()).toEqual(['n1 - 1 current'])
    world.active = 2
    expect(world.states()).toEqual(['n1 - 1 behind'])
    world.pass(60)
    world.poll(app)
    expect(world.states()).toEqual(['n1 - 2 behind'])
    world.pass(50)
    expect(world.converged).toBe(false)
    world.pass(11)
    expect(world.states()).toEqual(['n1 - 2 current'])
  })

  test('one with a label is current soon', () => {
    const world = new World()
    const app = world.start('n1', 'a')
    rounds(world, 3)
    world.active = 2
    world.poll(app)
    world.pass(6)
    expect(world.states()).toEqual(['n1 a 2 current'])
  })

  test('two programs without labels on one node, one of them asleep: never converged', () => {
    const world = new World()
    world.start('n1', undefined)
    const sleeper = world.start('n1', undefined)
    rounds(world, 5)
    expect(world.converged).toBe(true)
    sleeper.asleep = true
    world.active = 2
    for (let times = 0; times < 500; times++) {
      rounds(world, 1)
      expect(world.converged, `after ${times} rounds`).toBe(false)
    }
    expect(world.states()).toEqual(['n1 - 1 unknown'])
    world.crash()
    rounds(world, 100)
    expect(world.converged).toBe(false)
    sleeper.asleep = false
    rounds(world, 3)
    expect(world.converged).toBe(true)
  })

  test('two with labels, one of them asleep: behind while it is told, then unknown', () => {
    const world = new World()
    world.start('n1', 'a')
    const sleeper = world.start('n1', 'b')
    rounds(world, 5)
    world.watch(sleeper)
    sleeper.asleep = true
    world.active = 2
    rounds(world, 100)
    expect(world.states()).toEqual(['n1 a 2 current', 'n1 b 1 behind'])
    world.crash()
    rounds(world, 2)
    expect(world.states()).toEqual(['n1 a 2 current', 'n1 b 1 unknown'])
  })

  test('silence is unknown, whatever was held', () => {
    const world = new World()
    world.start('n1', undefined).asleep = true
    world.pass(2 * HOUR)
    expect(world.states()).toEqual(['n1 - 1 current'])
    world.pass(2 * HOUR)
    expect(world.states()).toEqual(['n1 - 1 unknown'])
  })

  test('nobody was heard since the server started', () => {
    const world = new World()
    world.start('n1', undefined)
    world.start('n2', 'a')
    world.keep()
    world.crash()
    expect(world.states()).toEqual(['n1 - 1 unknown', 'n2 a 1 unknown'])
    rounds(world, 1)
    expect(world.converged).toBe(true)
  })

  test('a program has left when it ended its stream and was silent for 15 minutes', () => {
    const world = new World()
    const app = world.start('n1', 'a')
    world.watch(app)
    rounds(world, 3)
    world.end(app)
    world.active = 2
    world.pass(14 * 60)
    expect(world.states()).toEqual(['n1 a 1 unknown'])
    world.pass(2 * 60)
    expect(world.states()).toEqual(['n1 a 1 left'])
    expect(world.converged).toBe(true)
  })

  test('where the server or the network ended the stream, it is unknown', () => {
    const world = new World()
    const app = world.start('n1', 'a')
    world.watch(app)
    if (app.stream) world.holdings.ended(app.stream, false)
    world.pass(100 * HOUR)
    expect(world.states()).toEqual(['n1 a 1 unknown'])
  })

  test('what a node was never given it does not hold, whatever it claims', () => {
    const world = new World()
    world.start('n1', undefined)
    world.active = 2
    for (const label of [undefined, 'a']) {
      world.holdings.claimed(speakerOf('n1', label), NAME, 2)
      world.holdings.claimed(speakerOf('n2', label), NAME, 2)
    }
    expect(world.states()).toEqual(['n1 - 1 behind'])
  })

  test('a version that did not leave after all is not held', () => {
    const world = new World()
    const app = world.start('n1', 'a')
    world.active = 2
    for (const label of ['a', undefined]) {
      const speaker = speakerOf('n1', label)
      const before = world.holdings.given(speaker, NAME, 2, label === 'a' ? 1 : 0)
      world.holdings.withdrawn(speaker, NAME, 2, before)
    }
    expect(world.states()).toEqual(['n1 a 1 behind'])
    world.poll(app)
    world.pass(6)
    expect(world.states()).toEqual(['n1 a 2 current'])
  })

  test('an answer that was lost does not make a second program', () => {
    const world = new World()
    const app = world.start('n1', undefined)
    rounds(world, 3)
    for (const version of [2, 3]) {
      world.active = version
      world.pass(60)
      world.poll(app, true)
      rounds(world, 3)
      expect(world.converged).toBe(true)
    }
  })

  test('one lost as the server was killed does not let a sleeper pass for current', () => {
    const world = new World()
    const app = world.start('n1', undefined)
    world.start('n1', undefined).asleep = true
    world.active = 2
    world.poll(app)
    app.held = 1
    world.crash()
    rounds(world, 10)
    expect(world.converged).toBe(false)
  })

  test('a label of two programs is found out when one comes with an old version', () => {
    const world = new World()
    const one = world.start('n1', 'same')
    const two = world.start('n1', 'same')
    rounds(world, 3)
    world.active = 2
    world.poll(one)
    world.poll(one)
    world.poll(two)
    rounds(world, 2)
    expect(world.converged).toBe(true)
    two.asleep = true
    world.active = 3
    rounds(world, 10)
    expect(world.converged).toBe(false)
  })
})

describe('bounds', () => {
  test('labels of a node displace those of that node alone, and what these hold stays held', () => {
    const world = new World({ labelsOfNode: 4 })
    world.start('n2', 'other').asleep = true
    world.start('n1', 'old').asleep = true
    world.active = 2
    world.pass(1)
    for (let label = 0; label < 100; label++) world.start('n1', `random-${label}`)
    const states = world.states()
    expect(states).toHaveLength(6)
    expect(states).toContain('n2 other 1 behind')
    expect(states[0]).toMatch(/^n1 - 1 (?:behind|unknown)$/)
  })

  test('what there is no room for makes its secret unknown, and no other', () => {
    const holdings = new Holdings(() => 1, { rows: 3, rowsOfNode: 2 })
    holdings.given(speakerOf('n1'), 'a', 1, 0)
    holdings.given(speakerOf('n1'), 'b', 1, 0)
    holdings.given(speakerOf('n1'), 'c', 1, 0)
    holdings.given(speakerOf('n2'), 'a', 1, 0)
    holdings.given(speakerOf('n2'), 'd', 1, 0)
    expect(['a', 'b', 'c', 'd'].map((name) => holdings.isLost(name))).toEqual([
      false,
      false,
      true,
      true,
    ])
    expect(holdings.dropped).toBe(2)
  })

  test('names without end are not kept', () => {
    const holdings = new Holdings(() => 1, { secrets: 2 })
    for (const name of ['a', 'b', 'c']) holdings.given(speakerOf('n1'), name, 1, 0)
    expect(holdings.names).toEqual(['a', 'b'])
    expect(holdings.isLost('a')).toBe(true)
  })

  test('programs that left go, and their rows are used again', () => {
    const world = new World()
    for (let round = 0; round < 50; round++) {
      const app = world.start('n1', `label-${round}`)
      world.watch(app)
      world.end(app)
      world.pass(5 * HOUR)
      finished(world.holdings.sweep(HOUR))
    }
    expect(world.holdings.table.end).toBeLessThan(4)
    expect(world.holdings.parties.count).toBeLessThan(4)
  })
})

describe('the file', () => {
  const about = { store: 'a', branch: 'b', logged: 7, listens: 5, roughNames: false }

  function made(): Holdings {
    const holdings = new Holdings(() => 1)
    for (let node = 0; node < 30; node++) {
      for (let secret = 0; secret < 5; secret++) {
        holdings.given(
          speakerOf(`n${node}`, node % 3 === 0 ? `l${node}` : undefined),
          `s${secret}`,
          1,
          0,
        )
        holdings.given(speakerOf(`n${node}`), `s${secret}`, node, 0)
      }
    }
    return holdings
  }

  const pictureOf = (holdings: Holdings): string[] =>
    holdings.names.flatMap((name) =>
      holdings.rowsOf(name).map((row) => {
        const held = holdings.held(row, name, 3)
        return JSON.stringify([
          name,
          held?.holder.node.principal,
          held?.holder.label,
          held?.version,
        ])
      }),
    )

  test('gives back what was known', () => {
    const before = made()
    before.lost.add(2)
    const bytes = Buffer.concat(finished(encodeHoldings(before, about, new Set(['s1']))))
    const after = new Holdings(() => 1)
    const { about: found, rough } = finished(decodeHoldings(bytes, after))
    expect(found).toMatchObject(about)
    expect([...rough]).toEqual(['s1'])
    expect([0, 1, 2].map((secret) => after.isLost(`s${secret}`))).toEqual([false, false, true])
    expect(pictureOf(after).toSorted()).toEqual(pictureOf(before).toSorted())
    const again = Buffer.concat(finished(encodeHoldings(after, about, new Set(['s1']))))
    expect(again.length).toBe(bytes.length)
  })

  test('is refused with any byte changed or missing', () => {
    const bytes = Buffer.concat(finished(encodeHoldings(made(), about, new Set())))
    for (let at = 0; at < bytes.length; at += 97) {
      const damaged = Buffer.from(bytes)
      damaged[at] = (damaged[at] as number) ^ 0x10
      expect(() => finished(decodeHoldings(damaged, new Holdings(() => 1)))).toThrow(/damaged/)
      expect(() => finished(decodeHoldings(bytes.subarray(0, at), new Holdings(() => 1)))).toThrow(
        /damaged/,
      )
    }
  })
})

/** A word about holdings, or a part of the work of their copy. */
const word = fc.record({
  act: fc.constantFrom(
    'given',
    'given',
    'given',
    'claimed',
    'withdrawn',
    'opened',
    'ended',
    'sweep',
    'pass',
    'copy',
    'copy',
  ),
  node: fc.nat({ max: 3 }),
  label: fc.nat({ max: 7 }),
  secret: fc.nat({ max: 5 }),
  version: fc.integer({ min: 1, max: 5 }),
  held: fc.nat({ max: 5 }),
})

test('a copy has what was held when it began, whatever is said until it is whole', () => {
  const about = { store: 'a', branch: 'b', logged: 7, listens: 5, roughNames: false }
  const words = fc.array(word, { maxLength: 120 })
  fc.assert(
    fc.property(words, words, fc.integer({ min: 1, max: 9 }), (before, meanwhile, pieceRows) => {
      let now = 1
      const holdings = new Holdings(() => now, { labelsOfNode: 3 })
      const streams: NonNullable<ReturnType<Holdings['opened']>>[] = []
      const say = ({ act, node, label, secret, version, held }: (typeof before)[number]): void => {
        const speaker = speakerOf(`n${node}`, label > 5 ? undefined : `l${label}`)
        const name = `s${secret}`
        if (act === 'given') holdings.given(speaker, name, version, held)
        else if (act === 'claimed') holdings.claimed(speaker, name, version)
        else if (act === 'withdrawn') {
          const had = holdings.given(speaker, name, version, held)
          holdings.withdrawn(speaker, name, version, had)
        } else if (act === 'opened') {
          const stream = holdings.opened(speaker)
          if (stream) streams.push(stream)
        } else if (act === 'ended') {
          const stream = streams.shift()
          if (stream) holdings.ended(stream, true)
        } else if (act === 'sweep') finished(holdings.sweep(0))
        else now += 100 * HOUR * TICKS
      }
      for (const each of before) if (each.act !== 'copy') say(each)
      const whole = Buffer.concat(finished(encodeHoldings(holdings, about, new Set())))
      const copy = encodeHoldings(holdings, about, new Set(), pieceRows)
      let copied: Buffer[] | undefined
      for (const each of meanwhile) {
        if (each.act !== 'copy') say(each)
        else copied ??= copy.next().value as Buffer[] | undefined
      }
      copied ??= finished(copy)
      expect(Buffer.concat(copied).equals(whole)).toBe(true)
    }),
    { numRuns: 300, seed: 17 },
  )
})

/** What happens in the world: which program, and what of it. */
const step = fc.record({
  act: fc.constantFrom(
    'start',
    'cached',
    'poll',
    'poll',
    'poll',
    'lost',
    'watch',
    'sleep',
    'wake',
    'end',
    'activate',
    'back',
    'pass',
    'pass',
    'round',
    'keep',
    'crash',
    'sweep',
  ),
  which: fc.nat({ max: 99 }),
  seconds: fc.constantFrom(1, 10, 60, 600, HOUR, 5 * HOUR, 100 * HOUR),
})

type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

/** What a run has besides the world. */
interface Run {
  readonly world: World
  labels: number
  highest: number
}

function take({ act, which, seconds }: Step, run: Run): void {
  const { world } = run
  const all = [...world.programs]
  const program: Program | undefined = all[which % (all.length || 1)]
  const node = `n${which % 3}`
  // Two of three say who they are.
  const label = which % 9 < 3 ? undefined : `l${++run.labels}`
  if (act === 'start') world.start(node, label)
  else if (act === 'cached') world.start(node, label, 1 + (which % run.highest))
  else if (act === 'activate') world.active = ++run.highest
  else if (act === 'back') world.active = 1 + (which % run.highest)
  else if (act === 'pass') world.pass(seconds)
  else if (act === 'round') rounds(world, 1 + (which % 4), seconds)
  else if (act === 'keep') world.keep()
  else if (act === 'crash') world.crash()
  else if (act === 'sweep') finished(world.holdings.sweep(0))
  else if (program === undefined) return
  else if (act === 'poll') world.poll(program)
  else if (act === 'lost') {
    // Which of several without labels an answer was lost to cannot be told.
    const isAlone = all.filter((other) => other.node === program.node).length === 1
    world.poll(program, isAlone || program.label !== undefined)
  } else if (act === 'watch') world.watch(program)
  else if (act === 'sleep') program.asleep = true
  else if (act === 'wake') program.asleep = false
  else world.end(program)
}

describe('never converged while a program has another version', () => {
  test.each([
    ['with room for all', {}],
    ['with little room', { labelsOfNode: 2, rows: 9, rowsOfNode: 4, holders: 8 }],
  ])('%s', (_, limits) => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 120 }), (steps) => {
        const run: Run = { world: new World(limits), labels: 0, highest: 1 }
        for (const [at, each] of steps.entries()) {
          take(each, run)
          const { converged, isSo } = run.world
          if (converged && !isSo) {
            const said = run.world.states().join(', ')
            throw new Error(`converged after ${JSON.stringify(steps.slice(0, at + 1))}: ${said}`)
          }
        }
      }),
      { numRuns: 300, seed: 17 },
    )
  })

  test('and converged at last, where each program that ended had said so', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const run: Run = { world: new World(), labels: 0, highest: 1 }
        for (const each of steps) {
          const isSafe = !['end', 'cached', 'lost', 'crash'].includes(each.act)
          if (isSafe) take(each, run)
        }
        const { world } = run
        for (const program of world.programs) program.asleep = false
        rounds(world, 200, 60)
        expect(world.states().filter((text) => !text.endsWith('current'))).toEqual([])
      }),
      { numRuns: 100, seed: 17 },
    )
  })
})
