/**
 * Writes parts.json: of each part of the container image the newest version that the mirrors of this machine have. Its
 * hashes are those of Debian's signed lists, which apt checks. With --check it writes nothing, says what is newer than
 * what is pinned, and fails for nothing: a release is made of what is pinned until somebody decides otherwise.
 *   node .ci/image/pin.ts [--check]
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Architecture,
  architectures,
  type Part,
  type Parts,
  partsFile,
  readParts,
} from './parts.ts'

/** The last one has the licence of those before it. */
const names = ['libc6', 'libatomic1', 'libgcc-s1', 'libstdc++6', 'gcc-12-base'] as const

const scratch = mkdtempSync(join(tmpdir(), 'sotto-pin-'))
try {
  if (process.argv.includes('--check')) check()
  else pin()
} finally {
  rmSync(scratch, { recursive: true })
}

function pin(): void {
  const found = new Map(architectures.map((each) => [each, newest(each)]))
  const parts = names.map((name): Part => {
    const versions = new Set<string>()
    const files = {} as Record<Architecture, Part['files']['amd64']>
    for (const each of architectures) {
      const { version, path, sha256 } = found.get(each)?.get(name) ?? missing(name)
      versions.add(version)
      files[each] = { path, sha256 }
    }
    const [version = '', other] = versions
    if (other !== undefined) throw new Error(`${name} has the versions ${version} and ${other}`)
    return { name, version, files }
  })
  const [, release = ''] =
    /^VERSION_ID="?(\d+)/m.exec(readFileSync('/etc/os-release', 'utf8')) ?? []
  const pinned: Parts = { release, parts }
  writeFileSync(partsFile, `${JSON.stringify(pinned, null, 2)}\n`)
  for (const { name, version } of parts) process.stdout.write(`${name} ${version}\n`)
}

function check(): void {
  const { parts } = readParts()
  let found: ReturnType<typeof newest>
  try {
    found = newest('amd64')
  } catch {
    process.stdout.write('NOT ASKED: what Debian has is unknown\n')
    return
  }
  const older = parts.filter(({ name, version }) => found.get(name)?.version !== version)
  for (const { name, version } of older) {
    const newer = found.get(name)?.version ?? 'none'
    process.stdout.write(
      `image: Debian has ${name} ${newer}, and ${version} is pinned: run \`node .ci/image/pin.ts\`\n`,
    )
  }
  if (older.length === 0) process.stdout.write('image: every part is the newest that Debian has\n')
}

interface Found {
  readonly version: string
  readonly path: string
  readonly sha256: string
}

function missing(name: string): never {
  throw new Error(`The mirrors of this machine have no ${name}`)
}

/** The newest version of each for a kind of machine, with lists of its own: those of this machine stay as they are. */
function newest(architecture: Architecture): Map<string, Found> {
  const state = join(scratch, architecture)
  for (const folder of ['lists/partial', 'cache/archives/partial']) {
    mkdirSync(join(state, folder), { recursive: true })
  }
  const settings = [
    `Dir::State=${state}`,
    `Dir::State::lists=${state}/lists`,
    `Dir::State::status=/dev/null`,
    `Dir::Cache=${state}/cache`,
    `APT::Architecture=${architecture}`,
    `APT::Architectures::=${architecture}`,
    'APT::Sandbox::User=root',
    'Acquire::Languages=none',
  ].flatMap((each) => ['-o', each])
  execFileSync('apt-get', [...settings, 'update', '-q'], { stdio: ['ignore', 'ignore', 'inherit'] })
  const shown = execFileSync('apt-cache', [...settings, 'show', '--no-all-versions', ...names], {
    encoding: 'utf8',
  })
  return new Map(
    shown
      .trim()
      .split('\n\n')
      .map((text) => {
        const field = (name: string): string =>
          new RegExp(`^${name}: (.+)$`, 'm').exec(text)?.[1] ?? ''
        const found = {
          version: field('Version'),
          path: field('Filename'),
          sha256: field('SHA256'),
        }
        return [field('Package'), found]
      }),
  )
}
