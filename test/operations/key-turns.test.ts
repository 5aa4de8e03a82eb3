/** Changes of the keys of a served store: each is decided by the wraps that there are when it is made. */
import { expect, test } from 'vitest'
import type { Call } from '../../server/gate/gate.ts'
import { Keys, type KeysParts } from '../../server/operations/keys.ts'

test('they run one after another, also after one that failed', async () => {
  const steps: string[] = []
  const gates = [Promise.withResolvers<never>(), Promise.withResolvers<never>()]
  const keys = new Keys({
    gate: { operateOnHost: async () => ({ announce: async () => {} }) },
    providers: async () => [],
    newKey: async (provider: string) => {
      steps.push(provider)
      return gates[steps.length - 1]?.promise
    },
  } as unknown as KeysParts)
  const add = (Provider: 'local' | 'recovery') =>
    keys.add({} as Call, { Provider, Settings: [] }).catch(({ message }: Error) => message)
  const both = [add('local'), add('recovery')]
  await expect.poll(() => steps).toEqual(['local'])
  gates[0]?.reject(new Error('the first'))
  expect(await both[0]).toBeDefined()
  await expect.poll(() => steps).toEqual(['local', 'recovery'])
  gates[1]?.reject(new Error('the second'))
  expect(await both[1]).toBeDefined()
})
