/** What a restore would bring back, and what is newer elsewhere; nothing is made. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { quote, SottoError } from '../../../client/api/errors.ts'
import { removedAtExit } from '../../platform/at-exit.ts'
import type { SecretRow } from '../../store/contract.ts'
import { makeTemporary } from '../../platform/temporary.ts'
import { stateDirectory } from '../../store/directory.ts'
import { asStoreError } from '../../store/sqlite/faults.ts'
import { Reader } from '../../store/sqlite/reader.ts'
import { type LostChanges, lostChangesOf } from './lost-changes.ts'
import { survivingLog } from './restored-log.ts'
import { type Manifest, STORE_PART } from '../manifest.ts'
import { backupNameOf } from '../name.ts'
import { OpenedBackup } from '../open.ts'
import type { RestoreParts } from './restore.ts'
import { demandRoot } from './root.ts'
import { type KeyName, opensOf, provenStore, unpack } from './verify.ts'

/** What is looked at. */
export interface PreviewParts
  extends Pick<RestoreParts, 'source' | 'keys' | 'audit' | 'expectRoot' | 'progress' | 'signal'> {
  /** The state directory of the live store. */
  readonly live?: string
}

/** A secret that is not the same in both. */
interface Difference {
  readonly name: string
  /**
   * `new`: the backup does not know the name. `changed`: it has other versions, or another is active.
   * `deleted`: the backup has the secret, and the live store has not any more. `unknown`: the live
   * store does not know the name, so it is not later than the backup.
   */
  readonly state: 'new' | 'changed' | 'deleted' | 'unknown'
}

/** What was found. */
export interface Preview {
  readonly backup: string
  readonly manifest: Manifest
  readonly openedWith: string | undefined
  /** The fingerprint of its root key. */
  readonly root: string
  /** The keys that would open it again. */
  readonly opens: readonly KeyName[]
  /** Values that were opened. */
  readonly values: number
  /** Changes that are in the log and would not come back. */
  readonly lost: LostChanges['lost']
  /** Absent where no live store was named. */
  readonly newer?: readonly Difference[]
}

/**
 * Proves the backup as a restore does, and compares. Rejects as `restoreBackup`, as `stateDirectory`, and with
 * `store_foreign` where `live` is another store.
 */
export async function previewRestore(parts: PreviewParts): Promise<Preview> {
  const { source, keys, audit, live } = parts
  const scratch = await makeTemporary('sotto-restore-')
  using _ = removedAtExit(scratch)
  try {
    await using backup = await OpenedBackup.open(source, keys)
    await unpack(backup, scratch, parts)
    const { name, manifest, root } = backup
    await demandRoot(backupNameOf(manifest), root, { ...parts, proves: true })
    await using proven = await provenStore(backup, scratch, keys, parts)
    const log = join(scratch, 'audit')
    if (audit !== undefined) await survivingLog(audit, log, manifest, proven.keyring, parts)
    const { lost } = await lostChangesOf(log, proven.store, manifest, parts.signal)
    const newer = live === undefined ? undefined : compareLive(live, join(scratch, STORE_PART))
    const { values } = proven
    const { openedWith } = keys
    const opens = opensOf(backup)
    return {
      backup: name,
      manifest,
      openedWith,
      root,
      opens,
      values,
      lost,
      ...(newer && { newer }),
    }
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

/** By name, without a key: by the states of secrets. A server may be using the store in `live`. */
function compareLive(live: string, backup: string): Difference[] {
  const now = statesOf(stateDirectory(live).store)
  const then = statesOf(backup)
  if (then.id !== now.id) {
    const message = `The store in ${quote(live)} is ${now.id}, and the backup is of ${then.id}`
    throw new SottoError('store_foreign', message)
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
