/**
 * Runs one kind of fire for as long as wanted, and prints what happened:
 *   npm run fire -- crash --rounds 1000 --seed 1
 * The other tests of this folder have no dial: `npm run test:fire -- NAME`.
 */
import { parseArgs } from 'node:util'
import { crash } from './crash.ts'
import { generated } from './generated.ts'
import { migrations } from './migration.ts'
import { rootRotationUnderFire } from './root-rotation.ts'
import { rotationUnderFire } from './rotation.ts'
import { rotationsUnderFire } from './rotations.ts'
import { watchUnderFire } from './watch.ts'

type Dials = Readonly<Record<string, number>>

/** Of each kind: its dials with their defaults, and what it does. */
const kinds = {
  crash: {
    dials: { rounds: 200 },
    run: ({ rounds = 0 }: Dials, seed: number, power: boolean) => crash(rounds, seed, power),
  },
  generated: {
    dials: { count: 60_000 },
    run: ({ count = 0 }: Dials, seed: number) => generated(count, seed),
  },
  migration: {
    dials: { secrets: 1000, rounds: 3, kills: 12 },
    run: ({ secrets = 0, rounds = 0, kills = 0 }: Dials, seed: number) =>
      migrations({ secrets, rounds, kills, seed }),
  },
  'root-rotation': {
    dials: { versions: 4000, rounds: 50 },
    run: ({ versions = 0, rounds = 0 }: Dials, seed: number) =>
      rootRotationUnderFire({ versions, rounds, seed }),
  },
  rotation: {
    dials: { versions: 100_000, rounds: 20 },
    run: ({ versions = 0, rounds = 0 }: Dials, seed: number) =>
      rotationUnderFire({ versions, rounds, seed }),
  },
  rotations: {
    dials: { secrets: 8, rounds: 200 },
    run: ({ secrets = 0, rounds = 0 }: Dials, seed: number) =>
      rotationsUnderFire({ secrets, rounds, seed }),
  },
  watch: {
    dials: { rounds: 200, clients: 200 },
    run: ({ rounds = 0, clients = 0 }: Dials, seed: number) =>
      watchUnderFire({ rounds, clients, seed }),
  },
}

const [name = '', ...args] = process.argv.slice(2)
if (!(name in kinds)) {
  const lines = Object.entries(kinds).map(([kind, { dials }]) =>
    [`  npm run fire -- ${kind}`, ...Object.keys(dials).map((dial) => `[--${dial} N]`)].join(' '),
  )
  console.error(`Usage, each with [--seed N], and crash with [--power]:\n${lines.join('\n')}`)
  process.exit(2)
}
const { dials, run } = kinds[name as keyof typeof kinds]
const { values } = parseArgs({
  args,
  options: {
    ...Object.fromEntries(Object.keys(dials).map((dial) => [dial, { type: 'string' as const }])),
    seed: { type: 'string' },
    ...(name === 'crash' && { power: { type: 'boolean' as const } }),
  },
})
const given = values as Readonly<Record<string, string | boolean | undefined>>
const seed = Number(given['seed'] ?? Math.floor(Math.random() * 1e9))
const turned = Object.entries(dials).map(([dial, least]) => [dial, Number(given[dial] ?? least)])
const began = performance.now()
const seen = await run(Object.fromEntries(turned) as Dials, seed, given['power'] === true)
console.log(`seed ${seed}, ${((performance.now() - began) / 1000).toFixed(1)} s`)
console.log(seen)
