/** The kinds of rotations, and the shapes of what is generated. */
import { expect, test } from 'vitest'
import { type RotationConfig, rotationConfig } from '../../client/api/rotations.ts'
import { kindsOn } from '../../server/rotation/kinds/kinds.ts'
import { Targets } from '../../server/rotation/targets.ts'
import { fits, generate } from '../../server/rotation/template.ts'
import { noValues, rotationKind } from '../contract/rotation-kind.ts'

const kindOf = kindsOn(new Targets({ allowed: [] }))
const previous = Buffer.from('the one before')

function config(more: object): RotationConfig {
  return rotationConfig.parse({ secret: 'prod/key', ...more })
}

function templateOf(more: object) {
  const parsed = config({ kind: 'generated', template: more })
  if (parsed.kind !== 'generated') throw new Error('it is another kind')
  return parsed.template
}

const shapes = [
  { shape: 'text' },
  { shape: 'text', bytes: 16, alphabet: 'hex' },
  { shape: 'text', bytes: 64, alphabet: 'alphanumeric' },
  { shape: 'json', field: 'password', fields: { username: 'app' } },
  { shape: 'verifier' },
]

for (const shape of shapes) {
  rotationKind(`generated ${JSON.stringify(shape)}`, async () => {
    const kind = kindOf(config({ kind: 'generated', template: shape }))
    return { kind, candidate: await kind.generate(previous, noValues), previous }
  })
}

rotationKind('manual', async () => ({
  kind: kindOf(config({ kind: 'manual' })),
  candidate: Buffer.from('by hand'),
  previous,
}))

test('values have their shape, and no other value passes for one', () => {
  for (const shape of shapes) {
    const template = templateOf(shape)
    expect(fits(template, generate(template, previous))).toBe(true)
    for (const other of ['', 'x', '{}', '[]', 'null', '{"current":"x"}', '{"password":"x"}']) {
      expect([shape, other, fits(template, Buffer.from(other))]).toEqual([shape, other, false])
    }
  }
  const hex = generate(templateOf({ shape: 'text', bytes: 16, alphabet: 'hex' }), previous)
  expect(Buffer.from(hex).toString()).toMatch(/^[0-9a-f]{32}$/)
})

test('a value has other fields as they are given, and the generated one among them', () => {
  const template = templateOf({ shape: 'json', fields: { username: 'app', password: 'never' } })
  const made = JSON.parse(Buffer.from(generate(template, previous)).toString())
  expect(made).toEqual({ username: 'app', password: expect.stringMatching(/^[\w-]{43}$/) })
})

test('one for verifiers has what was current before, or all of a value that had none', () => {
  const template = templateOf({ shape: 'verifier' })
  const first = Buffer.from(generate(template, previous))
  const { current, previous: kept } = JSON.parse(first.toString())
  expect(kept).toBe('the one before')
  expect(JSON.parse(Buffer.from(generate(template, first)).toString()).previous).toBe(current)
})
