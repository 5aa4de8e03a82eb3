/** Other users of the machine, as whom only root can run programs. */
import { statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { TestContext } from 'vitest'
import { type Finished, run } from './process.ts'
import { cli } from './sotto.ts'

/** A user without a name here, and the group of the same number. */
export const OTHER = 65_534
/** Another one. */
export const SERVER = 10_001

/** Skips a test that needs other users where this is not root, and says so. */
export function needRoot({ skip }: Pick<TestContext, 'skip'>): void {
  if (process.getuid?.() === 0) return
  const reason = 'it needs other users: run the tests as root'
  console.warn(`A test is skipped: ${reason}`)
  skip(reason)
}

const checkout = new URL('../..', import.meta.url).pathname.replace(/\/$/, '')

/** Runs `sotto ARGS` as the user `uid`, whose group has the same number, to its end. */
export function runSottoAs(
  uid: number,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  return runNodeAs(uid, [cli, ...args], env)
}

/** Runs `node ARGS`, with scripts of this checkout, as the user `uid`, to its end. */
export function runNodeAs(
  uid: number,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  // Root's cache of compiled code is not for others.
  const options = { env: { HOME: '/nonexistent', XDG_CACHE_HOME: undefined, ...env } }
  if (isOpen(checkout) && isOpen(process.execPath)) {
    return run(process.execPath, args, { ...options, uid })
  }
  // In a directory of root alone: it is mounted where others can read it, and for that process only.
  const moved = (word: string): string =>
    word.startsWith(`${checkout}/`) ? join('/mnt', word.slice(checkout.length)) : word
  const user = ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups']
  const program = [...user, moved(process.execPath), ...args.map(moved)]
  return run('unshare', ['--mount', 'sh', '-ec', mounted, 'sh', checkout, ...program], {
    ...options,
    cwd: '/',
  })
}

/** What is in the checkout, each by itself: nobody else may enter its own folder. */
const mounted = `
mount -t tmpfs -o mode=755 tmpfs /mnt
for each in "$1"/*; do
  at=/mnt/\${each##*/}
  if [ -d "$each" ]; then mkdir "$at"; else touch "$at"; fi
  mount --bind "$each" "$at"
done
shift
exec "$@"`

/** Whether every user may come to `path`. */
function isOpen(path: string): boolean {
  if ((statSync(path).mode & 0o001) === 0) return false
  return path === '/' || isOpen(dirname(path))
}
