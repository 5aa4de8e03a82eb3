/** Backups: makes, lists and verifies them. */
import { SottoError } from '../../client/api/errors.ts'
import type { CreatedBackup } from '../../server/backup/create.ts'
import { parseName } from '../../server/backup/name.ts'
import { peekBackup } from '../../server/backup/open.ts'
import {
  type BackupSource,
  fileSource,
  providerKeys,
  targetSource,
} from '../../server/backup/source.ts'
import type { BackupTarget, TargetObject } from '../../server/backup/targets/target.ts'
import { type VerifiedBackup, verifyBackup } from '../../server/backup/restore/verify.ts'
import { followRun } from './jobs.ts'
import { targetAt } from '../../server/backup/targets/place.ts'
import { readBackupPlace, readKeysConfig, readOpenersConfig } from '../../server/config/config.ts'
import { backUp } from '../../server/start/offline.ts'
import { providersAtHand } from '../../server/start/providers.ts'
import type { Invocation } from '../invocation.ts'
import { operator } from '../operator.ts'
import { withProgress } from '../terminal/progress.ts'
import { table } from '../terminal/text.ts'

/**
 * `sotto backup create`: makes a backup of the files of a store and prints its name; without `--to`, has a
 * server make one.
 */
export async function backupCreate(invocation: Invocation): Promise<void> {
  const to = invocation.text('to')
  if (to === undefined) {
    const client = invocation.client()
    await followRun(invocation, client, await client.operate('backup-create', {}))
    return
  }
  const target = targetOf(invocation, to)
  const clock = (): Date => new Date(invocation.io.now())
  const made = await withProgress(invocation, (progress, signal) =>
    backUp(
      readKeysConfig(invocation.flags(), invocation.env),
      { operator: operator(), clock },
      { target, wholeLog: invocation.on('whole-log'), progress, signal },
    ),
  )
  const { name, size, manifest } = made
  await invocation.print({ name, size, manifest }, () => `${name}\n`)
  if (!invocation.json) await invocation.io.stderr.write(wordsOf(made))
}

function wordsOf({ size, manifest: { store, log } }: CreatedBackup): string {
  const { secrets, versions } = store.counts
  const records =
    log === null ? 'no audit records' : `audit records: ${log.after.id + 1} to ${log.last.id}`
  return `${size} bytes; secrets: ${secrets}; values: ${versions}; ${records}\nVerify it now and then: \`sotto backup verify FILE\`.\n`
}

/** `sotto backup list DIR`: prints the backups that are there, the newest last. */
export async function backupList(invocation: Invocation): Promise<void> {
  const target = targetOf(invocation, invocation.word(0))
  const listed: Awaited<ReturnType<typeof look>>[] = []
  for (const each of await target.list()) {
    if (parseName(each.name)) listed.push(await look(target, each))
  }
  await invocation.print(listed, () =>
    table([
      ['NAME', 'CREATED', 'REVISION', 'BYTES', 'STATE'],
      ...listed.map(({ name, created = '', revision = '', size, reason = 'whole' }) => {
        return [name, created, `${revision}`, `${size}`, reason]
      }),
    ]),
  )
}

/** A backup as it is printed: `whole` if all of it is there; only `verify` says whether it opens. */
async function look(target: BackupTarget, { name, size }: TargetObject) {
  const { created, storeId: store, revision } = parseName(name) ?? {}
  const known = { name, size, created, store, revision }
  try {
    await peekBackup({ name, size, read: () => target.get(name) })
    return { ...known, whole: true, reason: undefined }
  } catch (error) {
    const wrong = error instanceof SottoError ? error : undefined
    if (wrong?.code !== 'backup_damaged' && wrong?.code !== 'store_newer') throw error
    return { ...known, whole: false, reason: wrong.message }
  }
}

/** `sotto backup verify FILE`: opens every value of a backup, and prints what it has. */
export async function backupVerify(invocation: Invocation): Promise<void> {
  const source = await sourceOf(invocation, invocation.word(0) ?? '')
  using keys = providerKeys(providersAtHand(readOpenersConfig(invocation.flags(), invocation.env)))
  const verified = await withProgress(invocation, (progress, signal) =>
    verifyBackup(source, keys, { progress, signal }),
  )
  await invocation.print({ verified: true, ...verified }, () => table(rowsOf(verified)))
}

function rowsOf({ manifest, values, openedWith }: VerifiedBackup): string[][] {
  const { store, log, created, program } = manifest
  return [
    ['Verifies:', 'yes'],
    ['Opened with:', openedWith ?? ''],
    ['Taken:', created],
    ['Store:', store.id],
    ['Revision:', String(store.revision)],
    ['Schema:', `${store.schema}, release ${program}`],
    ['Secrets:', String(store.counts.secrets)],
    ['Values opened:', String(values)],
    ['Tombstones:', String(store.counts.tombstones)],
    ['Audit records:', log === null ? 'none' : `${log.after.id + 1} to ${log.last.id}`],
  ]
}

function targetOf(invocation: Invocation, where: string | undefined): BackupTarget {
  if (!where) throw new SottoError('usage', 'DIR is empty')
  return targetAt(readBackupPlace(where, invocation.flags(), invocation.env))
}

/** The backup in a file, or at `s3://BUCKET/PREFIX/NAME`. */
export async function sourceOf(invocation: Invocation, where: string): Promise<BackupSource> {
  if (!where.startsWith('s3:')) return fileSource(where)
  const end = where.lastIndexOf('/')
  return targetSource(targetOf(invocation, where.slice(0, end)), where.slice(end + 1))
}
