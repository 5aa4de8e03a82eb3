/**
 * The parts of Debian that the container image has: what the one-file program is linked with. parts.json pins each by
 * its version and the SHA-256 of its package for each kind of machine; pin.ts writes that file.
 *
 * They are of Debian 12, which gets no more point releases: a version in its main archive stays there for as long as
 * Debian serves that release, so a pin does not go away when something newer appears.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'

/** What Debian calls a kind of machine. */
export type Architecture = 'amd64' | 'arm64'
export const architectures: readonly Architecture[] = ['amd64', 'arm64']

/** A package of Debian. */
export interface Part {
  readonly name: string
  readonly version: string
  /** By the kind of machine: where it is below a mirror, and its SHA-256. */
  readonly files: Readonly<Record<Architecture, { readonly path: string; readonly sha256: string }>>
}

export interface Parts {
  /** The release of Debian, as os-release has it. */
  readonly release: string
  readonly parts: readonly Part[]
}

export const partsFile = new URL('parts.json', import.meta.url).pathname

export function readParts(): Parts {
  return JSON.parse(readFileSync(partsFile, 'utf8')) as Parts
}

/**
 * Fetches the package of a part into `folder`, from the mirrors that this machine has for its own packages, and returns
 * its path. Throws where it is not the one that is pinned.
 */
export function fetchPart(
  { name, version, files }: Part,
  architecture: Architecture,
  folder: string,
): string {
  const { path, sha256 } = files[architecture]
  const file = join(folder, basename(path))
  const what = `${name} ${version} for ${architecture}`
  const said = existsSync(file) ? '' : download(path, file)
  if (!existsSync(file)) {
    throw new Error(`Cannot make the container image: this machine can get ${what} from no mirror.
If Debian has replaced that version, run \`node .ci/image/pin.ts\`: it writes the versions that there are into parts.json.
Then run test/interop/release.test.ts, and commit the file.
${said}`)
  }
  const found = createHash('sha256').update(readFileSync(file)).digest('hex')
  if (found !== sha256) {
    throw new Error(
      `Cannot make the container image: the package of ${what} has the SHA-256 ${found}, and parts.json has ${sha256}.
A version never changes at Debian: do not use this mirror, and do not pin what it has.`,
    )
  }
  return file
}

/** Gets `path` from the first mirror that has it, and returns what went wrong at the others. */
function download(path: string, file: string): string {
  let said = ''
  for (const mirror of mirrors()) {
    // It works with the proxies and certificates that apt is configured with.
    const args = ['-o', 'APT::Sandbox::User=root', 'download-file', mirror + path, file]
    said += spawnSync('/usr/lib/apt/apt-helper', args, { encoding: 'utf8' }).stderr
    if (existsSync(file)) break
  }
  return said
}

/** Where this machine gets packages from, each address with a slash at its end. */
function mirrors(): string[] {
  // With this option also those whose lists it has not fetched.
  const args = ['indextargets', '--no-release-info', '--format', '$(REPO_URI)']
  const found = execFileSync('apt-get', [...args, 'Created-By: Packages'], { encoding: 'utf8' })
  return [...new Set(found.split('\n').filter((line) => line !== ''))]
}
