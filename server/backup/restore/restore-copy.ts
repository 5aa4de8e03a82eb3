/**
 * Makes a store out of a copy of its file alone, as replication programs make it. Such a copy has no part of
 * the audit log, and only the store's own seals vouch for its bytes.
 */
import { createReadStream, createWriteStream, existsSync, statSync } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { beginning } from '../../../audit/line.ts'
import { quote, SottoError } from '../../../client/api/errors.ts'
import type { Keyring } from '../../crypto/keyring.ts'
import type { KeyProvider } from '../../crypto/provider.ts'
import { openKeyring } from '../../keys/wraps.ts'
import type { Store } from '../../store/contract.ts'
import { NEWEST_SCHEMA } from '../../store/sqlite/migrate.ts'
import { openStore } from '../../store/sqlite/store.ts'
import { version } from '../../platform/version.ts'
import type { Progress } from '../targets/target.ts'
import { BACKUP_FORMAT } from '../head.ts'
import { survivingLog } from './restored-log.ts'
import { type Manifest, STORE_PART } from '../manifest.ts'
import { type Continuing, continueStore } from './continue.ts'
import { publishState } from './publish.ts'
import type { RestoredStore } from './restore.ts'
import { isSymmetric } from '../source.ts'
import { demandRoot } from './root.ts'
import { countStates, openValues, WAIT_MS } from './verify.ts'

/** What every SQLite file begins with. */
const MAGIC = 'SQLite format 3\0'

/** What a store is made with. */
export interface CopyParts extends Omit<Continuing, 'exact' | 'root'> {
  /** The state directory to be: absent or empty. */
  readonly to: string
  /** The path of the copy. It is not changed. */
  readonly copy: string
  readonly providers: readonly KeyProvider[]
  /** The folder of the audit log of the same store, where it survived. */
  readonly audit?: string
  /** The fingerprint of the root key that the store must have. */
  readonly expectRoot?: string
  readonly progress?: Progress
}

/** Whether the file at `path` is a copy of a store's file, rather than a backup. */
export async function isCopy(path: string): Promise<boolean> {
  try {
    await using file = await open(path, 'r')
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAGIC.length))
    return buffer.toString('latin1', 0, bytesRead) === MAGIC
  } catch {
    // Who reads it as a backup tells what is wrong.
    return false
  }
}

/**
 * Restores a copy. Resolves and rejects as `restoreBackup`; with `store_foreign`, `store_newer` and
 * `store_damaged` for a file that is not a store of this release, and with `local` for one that has a
 * log of SQLite next to it, without which it is not whole.
 */
export async function restoreCopy(parts: CopyParts): Promise<RestoredStore> {
  parts.signal?.throwIfAborted()
  return publishState(parts.to, (draft) => build(parts, draft))
}

async function build(parts: CopyParts, draft: string): Promise<RestoredStore> {
  const { copy, to, audit, signal } = parts
  if (existsSync(`${copy}-wal`) && statSync(`${copy}-wal`).size > 0) {
    const message = `Cannot restore ${quote(copy)}: it has a log of SQLite next to it`
    throw new SottoError('local', message, {
      hint: 'It is the file of a store, which is not whole alone: start the server on it. Restore copies that a program made of it.',
    })
  }
  const path = join(draft, STORE_PART)
  const written = createWriteStream(path, { flags: 'wx', mode: 0o600 })
  await pipeline(createReadStream(copy), written, { ...(signal && { signal }) })
  const created = (await stat(copy)).mtime.toISOString()
  const store = await openStore(path, { waitMs: WAIT_MS })
  await using proven = { store, [Symbol.asyncDispose]: () => store.close() }
  const { id } = store.identity
  const stored = await store.keys()
  const { keyring, rootKey, wrap } = await openKeyring(id, stored, parts.providers)
  rootKey.fill(0)
  const root = keyring.rootFingerprint
  await demandRoot(basename(copy), root, { ...parts, proves: isSymmetric(wrap) })
  const openedWith = `${wrap.provider} key ${wrap.fingerprint}`
  const found = await manifestOf(store, keyring, created, parts)
  await openValues(store, keyring, found, parts)
  const { audit: known } = found.store
  let after = beginning
  if (audit !== undefined) {
    const log = known && { after: beginning, last: known }
    after = await survivingLog(audit, join(draft, 'audit'), { ...found, log }, keyring, parts)
  }
  // The whole log is read: only there it shows which changes were under way when the copy was made.
  const log = audit === undefined || known === null ? null : { after, last: known }
  const exact = log !== null
  const manifest = { ...found, log }
  const backup = basename(copy)
  const continued = await continueStore(
    { path: draft, backup, manifest, proven: { ...proven, keyring } },
    { ...parts, exact, root },
  )
  const opens = stored.wraps.map(({ provider, fingerprint }) => ({ provider, fingerprint }))
  return { to, backup, manifest, openedWith, root, opens, logAfter: after, ...continued }
}

/** The manifest that a backup of the store would have. Throws `store_damaged` for a state that does not verify. */
async function manifestOf(
  store: Store,
  keyring: Keyring,
  created: string,
  options: Pick<CopyParts, 'signal'>,
): Promise<Manifest> {
  const { id, development, createdAt, branch } = store.identity
  const counts = await countStates(store, keyring, options)
  const keys = keyring
    .fingerprints()
    .map((key) => ({ id: key.id, state: key.state, fingerprint: key.fingerprint }))
  const schema = NEWEST_SCHEMA
  return {
    format: BACKUP_FORMAT,
    program: version,
    store: { id, development, createdAt, schema, branch, ...(await store.head()), counts, keys },
    created,
    log: null,
    follows: null,
    notes: {},
    parts: [],
  }
}
