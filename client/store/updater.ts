/** Something that is made of a secret, such as a pool of connections, and made again for each version. */
import type { SecretValue } from '../api/types.ts'
import type { Store } from './store.ts'

/** What an updater does besides. */
export interface UpdaterOptions<T> {
  /** Puts away what is not used any more, after its successor was made. */
  readonly dispose?: (old: T) => void | Promise<void>
}

/** Something that is made of a secret. `updater` makes one. */
export interface Updater<T> extends AsyncDisposable {
  /** What was made last. It never waits. */
  get(): T
  /** What making the newest version failed with; undefined while that is what `get` gives. */
  readonly error: unknown
  /** Makes no more. What was made last stays good, and is the caller's to put away. */
  close(): Promise<void>
}

/**
 * Makes a `T` of the secret that `store` holds, now and for each version that comes. When `build` fails later, what was
 * made before stays. One is made at a time; versions that come meanwhile are skipped for the latest. It does not keep the
 * process running. Throws as
 * `Store.secret`, and what the first `build` throws.
 */
export async function updater<T>(
  store: Store,
  name: string,
  build: (value: SecretValue) => T | Promise<T>,
  { dispose }: UpdaterOptions<T> = {},
): Promise<Updater<T>> {
  const handle = store.secret(name)
  const closed = new AbortController()
  // Asked for first, so that no version is missed while the first is made.
  const changes = store.changes(name, { signal: closed.signal, holds: false })
  let current = await build({ Value: handle.bytes(), Version: handle.version })
  let failure: unknown
  const following = (async () => {
    for await (const value of changes) {
      try {
        const old = current
        current = await build(value)
        failure = undefined
        await dispose?.(old)
      } catch (error) {
        failure = error
      }
    }
  })().catch((error: unknown) => {
    // The server refused a secret that was looked up.
    failure = error
  })
  const close = async (): Promise<void> => {
    closed.abort()
    await following
  }
  return {
    get: () => current,
    get error() {
      return failure
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** An updater that always has this value, for tests. */
export function fixedUpdater<T>(value: T): Updater<T> {
  return { get: () => value, error: undefined, close: nothing, [Symbol.asyncDispose]: nothing }
}

async function nothing(): Promise<void> {}
