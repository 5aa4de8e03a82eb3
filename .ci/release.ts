/**
 * Makes what is installed, of the commit that is checked out: the npm package, the one-file program for Linux on x64
 * and arm64, a .deb and a container image of each, the Python client, the bill of materials, SHA256SUMS, and its
 * signature where a key is given.
 *   npm run release -- DIRECTORY [--sign KEY]
 * KEY is a private key of ssh-keygen. It is read on this machine alone, and nothing is sent anywhere.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { exampleFile } from '../server/config/settings/example.ts'
import { writeImage } from './image/image.ts'
import { readParts } from './image/parts.ts'

interface Manifest {
  readonly version: string
}

/** Of each kind of machine: what Node, Debian and the addon of SQLite call it. */
const machines = [
  { node: 'x64', debian: 'amd64' },
  { node: 'arm64', debian: 'arm64' },
] as const
type Machine = (typeof machines)[number]

/** Where Debian has what is to be read about the program, and the notices that go wherever it goes. */
const documents = '/usr/share/doc/sotto'
const notices = [
  [`${documents}/copyright`, 'LICENSE'],
  [`${documents}/THIRD-PARTY-LICENSES`, 'dist/THIRD-PARTY-LICENSES'],
  [`${documents}/sbom.cdx.json`, 'dist/sbom.cdx.json'],
] as const

const top = new URL('..', import.meta.url).pathname
process.chdir(top)
// Who installs it is to read its files, whatever those of the one who makes it are like.
process.umask(0o022)
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { sign: { type: 'string' } },
})
const [given] = positionals
if (given === undefined || positionals.length > 1) {
  process.stderr.write('Usage: npm run release -- DIRECTORY [--sign KEY]\n')
  process.exit(2)
}
const directory = resolve(given)
mkdirSync(directory, { recursive: true })
if (readdirSync(directory).length > 0) {
  process.stderr.write(`Cannot make a release in ${directory}: the folder is not empty\n`)
  process.exit(1)
}
const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as Manifest
const scratch = mkdtempSync(join(tmpdir(), 'sotto-release-'))
// Nothing in a release depends on when it was made.
const epoch = run('git', ['log', '-1', '--format=%ct']).trim()
process.env['SOURCE_DATE_EPOCH'] = epoch

try {
  run('npm', ['pack', '--pack-destination', directory])
  cpSync('dist/sbom.cdx.json', join(directory, `sotto-${version}.cdx.json`))
  cpSync('client/python/sotto.py', join(directory, 'sotto.py'))
  for (const machine of machines) {
    const program = oneFile(machine)
    debianPackage(machine, program)
    containerImage(machine, program)
  }
  sumUp()
  if (values.sign !== undefined) {
    run('ssh-keygen', ['-Y', 'sign', '-f', values.sign, '-n', 'sotto-release', sums()])
  }
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
for (const name of readdirSync(directory).toSorted()) {
  process.stdout.write(`${name}  ${statSync(join(directory, name)).size} bytes\n`)
}

/** Puts the modules that were built into a copy of Node, and returns the path of the program. */
function oneFile({ node }: Machine): string {
  const modules = [
    ...globSync('dist/**/*.{js,mjs}'),
    ...globSync('node_modules/better-sqlite3/lib/**/*.js'),
  ]
  const output = join(directory, `sotto-${version}-linux-${node}`)
  const config = join(scratch, `one-file-${node}.json`)
  const assets = {
    ...Object.fromEntries(modules.map((path) => [path, path])),
    'sqlite.node': `node_modules/better-sqlite3/prebuilds/linux-${node}.node`,
  }
  // Relative: the path of the main module is in the program.
  const main = '.ci/one-file/main.cjs'
  const executable = runtime(node)
  writeFileSync(
    config,
    JSON.stringify({ main, output, executable, assets, disableExperimentalSEAWarning: true }),
  )
  run(process.execPath, ['--build-sea', config])
  return output
}

/** The Node for such a machine, of the release and with the hash that package-lock.json has. */
function runtime(node: Machine['node']): string {
  const name = `node-linux-${node}`
  const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
    packages: Record<string, { version: string; integrity: string }>
  }
  const locked = lock.packages[`node_modules/${name}`]
  if (locked === undefined) throw new Error(`package-lock.json has no ${name}`)
  const folder = join(scratch, name)
  mkdirSync(folder)
  run('npm', ['pack', '--pack-destination', folder, `${name}@${locked.version}`])
  const archive = join(folder, `${name}-${locked.version}.tgz`)
  const hash = createHash('sha512').update(readFileSync(archive)).digest('base64')
  if (`sha512-${hash}` !== locked.integrity) {
    throw new Error(`${name} ${locked.version} is not the one that package-lock.json has`)
  }
  run('tar', ['-xzf', archive, '-C', folder])
  return join(folder, 'package/bin/node')
}

/** Packs the program with its service, its user and its configuration. */
function debianPackage({ debian }: Machine, program: string): void {
  const root = join(scratch, `deb-${debian}`)
  const put = (path: string, content: string | Uint8Array, mode = 0o644): void => {
    const file = join(root, path)
    mkdirSync(join(file, '..'), { recursive: true, mode: 0o755 })
    writeFileSync(file, content, { mode })
  }
  const unit = readFileSync('docs/deploy/sotto.service', 'utf8')
  put('/usr/bin/sotto', readFileSync(program), 0o755)
  put(
    '/usr/lib/systemd/system/sotto.service',
    unit.replace('/usr/local/bin/sotto', '/usr/bin/sotto'),
  )
  // Every line is a comment: what an operator writes there survives an upgrade.
  put('/etc/sotto/config.yaml', exampleFile())
  put('/DEBIAN/conffiles', '/etc/sotto/config.yaml\n')
  for (const [path, from] of notices) put(path, readFileSync(from))
  for (const page of ['README.md', ...globSync('docs/**/*.*')]) {
    put(`${documents}/${page}`, readFileSync(page))
  }
  for (const script of readdirSync('.ci/deb')) {
    put(`/DEBIAN/${script}`, readFileSync(join('.ci/deb', script)), 0o755)
  }
  put(
    '/DEBIAN/control',
    `Package: sotto
Version: ${version}
Architecture: ${debian}
Maintainer: The Sotto project
Depends: libatomic1, libc6 (>= 2.28), libgcc-s1, libstdc++6, passwd
Suggests: tailscale
Section: admin
Priority: optional
Description: A secrets server for a tailnet
 Programs fetch secrets with one HTTP POST. The network says who is asking, the tailnet policy says what it may have,
 and every release of a value is recorded durably before the value leaves.
`,
  )
  const file = join(directory, `sotto_${version}_${debian}.deb`)
  // Fast to unpack, and to make: most of it is one program.
  run('dpkg-deb', ['--root-owner-group', '-Zzstd', '-z3', '--build', root, file])
}

function containerImage({ debian: architecture }: Machine, program: string): void {
  writeImage(join(directory, `sotto-${version}-oci-${architecture}.tar`), {
    architecture,
    version,
    files: [['/usr/bin/sotto', program], ...notices],
    parts: readParts(),
    created: Number(epoch),
    scratch,
  })
}

function sums(): string {
  return join(directory, 'SHA256SUMS')
}

function sumUp(): void {
  const lines = readdirSync(directory)
    .toSorted()
    .map((name) => {
      const hash = createHash('sha256')
        .update(readFileSync(join(directory, name)))
        .digest('hex')
      return `${hash}  ${name}\n`
    })
  writeFileSync(sums(), lines.join(''))
}

function run(program: string, args: readonly string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
}
