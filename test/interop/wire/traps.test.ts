/**
 * Where the two would no longer hold the same: short stories, with what setec answers to each step and
 * what Sotto does. They are setec's traps, and stand here so that none of them is taken for its wire.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describeWith } from '../../support/peers.ts'
import type { Method } from './corpus.ts'
import { brief, type Pair, sides, startPair } from './pair.ts'

interface Step {
  readonly method: Method
  /** Beside the name. */
  readonly request: object
  /** The answers; one where both give the same. */
  readonly setec: string
  readonly sotto?: string
}

interface Story {
  readonly title: string
  readonly reason: string
  readonly name: string
  readonly steps: readonly Step[]
}

const one = { Value: 'b25l' }
const two = { Value: 'dHdv' }
const zero = '400 invalid version, please specify a version > 0'

const stories: readonly Story[] = [
  {
    title: 'numbers go on after a delete',
    reason: 'A poller that holds version 1 must not be told that a different value is unchanged.',
    name: 'again',
    steps: [
      { method: 'put', request: one, setec: '200 1' },
      { method: 'delete', request: {}, setec: '200 {}' },
      { method: 'put', request: two, setec: '200 1', sotto: '200 2' },
      {
        method: 'get',
        request: { Version: 1, UpdateIfChanged: true },
        setec: '304',
        sotto: '200 {"Value":"dHdv","Version":2}',
      },
      {
        method: 'get',
        request: { Version: 1 },
        setec: '200 {"Value":"dHdv","Version":1}',
        sotto: '404 not found',
      },
      {
        method: 'info',
        request: {},
        setec: '200 {"Name":"again","Versions":[1],"ActiveVersion":1}',
        sotto: '200 {"Name":"again","Versions":[2],"ActiveVersion":2}',
      },
    ],
  },
  {
    title: 'a number stays claimed after a delete',
    reason: 'The number would stand for two values.',
    name: 'claimed',
    steps: [
      { method: 'create-version', request: { Version: 5, ...one }, setec: '200 {}' },
      { method: 'create-version', request: { Version: 3, ...two }, setec: '200 {}' },
      { method: 'delete', request: {}, setec: '200 {}' },
      {
        method: 'create-version',
        request: { Version: 5, ...two },
        setec: '200 {}',
        sotto: '412 version already set',
      },
      {
        method: 'create-version',
        request: { Version: 4, ...two },
        setec: '200 {}',
      },
      { method: 'put', request: one, setec: '200 6' },
    ],
  },
  {
    title: 'an empty value is stored after the latest was deleted',
    reason: 'setec answers the number of the deleted version, and stores nothing.',
    name: 'empty',
    steps: [
      { method: 'put', request: one, setec: '200 1' },
      { method: 'put', request: two, setec: '200 2' },
      { method: 'delete-version', request: { Version: 2 }, setec: '200 {}' },
      { method: 'put', request: {}, setec: '200 2', sotto: '200 3' },
      {
        method: 'get',
        request: { Version: 3 },
        setec: '404 not found',
        sotto: '200 {"Value":"","Version":3}',
      },
    ],
  },
  {
    title: 'there is no number after the last',
    reason: 'setec goes on at 0, which stands for no version.',
    name: 'last',
    steps: [
      { method: 'create-version', request: { Version: 4_294_967_295, ...one }, setec: '200 {}' },
      {
        method: 'put',
        request: two,
        setec: '200 0',
        sotto: '400 no version number is left for this secret',
      },
      { method: 'create-version', request: { Version: 7, ...two }, setec: '200 {}' },
      { method: 'activate', request: { Version: 0 }, setec: '500 internal error', sotto: zero },
    ],
  },
  {
    title: 'no names are reserved',
    reason:
      'setec lets create-version make a name under _internal/ that nothing can change or delete.',
    name: '_internal/x',
    steps: [
      { method: 'put', request: one, setec: '500 internal error', sotto: '200 1' },
      {
        method: 'create-version',
        request: { Version: 2, ...two },
        setec: '200 {}',
      },
      { method: 'activate', request: { Version: 2 }, setec: '500 internal error', sotto: '200 {}' },
      {
        method: 'delete-version',
        request: { Version: 1 },
        setec: '500 internal error',
        sotto: '200 {}',
      },
      { method: 'delete', request: {}, setec: '500 internal error', sotto: '200 {}' },
    ],
  },
]

describeWith(['setecd'], "setec's traps", () => {
  let pair: Pair

  beforeAll(async () => {
    pair = await startPair()
  })
  afterAll(() => pair.stop())

  test.for(stories.map((story) => [`${story.title}: ${story.reason}`, story] as const))(
    '%s',
    async ([, { name, steps }]) => {
      for (const { method, request, setec, sotto = setec } of steps) {
        const answers = sides.map(async (side) =>
          brief(await pair.call(side, method, { Name: name, ...request })),
        )
        expect(await Promise.all(answers), `${method} ${JSON.stringify(request)}`).toEqual([
          setec,
          sotto,
        ])
      }
    },
  )
})
