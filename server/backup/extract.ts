/** Writes the parts of a backup to files. */
import { mkdir, open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { OpenedBackup } from './open.ts'
import { sync } from '../../client/platform/durable.ts'
import type { Progress } from './targets/target.ts'

/** How parts are written. */
export interface ExtractOptions {
  /** Which parts; others are read and checked alone. Default: every one. */
  readonly wanted?: (name: string) => boolean
  readonly progress?: Progress
  readonly signal?: AbortSignal
}

/**
 * Writes the parts of `backup` into the directory at `path`, as their names say, for the owner alone
 * and durably. Rejects with `backup_damaged`, and with the system's error.
 */
export async function extract(
  backup: OpenedBackup,
  path: string,
  { wanted = () => true, progress, signal }: ExtractOptions = {},
): Promise<void> {
  const total = backup.manifest.parts.reduce((sum, { size }) => sum + size, 0)
  let done = 0
  const folders = new Set([path])
  for await (const { part, content } of backup.parts()) {
    const file = join(path, part.name)
    const writes = wanted(part.name)
    if (writes) await mkdir(dirname(file), { recursive: true, mode: 0o700 })
    folders.add(dirname(file))
    await using out = writes ? await open(file, 'wx', 0o600) : undefined
    for await (const piece of content) {
      signal?.throwIfAborted()
      await out?.writev([piece])
      done += piece.length
      progress?.('reading the backup', done, total)
    }
    await out?.sync()
  }
  for (const folder of folders) await sync(folder).catch(() => {})
}
