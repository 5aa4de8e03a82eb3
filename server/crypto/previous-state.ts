/** The key of the MACs that the root key before gave, sealed under the one that replaced it. */
import type { KeyObject } from 'node:crypto'
import { previousStateBinding } from './binding.ts'
import { deriveKey, takeKey } from './derive.ts'
import { openKey, type RandomSource, seal } from './envelope.ts'

/** The state key of `before`, sealed under `root`, whose number is given. */
export function sealPreviousState(
  storeId: string,
  root: KeyObject,
  number: number,
  before: KeyObject,
  random: RandomSource,
): Buffer {
  const state = deriveKey(before, storeId, 'state').export()
  const key = deriveKey(root, storeId, 'previous-state')
  const sealed = seal(key, previousStateBinding(storeId, number), state, random)
  state.fill(0)
  return sealed
}

/** What was sealed. Throws `store_damaged` when it does not open. */
export function openPreviousState(
  storeId: string,
  root: KeyObject,
  number: number,
  sealed: Uint8Array,
): KeyObject {
  const key = deriveKey(root, storeId, 'previous-state')
  return takeKey(openKey(key, previousStateBinding(storeId, number), sealed))
}
