/** How much backends keep, as far as a caller may know. */
import type { BackendRecord } from '../backends/registry.ts'
import type { Call, Gate } from '../gate/gate.ts'
import type { Store } from '../store/contract.ts'

/** How many secrets a backend keeps, values that are left to be removed there, and secrets that it has besides. */
type Counts = Pick<BackendRecord, 'secrets' | 'orphans' | 'copies'>

/**
 * How many secrets of each backend, leftovers and copies, `call` has `info` on; those of the store under null. Undefined
 * where that is all of them.
 */
export async function countsSeen(
  { store, gate }: { readonly store: Store; readonly gate: Gate },
  call: Call,
  backends: readonly BackendRecord[],
): Promise<ReadonlyMap<number | null, Counts> | undefined> {
  if (gate.seesEach(call, 'info', '*')) return undefined
  const seen = new Map<number | null, { -readonly [K in keyof Counts]: Counts[K] }>()
  for (const id of [null, ...backends.map((each) => each.id)]) {
    const count = async (list: 'homed' | 'copied'): Promise<number> =>
      (await gate.visible(call, 'info', await store[list](id))).length
    const isAny = gate.seesAny(call, 'info')
    const [secrets, copies] = isAny ? [await count('homed'), await count('copied')] : [0, 0]
    seen.set(id, { secrets, copies, orphans: 0 })
  }
  for (let cursor: number | undefined = 0; cursor !== undefined && gate.seesAny(call, 'info'); ) {
    const page = await store.orphans(cursor, 1000)
    cursor = page.at(-1)?.cursor
    for (const { backend, name } of page) {
      const counts = seen.get(backend)
      if (counts && gate.sees(call, 'info', name)) counts.orphans++
    }
  }
  return seen
}
