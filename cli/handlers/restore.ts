/** `sotto restore`: makes a store out of a backup, or shows what would come back. */
import { dirname, join, resolve } from 'node:path'
import { quote, SottoError } from '../../client/api/errors.ts'
import { visible } from '../../client/api/visible.ts'
import type { LostChange } from '../../server/backup/restore/lost-changes.ts'
import type { Manifest } from '../../server/backup/manifest.ts'
import { type Preview, previewRestore } from '../../server/backup/restore/preview.ts'
import { finishRestore } from '../../server/backup/restore/publish.ts'
import { isCopy, restoreCopy } from '../../server/backup/restore/restore-copy.ts'
import { type RestoredStore, restoreBackup } from '../../server/backup/restore/restore.ts'
import { backupsIn, newestFirst } from '../../server/backup/latest.ts'
import {
  type BackupKeys,
  type BackupSource,
  objectSource,
  providerKeys,
} from '../../server/backup/source.ts'
import { readOpenersConfig } from '../../server/config/config.ts'
import { providersAtHand } from '../../server/start/providers.ts'
import { expectedRoot, sourceOf, targetOf, unprovenWords } from './backups.ts'
import type { Invocation } from '../invocation.ts'
import { operator } from '../operator.ts'
import { withProgress } from '../terminal/progress.ts'
import { table } from '../terminal/table.ts'

/** How a backup is restored, as the flags say. */
interface Wanted {
  readonly dryRun: boolean
  /** The state directory to be; undefined with --dry-run. */
  readonly to: string
  readonly live: string | undefined
  readonly audit: string | undefined
  readonly expected: { readonly expectRoot: string } | undefined
}

/** A backup, and how the earlier ones in the same place are reached. */
interface Chosen {
  readonly source: BackupSource
  readonly earlier: (name: string) => Promise<BackupSource | undefined>
}

/** Restores the backup that is named, or the latest one, or with --dry-run shows what that would do. */
export async function restore(invocation: Invocation): Promise<void> {
  const path = invocation.word(0)
  const latest = invocation.on('latest')
  const openers = readOpenersConfig(invocation.typed(), invocation.env)
  const wanted = wantedOf(invocation, openers.stateDir)
  if (path === undefined && !latest) {
    const hint = 'Name it, or take the newest one that passes with --latest.'
    throw new SottoError('usage', 'restore needs a backup', { hint })
  }
  const copied = path !== undefined && (await isCopy(path))
  if (copied) refuseForCopies(invocation, path)
  const { to, dryRun } = wanted
  if (!dryRun && (await finishRestore(to))) return showFinished(invocation, to)
  const providers = providersAtHand(openers)
  if (copied) {
    const restored = await withProgress(invocation, (progress, signal) =>
      restoreCopy({ ...partsOf(invocation, wanted), copy: path, providers, progress, signal }),
    )
    return showRestored(invocation, restored)
  }
  using keys = providerKeys(providers)
  if (latest) return await restoreLatest(invocation, wanted, keys)
  const named = path ?? ''
  const earlier = (name: string) => neighbour(invocation, named, name)
  await restoreOne(invocation, wanted, keys, { source: await sourceOf(invocation, named), earlier })
}

function wantedOf(invocation: Invocation, stateDir: string | undefined): Wanted {
  const live = invocation.text('live')
  const dryRun = invocation.on('dry-run')
  if (live !== undefined && !dryRun) {
    throw new SottoError('usage', '--live goes with --dry-run alone')
  }
  const to = invocation.text('to') ?? stateDir
  if (to === undefined && !dryRun) {
    const hint =
      'DIR is the state directory to be: absent or empty. Default: the state directory of the settings.'
    throw new SottoError('usage', 'restore needs --to DIR, or --dry-run', { hint })
  }
  const audit = invocation.text('audit')
  return { dryRun, to: to ?? '', live, audit, expected: expectedRoot(invocation) }
}

