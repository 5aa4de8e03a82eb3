/**
 * Makes a directory a state directory at once: the state is built in a draft inside it, and put in its place
 * when it is complete. Whenever that is cut short there is no store, or the last step is left to be done.
 */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, rename, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { quote, SottoError } from '../../../client/api/errors.ts'
import { removedAtExit } from '../../platform/at-exit.ts'
import { sync } from '../../../client/platform/durable.ts'
import { systemError } from '../../../client/platform/system-error.ts'
import { madeStateDirectory, type StateDirectory, stateDirectory } from '../../store/directory.ts'
import { lockDirectory } from '../../store/lock.ts'
import { STORE_PART } from '../manifest.ts'

/**
 * Makes `to` a state directory of what `build` puts into an empty directory. Resolves as `build` does. Rejects
 * with `store_exists` when `to` has anything in it but drafts of restores that were cut short, and as `build`.
 */
export async function publishState<T>(
  to: string,
  build: (draft: string) => Promise<T>,
): Promise<T> {
  const state = madeStateDirectory(to)
  using _ = locked(state)
  refuseOccupied(state)
  for (const name of state.restoring) await rm(join(state.path, name), { recursive: true })
  const draft = `restore.${randomBytes(4).toString('hex')}.partial`
  const ready = draft.replace(/partial$/, 'ready')
  const atExit = removedAtExit(join(state.path, draft))
  try {
    await mkdir(join(state.path, draft), { mode: 0o700 })
    const built = await build(join(state.path, draft))
    await rename(join(state.path, draft), join(state.path, ready))
    await publish(state, [ready])
    return built
  } catch (error) {
    await rm(join(state.path, draft), { recursive: true, force: true }).catch(() => {})
    throw systemError(error, 'restore into', to)
  } finally {
    atExit[Symbol.dispose]()
  }
}

/**
 * Takes the last step of an earlier restore into `to` that was complete but for it. Resolves with whether there
 * was one. Rejects as `stateDirectory`.
 */
export async function finishRestore(to: string): Promise<boolean> {
  if (!existsSync(to) || !stateDirectory(to).restoring.some(isReady)) return false
  using _ = locked({ path: to })
  const state = stateDirectory(to)
  await publish(state, state.restoring)
  return true
}

function isReady(name: string): boolean {
  return name.endsWith('.ready')
}

function locked({ path }: Pick<StateDirectory, 'path'>): Disposable {
  const lock = lockDirectory(path)
  return { [Symbol.dispose]: () => lock.release() }
}

/** Puts a state that is complete in its place: the store last, for without it there is none. */
async function publish(state: StateDirectory, drafts: readonly string[]): Promise<void> {
  await sync(state.path)
  for (const name of drafts) {
    const draft = join(state.path, name)
    if (!isReady(name)) {
      await rm(draft, { recursive: true })
      continue
    }
    for (const each of ['audit', STORE_PART]) {
      await rename(join(draft, each), join(state.path, each)).catch(unlessGone)
      await sync(state.path)
    }
    await rmdir(draft)
  }
  await sync(state.path)
}

/** It was moved before the earlier run was cut short. */
function unlessGone(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
}

function refuseOccupied({ path, empty, restoring, entries }: StateDirectory): void {
  if (empty || restoring.length === entries.length) return
  throw new SottoError('store_exists', `Cannot restore into ${quote(path)}: it is not empty`, {
    hint: 'A store is never replaced. Give an empty directory, or move what is there away.',
  })
}
