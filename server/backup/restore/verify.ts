/** Proves a backup: every byte of it, and every value that is in it, opened with the keys that are given. */
import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { nodeFiles } from '../../../audit/files.ts'
import { findRecord, recover } from '../../../audit/recovery.ts'
import { verifyLog } from '../../../audit/verify.ts'
import { quote, SottoError } from '../../../client/api/errors.ts'
import type { Keyring } from '../../crypto/keyring.ts'
import type { Wrap } from '../../crypto/root-key.ts'
import { systemError } from '../../../client/platform/system-error.ts'
import { makeTemporary } from '../../platform/temporary.ts'
import type { PlacedVersion, Store } from '../../store/contract.ts'
import { NEWEST_SCHEMA } from '../../store/sqlite/migrate.ts'
import { openStore } from '../../store/sqlite/store.ts'
import { removedAtExit } from '../../platform/at-exit.ts'
import type { Progress } from '../targets/target.ts'
import { extract } from '../extract.ts'
import { damaged } from '../damage.ts'
import { type Manifest, refuseNewerSchema, STORE_PART } from '../manifest.ts'
import { OpenedBackup } from '../open.ts'
import type { BackupKeys, BackupSource } from '../source.ts'
import { refuseOtherRoot } from './root.ts'

/** How a backup is verified. */
export interface VerifyBackupOptions {
  /** Where it is unpacked for as long as that takes. Default: the system's temporary directory. */
  readonly scratch?: string
  /** The fingerprint of the root key that it must be under. */
  readonly expectRoot?: string
  readonly progress?: Progress
  readonly signal?: AbortSignal
}

/** What was proven. */
export interface VerifiedBackup {
  readonly name: string
  /** Bytes of the file. */
  readonly size: number
  readonly manifest: Manifest
  /** The key that opened it; undefined where a keyring in memory did. */
  readonly openedWith: string | undefined
  /** The fingerprint of the root key that it is under. */
  readonly root: string
  /** The keys that open it. */
  readonly opens: readonly KeyName[]
  /** Values that were opened. */
  readonly values: number
}

/** Names a key that opens a backup. */
export type KeyName = Pick<Wrap, 'provider' | 'fingerprint'>

/** How long a read of an unpacked or copied store may take, in milliseconds: no request waits for it. */
export const WAIT_MS: number = 60_000

/**
 * Reads all of a backup and proves what it holds. Rejects with `backup_damaged` and what is wrong,
 * with `store_newer` for a format or schema of a later release, with `store_foreign` for one under another root
 * key than was expected, as the keys do, and with `local` there is no room to unpack it.
 */
