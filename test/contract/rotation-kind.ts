/** What every kind of rotation does: each act again does no harm, since a crash may have hidden that it was done. */
import { describe, expect, test } from 'vitest'
import type { Kind, RunValues } from '../../server/rotation/kinds/contract.ts'

/** A kind, and values that it accepts. */
export interface KindUnderTest {
  readonly kind: Kind
  readonly candidate: Uint8Array
  readonly previous: Uint8Array
  /** Other secrets, by name. */
  readonly secrets?: Readonly<Record<string, string>>
}

const none = (): Promise<never> => Promise.reject(new Error('There is no such value'))

/** The values of a run that has none. */
export const noValues: RunValues = { candidate: none, previous: none, secret: none }

/** Registers tests for the kind that `make` gives in each of them. */
export function rotationKind(name: string, make: () => Promise<KindUnderTest>): void {
  describe(`the kind ${name}`, () => {
    const valuesOf = ({ candidate, previous, secrets = {} }: KindUnderTest): RunValues => ({
      candidate: async () => Buffer.from(candidate),
      previous: async () => Buffer.from(previous),
      secret: async (secret) => Buffer.from(secrets[secret] ?? ''),
    })

    test('has nothing in its way, and accepts the candidate once it is applied, also twice', async () => {
      const under = await make()
      const values = valuesOf(under)
      expect(await under.kind.plan()).toEqual([])
      for (const _ of [1, 2]) {
        await under.kind.apply(values)
        expect(await under.kind.accepts(values.candidate)).toBe(true)
        await under.kind.test(values)
      }
      expect((await under.kind.sessions(values)) ?? 0).toBe(0)
    })

    test('restores and retires, also twice', async () => {
      const under = await make()
      const values = valuesOf(under)
      await under.kind.apply(values)
      for (const _ of [1, 2]) await under.kind.restore(values)
      expect(await under.kind.accepts(values.previous)).toBe(true)
      await under.kind.apply(values)
      for (const _ of [1, 2]) await under.kind.retire(values)
      expect(await under.kind.accepts(values.candidate)).toBe(true)
    })

    test('makes another value each time, unless a person does', async () => {
      const under = await make()
      const { kind, previous } = under
      const values = valuesOf(under)
      const byHand = await kind.generate(previous, values).then(
        () => false,
        () => true,
      )
      expect(byHand).toBe(kind.byHand)
      if (byHand) return
      const made = [await kind.generate(previous, values), await kind.generate(previous, values)]
      for (const candidate of made) {
        const own = valuesOf({ ...under, candidate })
        await kind.apply(own)
        await kind.test(own)
      }
      const texts = made.map((each) => Buffer.from(each).toString())
      expect(new Set(texts).size).toBe(2)
    })
  })
}
