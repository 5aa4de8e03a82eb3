/** What a live store has that a backup of it does not, without a key: by the states of its secrets. */
import { quote, SottoError } from '../../../client/api/errors.ts'
import type { SecretRow } from '../../store/contract.ts'
import { stateDirectory } from '../../store/directory.ts'
import { asStoreError } from '../../store/sqlite/faults.ts'
import { Reader } from '../../store/sqlite/reader.ts'

/** A secret that is not the same in both. */
export interface Difference {
  readonly name: string
  /**
   * `new`: the backup does not know the name. `changed`: it has other versions, or another is active.
   * `deleted`: the backup has the secret, and the live store has not any more. `unknown`: the live
   * store does not know the name, so it is not later than the backup.
   */
  readonly state: 'new' | 'changed' | 'deleted' | 'unknown'
}

/**
 * Compares the live store in the state directory `live`, which a server may be using, with the
 * unpacked store at `backup`. Resolves with the differences, by name. Rejects with `store_foreign`
 * where they are not the same store, and as stateDirectory.
 */
export function compareLive(live: string, backup: string): Difference[] {
  const liveFile = stateDirectory(live).store
  const then = statesOf(backup)
  const now = statesOf(liveFile)
  if (then.id !== now.id) {
    throw new SottoError(
      'store_foreign',
      `The store in ${quote(live)} is ${now.id}, and the backup is of ${then.id}`,
    )
  }
  const differences: Difference[] = []
  for (const [name, row] of now.states) {
    const before = then.states.get(name)
    then.states.delete(name)
    if (before === undefined) differences.push({ name, state: 'new' })
    else if (!Buffer.from(before.mac).equals(row.mac)) {
      const gone = before.active > 0 && row.active === 0
      differences.push({ name, state: gone ? 'deleted' : 'changed' })
    }
  }
  for (const name of then.states.keys()) differences.push({ name, state: 'unknown' })
  return differences
}

function statesOf(path: string): { id: string; states: Map<string, SecretRow> } {
  let reader: Reader | undefined
  try {
    reader = new Reader(path)
    const states = new Map<string, SecretRow>()
    for (let page = reader.look('states', undefined); page.length > 0; ) {
      for (const row of page) states.set(row.name, row)
      page = reader.look('states', page.at(-1)?.name)
    }
    return { id: reader.look('identify').id, states }
  } catch (error) {
    throw asStoreError(error, 'read it', path)
  } finally {
    reader?.close()
  }
}