export async function verifyBackup(
  source: BackupSource,
  keys: BackupKeys,
  options: VerifyBackupOptions = {},
): Promise<VerifiedBackup> {
  const scratch = await makeTemporary('sotto-verify-', options.scratch)
  using _ = removedAtExit(scratch)
  try {
    await using backup = await OpenedBackup.open(source, keys)
    await unpack(backup, scratch, options)
    await using store = await provenStore(backup, scratch, keys, options)
    const { name, manifest, root } = backup
    const { openedWith } = keys
    const { values } = store
    return { name, size: source.size, manifest, openedWith, root, opens: opensOf(backup), values }
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

/** The keys that open a backup. */
export function opensOf({ head }: OpenedBackup): KeyName[] {
  return head.wraps.map(({ provider, fingerprint }) => ({ provider, fingerprint }))
}

/** Unpacks a backup. Rejects as verifyBackup, and then some of it may be there. */
export async function unpack(
  backup: OpenedBackup,
  directory: string,
  options: VerifyBackupOptions,
): Promise<void> {
  refuseOtherRoot(backup.name, backup.root, options.expectRoot)
  refuseNewerSchema(backup.manifest, backup.name, NEWEST_SCHEMA)
  try {
    await extract(backup, directory, options)
  } catch (error) {
    const hint =
      'Look at the space of the disk; TMPDIR names where a backup is unpacked to be verified.'
    throw systemError(error, `unpack ${quote(backup.name)} into`, directory, { hint })
  }
}

/** A store that was unpacked and proven; disposing of it closes it. */
export interface ProvenStore extends AsyncDisposable {
  readonly store: Store
  readonly keyring: Keyring
  /** Values that were opened. */
  readonly values: number
}

/**
 * Opens the store of a backup that was unpacked into `directory`, and proves it and its log: the
 * file, every MAC, every value, every record. Rejects as verifyBackup.
 */
export async function provenStore(
  backup: OpenedBackup,
  directory: string,
  keys: BackupKeys,
  options: VerifyBackupOptions = {},
): Promise<ProvenStore> {
  const { name, manifest } = backup
  const audit = join(directory, 'audit')
  await told(name, () => proveLog(audit, manifest, name, options))
  const store = await told(name, () => openStore(join(directory, STORE_PART), { waitMs: WAIT_MS }))
  try {
    return await told(name, async () => {
      await compareStore(store, audit, manifest, name)
      const stored = await store.keys()
      const keyring = keys.keyring(manifest.store.id, stored)
      compareKeys(keyring, manifest, name)
      const found: Record<string, number> = await countStates(store, keyring, options)
      for (const [what, due] of Object.entries(manifest.store.counts)) {
        if (found[what] !== due) {
          throw damaged(name, `it has ${found[what]} ${what} where ${due} are due`)
        }
      }
      const values = await openValues(store, keyring, manifest, options)
      const due = manifest.store.counts.versions
      if (values !== due) throw damaged(name, `it has ${values} values where ${due} are due`)
      return { store, keyring, values, [Symbol.asyncDispose]: () => store.close() }
    })
  } catch (error) {
    await store.close()
    throw error
  }
}

/** What is found wrong with what a backup holds is wrong with the backup. */
async function told<T>(name: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (error) {
    const wrong = ['store_damaged', 'store_foreign', 'audit_damaged', 'no_store']
    if (!(error instanceof SottoError) || !wrong.includes(error.code)) throw error
    throw damaged(name, error.message, error)
  }
}

async function compareStore(
  store: Store,
  directory: string,
  { store: said, log }: Manifest,
  name: string,
): Promise<void> {
  const { id, development, createdAt, branch } = store.identity
  if (id !== said.id || development !== said.development || createdAt !== said.createdAt) {
    throw damaged(name, `it holds store ${id}, and its manifest names store ${said.id}`)
  }
  if (branch !== said.branch) {
    throw damaged(name, `it holds branch ${branch}, and its manifest names branch ${said.branch}`)
  }
  const { revision, audit } = await store.head()
  const same = audit?.id === said.audit?.id && audit?.hash === said.audit?.hash
  if (revision !== said.revision || !same) {
    throw damaged(name, 'its store is at another revision or record than its manifest says')
  }
  // The record that the store knows must be in the log, or come before the part of it that is here.
  if (audit === null || log === null || audit.id <= log.after.id) return
  const found = await findRecord(directory, audit.id)
  if (found?.hash === audit.hash) return
  throw damaged(name, `audit record ${audit.id}, which its store knows, is not in its log`)
}

function compareKeys(keyring: Keyring, { store: said }: Manifest, name: string): void {
  const found = keyring.fingerprints()
  const same =
    found.length === said.keys.length &&
    said.keys.every(({ id, fingerprint }) =>
      found.some((key) => key.id === id && ['', key.fingerprint].includes(fingerprint)),
    )
  if (!same) throw damaged(name, 'its keyring has other entries than its manifest lists')
}

/** Counts what `store` holds. Throws `store_damaged` for a state that does not verify. */
export async function countStates(
  store: Store,
  keyring: Keyring,
  { signal }: VerifyBackupOptions = {},
): Promise<Manifest['store']['counts']> {
  const counts = { names: 0, secrets: 0, versions: 0, tombstones: 0 }
  for (let page = await store.states(undefined); page.length > 0; ) {
    signal?.throwIfAborted()
    for (const row of page) {
      keyring.verify(row, row.mac)
      counts.names++
      if (row.active > 0) counts.secrets++
      counts.versions += row.versions.length
      counts.tombstones += row.removed.length
    }
    page = await store.states(page.at(-1)?.name)
  }
  return counts
}

/** Opens every value, and zeroes it. Resolves with how many; throws `store_damaged`. */
export async function openValues(
  store: Store,
  keyring: Keyring,
  { store: { counts } }: Pick<Manifest, 'store'>,
  { progress, signal }: VerifyBackupOptions = {},
): Promise<number> {
  let opened = 0
  let last: PlacedVersion | undefined
  for (;;) {
    const page = await store.versions(last)
    if (page.length === 0) return opened
    signal?.throwIfAborted()
    for (const each of page) {
      keyring.prove(each, each)
      opened++
    }
    last = page.at(-1)
    progress?.('opening values', opened, counts.versions)
  }
}

async function proveLog(
  directory: string,
  manifest: Manifest,
  name: string,
  { signal }: VerifyBackupOptions,
): Promise<void> {
  const { store, log, parts } = manifest
  if (log === null) {
    if (parts.length === 1 && store.audit === null) return
    throw damaged(name, 'its manifest has no audit log, and there is one')
  }
  if (!existsSync(directory)) throw damaged(name, 'the audit log in its manifest is not there')
  const report = await verifyLog(directory, { after: log.after, head: log.last, signal })
  if (report.damage) throw damaged(name, `its audit log: ${report.damage.message}`)
  const { recovered } = await recover(nodeFiles, directory, store.id)
  if (recovered.last?.id !== log.last.id || recovered.last.hash !== log.last.hash) {
    throw damaged(name, 'its audit log ends at another record than its manifest says')
  }
  if (recovered.revision <= store.revision) return
  throw damaged(name, 'its audit log has a later revision than its store')
}
