/** Backups: makes, lists and verifies them. */
import { statSync } from 'node:fs'
import { quote, SottoError } from '../../client/api/errors.ts'
import { visible } from '../../client/api/visible.ts'
import type { CreatedBackup } from '../../server/backup/create.ts'
import { backupsIn } from '../../server/backup/latest.ts'
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
import { roomOf } from '../terminal/layout.ts'
import { withProgress } from '../terminal/progress.ts'
import { table } from '../terminal/table.ts'

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
      readKeysConfig(invocation.typed(), invocation.env),
      { operator: operator(), clock },
      { target, wholeLog: invocation.on('whole-log'), progress, signal },
    ),
  ).catch((error: unknown) => {
    if (!(error instanceof SottoError) || error.code !== 'store_locked') throw error
    const hint =
      'A running server makes it where its settings say: leave --to out. Or stop it first.'
    throw new SottoError(error.code, error.message, { hint })
  })
  const { name, size, root, manifest } = made
  await invocation.print({ name, size, root, manifest }, () => `${name}\n`)
  if (!invocation.json) await invocation.io.stderr.write(wordsOf(made))
}

function wordsOf({ size, root, manifest: { store, log } }: CreatedBackup): string {
  const { secrets, versions } = store.counts
  const records =
    log === null ? 'no audit records' : `audit records: ${log.after.id + 1} to ${log.last.id}`
  return `${size} bytes; secrets: ${secrets}; values: ${versions}; ${records}\nIts root key is ${root}. Verify it now and then: \`sotto backup verify FILE\`.\n`
}

/** `sotto backup adopt`: has the server use its target as it is, and make a backup. */
export async function backupAdopt(invocation: Invocation): Promise<void> {
  const client = invocation.client()
  await followRun(invocation, client, await client.operate('backup-adopt', {}))
}

/** `sotto backup list [DIR]`: prints the backups that are there, the newest last; says so where there are none. */
export async function backupList(invocation: Invocation): Promise<void> {
  const { stderr } = invocation.io
  const target = targetOf(invocation, invocation.word(0))
  const looked: NonNullable<Awaited<ReturnType<typeof look>>>[] = []
  const skipped: string[] = []
  const folders: string[] = []
  const skip = (words: string): void => void skipped.push(words)
  for (const each of await target.list(skip, (name) => void folders.push(name))) {
    const found = parseName(each.name) && (await look(target, each))
    if (found) looked.push(found)
  }
  const unread = looked.flatMap((each) => each.unread ?? [])
  // Where none can be read, it is the place that cannot be.
  if (unread[0] && unread.length === looked.length) throw unread[0]
  const listed = looked.map(({ row }) => row)
  const rows = listed.map(({ name, created = '', revision = '', size, reason = 'whole' }) => {
    return [name, created, `${revision}`, `${size}`, reason]
  })
  await invocation.print(listed, (room) =>
    table([['NAME', 'CREATED', 'REVISION', 'BYTES', 'STATE'], ...rows], { room }),
  )
  for (const words of skipped) await stderr.write(`Skipped: ${visible(words)}\n`)
  if (listed.length === 0) await stderr.write(`${noneWords(target, folders)}\n`)
}

/** Says that there is none, and which folders are: else a wrong prefix would read as if all were lost. */
function noneWords({ description }: BackupTarget, folders: readonly string[]): string {
  const none = `There is no backup directly in ${quote(description)}`
  if (folders.length === 0) return none
  const shown = folders.slice(0, 10).map((name) => `${visible(name)}/`)
  const more = folders.length > shown.length ? ` and ${folders.length - shown.length} more` : ''
  return `${none}; folders there: ${shown.join(', ')}${more}`
}

/**
 * A backup as it is printed: `whole` if all of it is there, and its head says what its name does. Only `verify` says
 * whether it opens, and so whose it is. One that cannot be read hides no other; undefined for one that went meanwhile.
 */
async function look(target: BackupTarget, { name, size }: TargetObject) {
  const known = { name, size, revision: parseName(name)?.revision }
  try {
    const {
      created,
      storeId: store,
      root,
    } = await peekBackup({
      name,
      size,
      read: () => target.get(name),
    })
    return { row: { ...known, created, store, root, whole: true, reason: undefined } }
  } catch (error) {
    if (!(error instanceof SottoError)) throw error
    if (error.code === 'no_backup') return undefined
    const { created, storeId: store } = parseName(name) ?? {}
    const unread = ['backup_damaged', 'store_newer'].includes(error.code) ? undefined : error
    const told = { root: undefined, whole: false, reason: error.message }
    return { row: { ...known, created, store, ...told }, unread }
  }
}

