/**
 * Writes the container image: an archive of the OCI image layout with two layers, the parts of Debian and the one-file
 * program. No daemon and no root is needed, and the same parts and program give the same bytes.
 *
 * There is no shell, no package manager and no set of certificates: Node has its own. The layers are packed with zstd, as
 * the .deb is: fast to make and to unpack.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  cpSync,
  globSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import { type Architecture, fetchPart, type Parts } from './parts.ts'

export interface ImageOptions {
  readonly architecture: Architecture
  readonly version: string
  /** What is in it besides the parts, each with the path that it is copied from. What is in `/usr/bin` is a program. */
  readonly files: readonly (readonly [path: string, from: string])[]
  readonly parts: Parts
  /** When the image says it was made, in seconds since 1970. */
  readonly created: number
  /** A folder for what is thrown away afterwards. */
  readonly scratch: string
}

/** The number of the user that the program runs as, and of its group. */
const USER = 10_001
const STATE = '/var/lib/sotto'
/** Folders of that user. */
const owned = [STATE, '/var/backups/sotto']

/** How an engine runs the image. It starts the server alone: a store that is gone is not replaced. */
export const imageRun = {
  User: `${USER}:${USER}`,
  Entrypoint: ['/usr/bin/sotto'],
  Cmd: ['server'],
  Env: [
    'PATH=/usr/bin',
    `SOTTO_STATE_DIR=${STATE}`,
    // As in the unit: no debugger, and tens of MiB less under load.
    'NODE_OPTIONS=--disable-sigusr1 --max-semi-space-size=8',
  ],
  Volumes: { [STATE]: {} },
  WorkingDir: '/',
  StopSignal: 'SIGTERM',
}

/** Writes the archive to `output`. */
export function writeImage(output: string, options: ImageOptions): void {
  const { architecture, version, created } = options
  const scratch = mkdtempSync(join(options.scratch, 'image-'))
  const layout = new Layout(join(scratch, 'layout'))
  const layers = [
    baseLayer(options, join(scratch, 'base')),
    programLayer(options, join(scratch, 'program')),
  ].map((tar) => ({ diff: digestOf(tar), blob: layout.put(zstdCompressSync(tar), LAYER) }))
  const when = `${new Date(created * 1000).toISOString().slice(0, 19)}Z`
  const annotations = {
    'org.opencontainers.image.title': 'Sotto',
    'org.opencontainers.image.description': 'A secrets server for a tailnet',
    'org.opencontainers.image.version': version,
    'org.opencontainers.image.licenses': 'BSD-3-Clause',
    'org.opencontainers.image.created': when,
  }
  const config = layout.put(
    json({
      created: when,
      architecture,
      os: 'linux',
      config: { ...imageRun, Labels: annotations },
      rootfs: { type: 'layers', diff_ids: layers.map(({ diff }) => diff) },
      history: ['The parts of Debian', 'The program'].map((comment) => ({
        created: when,
        comment,
      })),
    }),
    'application/vnd.oci.image.config.v1+json',
  )
  const manifest = layout.put(
    json({
      schemaVersion: 2,
      mediaType: MANIFEST,
      config,
      layers: layers.map(({ blob }) => blob),
      annotations,
    }),
    MANIFEST,
  )
  // What engines call it that load the archive.
  const name = `localhost/sotto:${version}`
  layout.finish({
    ...manifest,
    platform: { architecture, os: 'linux' },
    annotations: { 'org.opencontainers.image.ref.name': name, 'io.containerd.image.name': name },
  })
  // The list that Docker reads where it keeps images itself.
  const [Config, ...Layers] = [config, ...layers.map(({ blob }) => blob)].map(blobPath)
  layout.write('manifest.json', [{ Config, RepoTags: [name], Layers }])
  pack(output, layout.folder, ['blobs', 'index.json', 'manifest.json', 'oci-layout'])
  rmSync(scratch, { recursive: true })
}

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
const LAYER = 'application/vnd.oci.image.layer.v1.tar+zstd'

