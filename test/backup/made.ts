/** A store with a history, and backups of it, for tests. */
import { randomBytes } from 'node:crypto'
import { cpSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { CreatedBackup } from '../../server/backup/create.ts'
import { directoryTarget } from '../../server/backup/targets/directory.ts'
import { type BackupKeys, providerKeys } from '../../server/backup/source.ts'
import { localKeyProvider } from '../../server/crypto/local-key.ts'
import { backUp } from '../../server/start/offline.ts'
import { bytes, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'

/** A state directory, and a directory for backups beside it. */
export interface MadeState extends Disposable {
  readonly path: string
  readonly state: string
  readonly backups: string
  readonly keyFile: string
  /** Makes a backup of the files. */
  backUp(at?: string, wholeLog?: boolean): Promise<CreatedBackup>
  /** The path of a backup. */
  pathOf(backup: CreatedBackup): string
  /** What opens its backups. */
  keys(keyFile?: string): BackupKeys
}

/** Makes a state directory: a copy of `template`, or one in which a server makes a store when it starts. */
export function madeState(template?: string): MadeState {
  const scratch = temporaryDirectory()
  const state = join(scratch.path, 'state')
  const backups = join(scratch.path, 'backups')
  const keyFile = join(state, 'local.key')
  mkdirSync(backups)
  if (template !== undefined) cpSync(template, state, { recursive: true })
  return {
    path: scratch.path,
    state,
    backups,
    keyFile,
    backUp: (at = '2026-05-06T07:08:09.010Z', wholeLog = false) =>
      backUp(
        { stateDir: state, keyFile: undefined },
        { operator: 'op on host', clock: () => new Date(at) },
        { target: directoryTarget(backups), wholeLog },
      ),
    pathOf: ({ name }) => join(backups, name),
    keys: (file = keyFile) => providerKeys([localKeyProvider(file)]),
    [Symbol.dispose]: () => scratch[Symbol.dispose](),
  }
}

/** Puts secrets with versions, pointers and tombstones, by several callers, into the store. */
export async function fill(state: string): Promise<void> {
  await using service = await startService({}, { state })
  const root = service.client()
  for (const value of ['one', 'two', 'three']) await root.put('prod/a', bytes(value))
  await root.activate('prod/a', 2)
  await root.deleteVersion('prod/a', 1)
  await service.client('127.0.0.3').put('team/b', bytes('of alice'))
  await root.put('gone', bytes('gone'))
  await root.delete('gone')
  await root.put('again', bytes('first'))
  await root.delete('again')
  await root.put('again', bytes('second'))
  await root.createVersion('holes', 7, bytes('seven'))
  await root.put('big', randomBytes(300_000))
  await root.get('prod/a')
}
