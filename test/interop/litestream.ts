/** Runs Litestream beside a server, with the settings that docs/guides/litestream.md shows. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { filesIn } from '../support/console.ts'
import { requirePeer } from '../support/peers.ts'
import { TestProcess } from '../support/process.ts'

/** A running copy. */
export interface Copying {
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>
  /** Makes a file of what was copied so far, as the guide says. Throws when there is nothing yet. */
  restore(path: string): void
}

/** Lets Litestream follow the store in `state`, with `replica` as its target. */
export function startLitestream(state: string, replica: string): Copying {
  const store = join(state, 'sotto.db')
  const config = `${replica}.yml`
  mkdirSync(dirname(config), { recursive: true })
  const guide = readFileSync(new URL('../../docs/guides/litestream.md', import.meta.url), 'utf8')
  const shown = filesIn(guide).get('litestream.yml') ?? ''
  writeFileSync(
    config,
    shown.replace('/var/lib/sotto/sotto.db', store).replace('/mnt/other-disk/sotto', replica),
  )
  const { AWS_CA_BUNDLE: _, ...env } = process.env
  const program = requirePeer('litestream')
  const copying = new TestProcess(program, ['replicate', '-config', config], { environment: env })
  return {
    kill: () => copying.kill(),
    restore: (path) => {
      const args = ['restore', '-config', config, '-o', path, store]
      const { status, stderr } = spawnSync(
        'sh',
        ['-c', 'umask 077; exec "$@"', 'sh', program, ...args],
        {
          env,
          encoding: 'utf8',
        },
      )
      if (status !== 0) throw new Error(`Litestream restored nothing: ${stderr}`)
    },
  }
}
