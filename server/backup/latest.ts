/**
 * The backups of a store in a target, the newest first: by the revision of the store, and of one revision by the audit
 * log in it. No clock has a say: one that was wrong once would bring an older store back.
 */
import { asSottoError, SottoError } from '../../client/api/errors.ts'
import { type NamedBackup, parseName } from './name.ts'
import { OpenedBackup, peekBackup } from './open.ts'
import { type BackupKeys, type BackupSource, objectSource } from './source.ts'
import type { BackupTarget, TargetObject } from './targets/target.ts'

type Named = TargetObject & NamedBackup

/** What has the name of a backup in `target`, by revision, the newest first; `folder` hears of the folders there. */
export async function backupsIn(
  target: BackupTarget,
  folder?: (name: string) => void,
): Promise<readonly Named[]> {
  return (await target.list(undefined, folder))
    .flatMap((object) => {
      const parts = parseName(object.name)
      return parts ? [{ ...object, ...parts }] : []
    })
    .toSorted((a, b) => b.revision - a.revision)
}

/**
 * Each backup of the one store in `target`, or of the one whose root key has the fingerprint `expectRoot`. Names are
 * believed only as far as the order of revisions goes: what is inside does not open under another name. Rejects with
 * `no_backup` where there is none, and with `local` where there are several stores.
 */
export async function* newestFirst(
  target: BackupTarget,
  keys: BackupKeys,
  expectRoot?: string,
): AsyncGenerator<BackupSource> {
  const named = await ofOneStore(target, await backupsIn(target), expectRoot)
  for (let at = 0; at < named.length; ) {
    const revision = named[at]?.revision
    const same = named.filter((each) => each.revision === revision)
    for (const object of await byLog(same, target, keys)) yield objectSource(target, object)
    at += same.length
  }
}

async function ofOneStore(
  target: BackupTarget,
  named: readonly Named[],
  expectRoot: string | undefined,
): Promise<readonly Named[]> {
  const stores = [...Map.groupBy(named, ({ storeId }) => storeId).values()]
  if (stores.length === 0) {
    throw new SottoError('no_backup', `There is no backup in ${target.description}`)
  }
  if (stores.length === 1) return named
  const roots = await Promise.all(stores.map((each) => rootOf(target, each)))
  const wanted = stores.filter(
    (_, at) => roots[at] !== undefined && (expectRoot ?? roots[at]) === roots[at],
  )
  const [only] = wanted
  if (only && wanted.length === 1) return only
  throw new SottoError(
    'local',
    `Cannot tell which backup is the latest: ${target.description} has those of ${stores.length} stores`,
    {
      hint: 'Give --expect-root with the fingerprint of the root key of yours, or name the backup itself: `sotto backup list` shows them.',
    },
  )
}

/** The root key that the newest backups of a store name; undefined where none of them begins as a backup does. */
async function rootOf(target: BackupTarget, named: readonly Named[]): Promise<string | undefined> {
  for (const object of named.slice(0, 3)) {
    const head = await peekBackup(objectSource(target, object)).catch(() => undefined)
    if (head) return head.root ?? 'unknown'
  }
  return undefined
}

/** Backups of one revision: what is logged later comes first, and what does not open last. */
async function byLog(
  named: readonly Named[],
  target: BackupTarget,
  keys: BackupKeys,
): Promise<readonly Named[]> {
  if (named.length === 1) return named
  const logged = new Map<Named, number>()
  for (const object of named) {
    try {
      await using opened = await OpenedBackup.open(objectSource(target, object), keys)
      logged.set(object, opened.manifest.log?.last.id ?? 0)
    } catch (error) {
      // Why, is told when it is its turn.
      if (asSottoError(error).code === 'internal') throw error
    }
  }
  return named.toSorted((a, b) => (logged.get(b) ?? -1) - (logged.get(a) ?? -1))
}