/** The libraries of Debian with their licences, the user, and the folders that are written to. */
function baseLayer({ parts, architecture, scratch }: ImageOptions, root: string): Buffer {
  const put = (path: string, content: string): void => {
    mkdirSync(join(root, path, '..'), { recursive: true })
    writeFileSync(join(root, path), content)
  }
  for (const part of parts.parts) {
    const unpacked = `${root}-${part.name}`
    const file = fetchPart(part, architecture, scratch)
    execFileSync('dpkg-deb', ['--extract', file, unpacked])
    for (const path of globSync('**', { cwd: unpacked })) {
      if (!isTaken(path) || lstatSync(join(unpacked, path)).isDirectory()) continue
      cpSync(join(unpacked, path), join(root, path), { verbatimSymlinks: true })
    }
    // Where scanners of images look up what is installed.
    put(
      `var/lib/dpkg/status.d/${part.name}`,
      `${execFileSync('dpkg-deb', ['--field', file], { encoding: 'utf8' })}Status: install ok installed\n`,
    )
  }
  put('etc/os-release', `ID=debian\nVERSION_ID="${parts.release}"\nPRETTY_NAME="Sotto on Debian"\n`)
  put(
    'etc/passwd',
    `root:x:0:0:root:/:/nonexistent\nsotto:x:${USER}:${USER}:Sotto:${STATE}:/nonexistent\n`,
  )
  put('etc/group', `root:x:0:\nsotto:x:${USER}:\n`)
  put('etc/nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files dns\n')
  for (const folder of [...owned, '/tmp']) mkdirSync(join(root, folder), { recursive: true })
  for (const folder of owned) chmodSync(join(root, folder), 0o700)
  chmodSync(join(root, 'tmp'), 0o1777)
  const tar = `${root}.tar`
  const outside = owned.map((folder) => `--exclude=.${folder}`)
  pack(tar, root, [...outside, '.'])
  const ours = owned.map((folder) => `.${folder}`)
  execFileSync('tar', ['-rf', tar, ...SAME, ...ownedBy(USER), '-C', root, ...ours])
  return readFileSync(tar)
}

/** Libraries and licences. Not the converters between character sets, which are most of libc6. */
function isTaken(path: string): boolean {
  return (/\.so(?:\.\d+)*$/.test(path) && !path.includes('/gconv/')) || path.endsWith('/copyright')
}

function programLayer({ files }: ImageOptions, root: string): Buffer {
  for (const [path, from] of files) {
    cpSync(from, join(root, path))
    chmodSync(join(root, path), path.startsWith('/usr/bin/') ? 0o755 : 0o644)
  }
  const tar = `${root}.tar`
  pack(tar, root, ['.'])
  return readFileSync(tar)
}

/** What makes an archive the same whenever, wherever and by whomever it is made. */
const SAME = ['--format=ustar', '--sort=name', '--mtime=@0', '--numeric-owner']

function ownedBy(user: number): string[] {
  return [`--owner=${user}`, `--group=${user}`]
}

function pack(archive: string, folder: string, names: readonly string[]): void {
  execFileSync('tar', ['-cf', archive, ...SAME, ...ownedBy(0), '-C', folder, ...names])
}

/** A reference to a blob. */
interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

/** A folder as OCI's image layout has it: https://github.com/opencontainers/image-spec. */
class Layout {
  readonly folder: string

  constructor(folder: string) {
    this.folder = folder
    mkdirSync(join(folder, 'blobs/sha256'), { recursive: true })
  }

  put(content: Buffer, mediaType: string): Descriptor {
    const blob = { mediaType, digest: digestOf(content), size: content.length }
    writeFileSync(join(this.folder, blobPath(blob)), content)
    return blob
  }

  /** Lists the one image that is in it. */
  finish(manifest: Descriptor & { readonly [more: string]: unknown }): void {
    const mediaType = 'application/vnd.oci.image.index.v1+json'
    this.write('oci-layout', { imageLayoutVersion: '1.0.0' })
    this.write('index.json', { schemaVersion: 2, mediaType, manifests: [manifest] })
  }

  write(name: string, content: unknown): void {
    writeFileSync(join(this.folder, name), json(content))
  }
}

function blobPath({ digest }: Descriptor): string {
  return `blobs/${digest.replace(':', '/')}`
}

function digestOf(content: Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}
