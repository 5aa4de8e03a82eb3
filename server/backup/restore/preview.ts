/** What a restore would bring back, and what is newer elsewhere; nothing is made. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type LostChanges, lostChangesOf } from './lost-changes.ts'
import { compareLive, type Difference } from './compare.ts'
import { survivingLog } from './restored-log.ts'
import { type Manifest, STORE_PART } from '../manifest.ts'
import { OpenedBackup } from '../open.ts'
import type { RestoreParts } from './restore.ts'
import { provenStore, unpack } from './verify.ts'

/** What is looked at. */
export interface PreviewParts
  extends Pick<RestoreParts, 'source' | 'keys' | 'audit' | 'progress' | 'signal'> {
  /** The state directory of the live store. */
  readonly live?: string
}

/** What was found. */
export interface Preview {
  readonly backup: string
  readonly manifest: Manifest
  readonly openedWith: string | undefined
  /** Values that were opened. */
  readonly values: number
  /** Changes that are in the log and would not come back. */
  readonly lost: LostChanges['lost']
  /** Absent where no live store was named. */
  readonly newer?: readonly Difference[]
}

/** Proves the backup as a restore does, and compares. Rejects as `restoreBackup` and `compareLive`. */
export async function previewRestore(parts: PreviewParts): Promise<Preview> {
  const { source, keys, audit, live } = parts
  const scratch = await mkdtemp(join(tmpdir(), 'sotto-restore-'))
  try {
    await using backup = await OpenedBackup.open(source, keys)
    await unpack(backup, scratch, parts)
    const { name, manifest } = backup
    await using proven = await provenStore(backup, scratch, keys, parts)
    const log = join(scratch, 'audit')
    if (audit !== undefined) await survivingLog(audit, log, manifest)
    const { lost } = await lostChangesOf(log, proven.store, manifest)
    const newer = live === undefined ? undefined : compareLive(live, join(scratch, STORE_PART))
    const { values } = proven
    const { openedWith } = keys
    return { backup: name, manifest, openedWith, values, lost, ...(newer && { newer }) }
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}