/** Tries the newest backup, and the one before where that is damaged or of another store, and says so. */
async function restoreLatest(
  invocation: Invocation,
  wanted: Wanted,
  keys: BackupKeys,
): Promise<void> {
  const target = targetOf(invocation, invocation.word(0))
  const earlier = async (name: string): Promise<BackupSource | undefined> => {
    const found = (await backupsIn(target)).find((each) => each.name === name)
    return found && objectSource(target, found)
  }
  for await (const source of newestFirst(target, keys, wanted.expected?.expectRoot)) {
    try {
      return await restoreOne(invocation, wanted, keys, { source, earlier })
    } catch (error) {
      if (!(error instanceof SottoError)) throw error
      const { code, message, hint } = error
      // With another key, an older one might open: that is not for this command to decide.
      if (code === 'key_wrong' || code === 'key_missing') {
        const about = `The newest backup is ${quote(source.name)}; an older one must be named.`
        throw new SottoError(code, message, {
          hint: hint === undefined ? about : `${hint} ${about}`,
        })
      }
      if (code !== 'backup_damaged' && code !== 'store_foreign') throw error
      await invocation.io.stderr.write(`Skipped ${visible(source.name)}: ${visible(message)}\n`)
    }
  }
  const message = `Cannot restore from ${quote(target.description)}: no backup there passes`
  throw new SottoError('backup_damaged', message, {
    hint: 'What is wrong with each is said above.',
  })
}

async function restoreOne(
  invocation: Invocation,
  wanted: Wanted,
  keys: BackupKeys,
  { source, earlier }: Chosen,
): Promise<void> {
  const { dryRun, live, expected } = wanted
  const made = { ...partsOf(invocation, wanted), source, keys }
  if (dryRun) {
    const preview = await withProgress(invocation, (progress, signal) =>
      previewRestore({ ...made, ...(live !== undefined && { live }), progress, signal }),
    )
    await showPreview(invocation, preview)
    if (invocation.json || expected || keys.provesRoot) return
    return invocation.io.stderr.write(unprovenWords(preview.root))
  }
  const whole = invocation.on('whole-log') && { earlier }
  const restored = await withProgress(invocation, (progress, signal) =>
    restoreBackup({ ...made, ...whole, progress, signal }),
  )
  await showRestored(invocation, restored)
}

function partsOf(invocation: Invocation, { to, audit, expected }: Wanted) {
  return {
    to,
    ...(audit !== undefined && { audit }),
    ...expected,
    operator: operator(),
    clock: () => new Date(invocation.io.now()),
  }
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
  const { manifest, lost, newer } = preview
  const rows = [['Would restore:', preview.backup], ...rowsOf(manifest, preview)]
  await invocation.print({ dryRun: true, ...preview }, (room) =>
    [
      table(rows, { room }),
      lost.length > 0 ? `\n${lostWords(lost, 'would not come back')}` : '',
      newer === undefined ? '' : `\n${newerWords(newer, room)}`,
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
  const rows = [
    ['Restored:', restored.backup],
    ...rowsOf(manifest, { ...restored, values: manifest.store.counts.versions }),
    ['Into:', to],
    ['Branch now:', restored.branch],
    ['Revision now:', String(restored.revision)],
  ]
  await invocation.print(restored, (room) => table(rows, { room }))
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
  await stderr.write(
    'Each key above that it opens with came back: remove those that were removed since, with `sotto key remove`.\n' +
      'It is a branch of its own: it changes no backend and makes no backups until `sotto branch adopt`.\n',
  )
  if (openedWith.startsWith('local ')) {
    await stderr.write(
      `The local key was not copied: put it at ${join(to, 'local.key')}, mode 0600, or start with --key-file.\n`,
    )
  }
}

function rowsOf(
  { created, store, log }: Manifest,
  {
    openedWith = '',
    root,
    opens,
    values,
  }: Pick<Preview, 'openedWith' | 'root' | 'opens' | 'values'>,
): string[][] {
  return [
    ['Opened with:', openedWith],
    ...opens.map(({ provider, fingerprint }) => ['Opens with:', `${provider} key ${fingerprint}`]),
    ['Root key:', root],
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

function newerWords(newer: NonNullable<Preview['newer']>, room: number | undefined): string {
  if (newer.length === 0) return 'The live store has nothing that the backup does not have.\n'
  const shown = newer.slice(0, 100).map(({ name, state }) => [`  ${state}`, visible(name)])
  const more = newer.length > shown.length ? `  and ${newer.length - shown.length} more\n` : ''
  return `Secrets that are not the same in the live store: ${newer.length}\n${table(shown, { room })}${more}`
}