/** `sotto backup verify FILE`: opens every value of a backup, and prints what it has. */
export async function backupVerify(invocation: Invocation): Promise<void> {
  const source = await sourceOf(invocation, invocation.word(0) ?? '')
  using keys = providerKeys(providersAtHand(readOpenersConfig(invocation.typed(), invocation.env)))
  const expected = expectedRoot(invocation)
  const verified = await withProgress(invocation, (progress, signal) =>
    verifyBackup(source, keys, { ...expected, progress, signal }),
  )
  await invocation.print({ verified: true, ...verified }, (room) =>
    table(rowsOf(verified), { room }),
  )
  if (invocation.json || expected || keys.provesRoot) return
  await invocation.io.stderr.write(unprovenWords(verified.root))
}

/** The root key that `--expect-root` demands. Throws `usage`. */
export function expectedRoot(invocation: Invocation): { readonly expectRoot: string } | undefined {
  const expectRoot = invocation.text('expect-root')
  if (expectRoot === undefined) return undefined
  if (/^[0-9a-f]{32}$/.test(expectRoot)) return { expectRoot }
  throw new SottoError('usage', `Cannot read ${quote(expectRoot)} as --expect-root`, {
    hint: 'It is the fingerprint of a root key: 32 hex digits.',
  })
}

/** What is to be said of a backup that opened with a key which others can seal for. */
export function unprovenWords(root: string): string {
  return `Its root key is ${root}. Anyone who can encrypt for the key that opened it could have made it:\ncompare that with the fingerprint of your store, or give --expect-root.\n`
}

function rowsOf({ manifest, values, openedWith, root, opens }: VerifiedBackup): string[][] {
  const { store, log, created, program } = manifest
  return [
    ['Verifies:', 'yes'],
    ['Opened with:', openedWith ?? ''],
    ...opens.map(({ provider, fingerprint }) => ['Opens with:', `${provider} key ${fingerprint}`]),
    ['Root key:', root],
    ['Taken:', created],
    ['Store:', store.id],
    ['Branch:', store.branch],
    ['Revision:', String(store.revision)],
    ['Schema:', `${store.schema}, release ${program}`],
    ['Secrets:', String(store.counts.secrets)],
    ['Values opened:', String(values)],
    ['Tombstones:', String(store.counts.tombstones)],
    ['Audit records:', log === null ? 'none' : `${log.after.id + 1} to ${log.last.id}`],
  ]
}

/** The place that is named, or else that the settings have for backups. */
export function targetOf(invocation: Invocation, where: string | undefined): BackupTarget {
  return targetAt(readBackupPlace(where, invocation.typed(), invocation.env))
}

/** The backup in a file, or at `s3://BUCKET/PREFIX/NAME`. Rejects with `no_backup`, also for a place with backups in it. */
export async function sourceOf(invocation: Invocation, where: string): Promise<BackupSource> {
  const end = where.replace(/\/+$/, '').lastIndexOf('/')
  const inBucket = where.startsWith('s3:')
  try {
    // A bucket alone names no backup.
    if (inBucket && end <= 's3://'.length) throw new SottoError('no_backup', 'It is a bucket')
    if (!inBucket) return await fileSource(where)
    return await targetSource(targetOf(invocation, where.slice(0, end)), where.slice(end + 1))
  } catch (error) {
    if (!(error instanceof SottoError) || error.code !== 'no_backup') throw error
    throw await placeInstead(invocation, where, error)
  }
}

/** What to say where no backup is: perhaps a directory or a prefix is, and then the newest backups there are shown. */
async function placeInstead(
  invocation: Invocation,
  where: string,
  error: SottoError,
): Promise<SottoError> {
  const isDirectory = statSync(where, { throwIfNoEntry: false })?.isDirectory() === true
  if (!isDirectory && !where.startsWith('s3:')) return error
  const target = targetOf(invocation, where)
  const folders: string[] = []
  const found = await backupsIn(target, (name) => void folders.push(name))
  if (found.length === 0) {
    if (folders.length === 0 && !isDirectory) return error
    return new SottoError('no_backup', noneWords(target, folders), { hint: error.hint })
  }
  const rows = found.slice(0, 10).map((each) => [each.name, each.created, `${each.revision}`])
  const shown = table([['NEWEST BACKUPS', 'CREATED', 'REVISION'], ...rows], {
    room: roomOf(invocation.io.stderr),
  })
  if (!invocation.json) await invocation.io.stderr.write(shown)
  const count = found.length === 1 ? 'one backup' : `${found.length} backups`
  const message = `Cannot use ${quote(where)} as a backup: it is a place with ${count}`
  return new SottoError('no_backup', message, {
    hint: 'Name one of them: `sotto backup list` shows all. `sotto restore --latest` takes a place.',
  })
}
