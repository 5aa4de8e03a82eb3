import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'

/** The rooms, ground floor first. A file imports from its own room or from a floor below it. */
const floors = [
  ['client/api', 'server/version.ts', 'server/metrics'],
  ['client', 'audit', 'server/access.ts', 'server/private-file.ts', 'server/settings'],
  ['server/openbao', 'server/aws'],
  ['server/crypto', 'server/store', 'server/backends'],
  ['server/identity', 'server/secrets', 'server/backup'],
  [
    'server/http',
    'server/jobs',
    'server/questions',
    'server/keys-config.ts',
    'server/backends-config.ts',
    'server/backups-config.ts',
  ],
  ['server/config.ts', 'server/instruments.ts'],
  ['server/network.ts', 'server/providers.ts'],
  ['server/new-store.ts', 'server/open-store.ts'],
  ['server/main.ts', 'server/offline.ts'],
  ['cli'],
]

const rooms = floors.flatMap((names, floor) => names.map((name) => ({ name, floor })))

function roomOf(file: string): { name: string; floor: number } {
  const room = rooms.find(({ name }) => file === name || file.startsWith(`${name}/`))
  if (!room) throw new Error(`Cannot place ${file}: no room claims it`)
  return room
}

const files = ['client', 'audit', 'server', 'cli']
  .flatMap((top) =>
    readdirSync(top, { recursive: true, encoding: 'utf8' }).map((f) => join(top, f)),
  )
  .filter((f) => f.endsWith('.ts'))

test.each(files)('%s imports only downward', (file) => {
  const from = roomOf(file)
  const imports = readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*\(?\s*['"](\.[^'"]+)['"]/g)
  for (const [, specifier = ''] of imports) {
    const to = roomOf(join(dirname(file), specifier))
    expect(to.name === from.name || to.floor < from.floor, `${file} -> ${specifier}`).toBe(true)
  }
})
