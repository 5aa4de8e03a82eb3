/**
 * The thread that restores a backup, opens every value of what came back, says what it was, and ends. In the
 * thread that serves, that would hold up everybody for seconds.
 */
import { SottoError } from '../../../client/api/errors.ts'
import type { Manifest } from '../manifest.ts'
import { targetAt } from '../targets/place.ts'
import type { BackupPlace, TargetObject } from '../targets/target.ts'
import { restoreBackup } from '../restore/restore.ts'
import { objectSource, providerKeys } from '../source.ts'
import { openValues } from '../restore/verify.ts'
import type { KeyProvider } from '../../crypto/provider.ts'
import { openKeyring } from '../../keys/wraps.ts'
import { stateDirectory } from '../../store/directory.ts'
import { openStore } from '../../store/sqlite/store.ts'
import { answerQuestion, yieldToOthers } from '../../platform/thread.ts'

/** What the thread is started with. */
export interface Rehearsed {
  readonly place: BackupPlace
  readonly backup: TargetObject
  /** The state directory to be. */
  readonly to: string
  /** The key that opened the backup, and the root key that it gave. */
  readonly provider: string
  readonly fingerprint: string
  readonly rootKey: Uint8Array
  /** The fingerprint of the store's root key. */
  readonly root: string
}

/** What was proven. */
export interface RehearsedBackup {
  /** Values that were opened. */
  readonly values: number
  readonly manifest: Manifest
}

async function rehearse(given: Rehearsed): Promise<RehearsedBackup> {
  yieldToOthers()
  try {
    const { place, backup, to, root: expectRoot } = given
    const key = opened(given)
    const source = objectSource(targetAt(place), backup)
    using keys = providerKeys([key])
    const operator = 'system:rehearsal'
    const { manifest } = await restoreBackup({ source, keys, to, operator, expectRoot })
    return { values: await openWhole(to, manifest, key), manifest }
  } finally {
    given.rootKey.fill(0)
  }
}

/** Opens what was restored as a server would. */
async function openWhole(path: string, manifest: Manifest, key: KeyProvider): Promise<number> {
  const store = await openStore(stateDirectory(path).store)
  await using _ = { [Symbol.asyncDispose]: () => store.close() }
  const { keyring, rootKey } = await openKeyring(store.identity.id, await store.keys(), [key])
  rootKey.fill(0)
  const values = await openValues(store, keyring, manifest)
  const due = manifest.store.counts.versions
  if (values === due) return values
  throw new SottoError('backup_damaged', `${values} values were restored where ${due} are due`)
}

/** A key that was asked already: it gives what it gave. */
function opened({ provider, fingerprint, rootKey }: Rehearsed): KeyProvider {
  return {
    name: provider,
    fingerprint: async () => fingerprint,
    wrap: () => Promise.reject(new Error('nothing is wrapped in a rehearsal')),
    unwrap: async () => Uint8Array.from(rootKey),
  }
}

await answerQuestion(rehearse)
