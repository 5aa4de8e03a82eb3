/** `sotto restore`: makes a store out of a backup, or shows what would come back. */
import { dirname, join, resolve } from 'node:path'
import { quote, SottoError } from '../../client/api/errors.ts'
import type { LostChange } from '../../server/backup/restore/lost-changes.ts'
import type { Manifest } from '../../server/backup/manifest.ts'
import { type Preview, previewRestore } from '../../server/backup/restore/preview.ts'
import { finishRestore } from '../../server/backup/restore/publish.ts'
import { isCopy, restoreCopy } from '../../server/backup/restore/restore-copy.ts'
import { type RestoredStore, restoreBackup } from '../../server/backup/restore/restore.ts'
import { type BackupSource, providerKeys } from '../../server/backup/source.ts'
import { readOpenersConfig } from '../../server/config/config.ts'
import { providersAtHand } from '../../server/start/providers.ts'
import { sourceOf } from './backups.ts'
import type { Invocation } from '../invocation.ts'
import { operator } from '../operator.ts'
import { withProgress } from '../terminal/progress.ts'
import { table, visible } from '../terminal/text.ts'

/** Restores the backup that is named, or with --dry-run shows what that would do. */
export async function restore(invocation: Invocation): Promise<void> {
  const path = invocation.word(0) ?? ''
  const to = invocation.text('to')
  const live = invocation.text('live')
  const dryRun = invocation.on('dry-run')
  if (live !== undefined && !dryRun) {
    throw new SottoError('usage', '--live goes with --dry-run alone')
  }
  if (to === undefined && !dryRun) {
    const hint = 'DIR is the state directory to be: absent or empty.'
    throw new SottoError('usage', 'restore needs --to DIR, or --dry-run', { hint })
  }
  const copied = await isCopy(path)
  if (copied) refuseForCopies(invocation, path)
  if (to !== undefined && !dryRun && (await finishRestore(to))) return showFinished(invocation, to)
  const providers = providersAtHand(readOpenersConfig(invocation.flags(), invocation.env))
  const audit = invocation.text('audit')
  const made = {
    to: to ?? '',
    ...(audit !== undefined && { audit }),
    operator: operator(),
    clock: () => new Date(invocation.io.now()),
  }
  if (copied) {
    const restored = await withProgress(invocation, (progress, signal) =>
      restoreCopy({ ...made, copy: path, providers, progress, signal }),
    )
    return showRestored(invocation, restored)
  }
  const source = await sourceOf(invocation, path)
  using keys = providerKeys(providers)
  if (dryRun) {
    const given = { ...(audit !== undefined && { audit }), ...(live !== undefined && { live }) }
    const preview = await withProgress(invocation, (progress, signal) =>
      previewRestore({ ...given, source, keys, progress, signal }),
    )
    return await showPreview(invocation, preview)
  }
  const earlier = (name: string) => neighbour(invocation, path, name)
  const whole = invocation.on('whole-log') && { earlier }
  const restored = await withProgress(invocation, (progress, signal) =>
    restoreBackup({ ...made, ...whole, source, keys, progress, signal }),
  )
  await showRestored(invocation, restored)
}

/** Of a copy of a store's file there are no earlier ones, and no preview. */
function refuseForCopies(invocation: Invocation, copy: string): void {
  const odd = ['dry-run', 'whole-log'].find((flag) => invocation.on(flag))
  if (odd === undefined) return
  const message = `--${odd} goes with a backup, and ${quote(copy)} is a copy of a store`
  throw new SottoError('usage', message)
}

/** An earlier backup in the same directory or bucket as the one at `path`. */
async function neighbour(
  invocation: Invocation,
  path: string,
  name: string,
): Promise<BackupSource | undefined> {
  const inBucket = path.startsWith('s3:')
  const place = inBucket ? path.slice(0, path.lastIndexOf('/')) : dirname(resolve(path))
  try {
    return await sourceOf(invocation, `${place}/${name}`)
  } catch (error) {
    if (error instanceof SottoError && error.code === 'no_backup') return undefined
    throw error
  }
}

async function showPreview(invocation: Invocation, preview: Preview): Promise<void> {
  const { manifest, openedWith = '', values, lost, newer } = preview
  await invocation.print({ dryRun: true, ...preview }, () =>
    [
      table([['Would restore:', preview.backup], ...rowsOf(manifest, openedWith, values)]),
      lost.length > 0 ? `\n${lostWords(lost, 'would not come back')}` : '',
      newer === undefined ? '' : `\n${newerWords(newer)}`,
    ].join(''),
  )
}

async function showFinished(invocation: Invocation, to: string): Promise<void> {
  await invocation.print({ finished: true, to }, () => `store ${join(to, 'sotto.db')}\n`)
  await invocation.io.stderr.write(
    'The restore into it was complete but for its last step, which was made now.\n',
  )
}

async function showRestored(invocation: Invocation, restored: RestoredStore): Promise<void> {
  const { stderr } = invocation.io
  const { to, manifest, openedWith = '', skipped, logAfter, lost } = restored
  await invocation.print(restored, () =>
    table([
      ['Restored:', restored.backup],
      ...rowsOf(manifest, openedWith, manifest.store.counts.versions),
      ['Into:', to],
      ['Revision now:', String(restored.revision)],
    ]),
  )
  if (invocation.json) return
  if (lost.length > 0) await stderr.write(lostWords(lost, 'did not come back'))
  await stderr.write(
    skipped > 0
      ? skippedWords(skipped)
      : 'Version numbers continue after those in the audit log.\n',
  )
  if (logAfter.id > 0) {
    await stderr.write(
      `The audit log begins after record ${logAfter.id}: sotto audit verify --after ${logAfter.id}:${logAfter.hash} ${join(to, 'audit')}\n`,
    )
  }
  if (openedWith.startsWith('local ')) {
    await stderr.write(
      `The local key was not copied: put it at ${join(to, 'local.key')}, mode 0600, or start with --key-file.\n`,
    )
  }
}

function rowsOf({ created, store, log }: Manifest, openedWith: string, values: number): string[][] {
  return [
    ['Opened with:', openedWith],
    ['Taken:', created],
    ['Store:', store.id],
    ['Revision:', String(store.revision)],
    ['Secrets:', String(store.counts.secrets)],
    ['Values opened:', String(values)],
    ['Audit records:', log === null ? 'none' : `up to ${log.last.id}`],
  ]
}

function skippedWords(count: number): string {
  return `New versions skip ${count} numbers, for new names too: those may have been used since the backup.\nWhere the audit log of the lost store survives, --audit DIR makes that exact: restore again with it.\n`
}

/** The names of the secrets with lost changes, at most some. */
function lostWords(lost: readonly LostChange[], what: string): string {
  const names = new Set(
    lost.flatMap(({ entry }) => (entry?.kind === 'change' ? [entry.secret] : [])),
  )
  const shown = [...names].slice(0, 20).map((name) => `  ${visible(name)}\n`)
  const more = names.size > shown.length ? `  and ${names.size - shown.length} more\n` : ''
  return `Changes in the audit log that ${what}: ${lost.length}, of these secrets:\n${shown.join('')}${more}`
}

function newerWords(newer: NonNullable<Preview['newer']>): string {
  if (newer.length === 0) return 'The live store has nothing that the backup does not have.\n'
  const shown = newer.slice(0, 100).map(({ name, state }) => [`  ${state}`, visible(name)])
  const more = newer.length > shown.length ? `  and ${newer.length - shown.length} more\n` : ''
  return `Secrets that are not the same in the live store: ${newer.length}\n${table(shown)}${more}`
}
