/** What every kind of rotation does: each act again does no harm, since a crash may have hidden that it was done. */
import { describe, expect, test } from 'vitest'
import type { Kind, RunValues } from '../../server/rotation/kinds/contract.ts'

/** A kind, and values that it accepts. */
export interface KindUnderTest {
  readonly kind: Kind
  readonly candidate: Uint8Array
  readonly previous: Uint8Array
}

/** Registers tests for the kind that `make` gives in each of them. */
export function rotationKind(name: string, make: () => Promise<KindUnderTest>): void {
  describe(`the kind ${name}`, () => {
    const valuesOf = ({ candidate, previous }: KindUnderTest): RunValues => ({
      candidate: async () => Buffer.from(candidate),
      previous: async () => Buffer.from(previous),
    })

    test('has nothing in its way, and accepts the candidate once it is applied, also twice', async () => {
      const under = await make()
      const values = valuesOf(under)
      expect(await under.kind.plan()).toEqual([])
      for (const _ of [1, 2]) {
        await under.kind.apply(values)
        expect(await under.kind.probe(values)).toMatchObject({ candidate: true })
        await under.kind.test(values)
      }
      expect((await under.kind.sessions()) ?? 0).toBe(0)
    })

    test('restores and retires, also twice', async () => {
      const under = await make()
      const values = valuesOf(under)
      await under.kind.apply(values)
      for (const _ of [1, 2]) await under.kind.restore(values)
      expect(await under.kind.probe(values)).toMatchObject({ previous: true })
      await under.kind.apply(values)
      for (const _ of [1, 2]) await under.kind.retire(values)
      expect(await under.kind.probe(values)).toMatchObject({ candidate: true })
    })

    test('makes another value each time, unless a person does', async () => {
      const { kind, previous } = await make()
      const byHand = await kind.generate(previous).then(
        () => false,
        () => true,
      )
      expect(byHand).toBe(kind.byHand)
      if (byHand) return
      const made = [await kind.generate(previous), await kind.generate(previous)]
      for (const candidate of made) await kind.test(valuesOf({ kind, candidate, previous }))
      const texts = made.map((each) => Buffer.from(each).toString())
      expect(new Set(texts).size).toBe(2)
    })
  })
}
