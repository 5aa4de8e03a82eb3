/**
 * A container of an image in an archive, by Debian's buildah: it reads the archive as every engine does, and runs the
 * program with chroot as the isolation. Engines that isolate more do not run where the tests do.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { zstdDecompressSync } from 'node:zlib'
import { TestProcess } from '../support/process.ts'

/** What the image says about how it is run, as far as the tests look at it. */
export interface ImageConfig {
  readonly User: string
  readonly Entrypoint: readonly string[]
  readonly Cmd: readonly string[]
  readonly Env: readonly string[]
  readonly Labels: Readonly<Record<string, string>>
  readonly StopSignal: string
  readonly Volumes: Readonly<Record<string, object>>
}

export class Container implements Disposable {
  readonly config: ImageConfig
  readonly #folder: string
  readonly #name: string

  /**
   * Loads the archive under the name that it gives itself, and makes a container of `image`. `source` says how the archive
   * is read, in the words of buildah; `folder` is for what it needs.
   */
  constructor(folder: string, archive: string, image: string, source = 'oci-archive') {
    this.#folder = folder
    for (const each of ['storage', 'run', 'root'])
      mkdirSync(join(folder, each), { recursive: true })
    this.#buildah(['pull', '--quiet', `${source}:${archive}`])
    this.#name = this.#buildah(['from', '--pull-never', image]).trim()
    const { OCIv1 } = JSON.parse(this.#buildah(['inspect', this.#name])) as {
      OCIv1: { config: ImageConfig }
    }
    this.config = OCIv1.config
  }

  /** Runs a command of its own, as the user of the image. */
  run(command: readonly string[], input = ''): string {
    return this.#buildah(['run', '--isolation', 'chroot', this.#name, '--', ...command], input)
  }

  /** As `run`, for a command that fails: what it said. */
  refused(command: readonly string[]): string {
    const args = ['run', '--isolation', 'chroot', this.#name, '--', ...command]
    const { status, stdout, stderr } = spawnSync('buildah', this.#args(args), this.#options())
    if (status === 0) throw new Error(`${command.join(' ')} did not fail`)
    return stdout + stderr
  }

  /** The folder that has its files. */
  mount(): string {
    return this.#buildah(['mount', this.#name]).trim()
  }

  /** Runs the entry point to its end with arguments of its own. */
  enter(...args: readonly string[]): string {
    return this.run([...this.config.Entrypoint, ...args])
  }

  /** Starts the entry point with nothing to write to but /tmp and the volume of the image, both empty. */
  startReadOnly(args: readonly string[]): TestProcess {
    const root = join(this.#folder, 'root')
    const [volume = ''] = Object.keys(this.config.Volumes)
    const [uid, gid] = this.config.User.split(':')
    // It becomes the program in the end, so that signals reach that.
    const script = `set -eu
mount --bind "$FROM" "$ROOT"
mkdir -p "$ROOT/dev" "$ROOT/proc"
mount -o remount,ro,bind "$ROOT"
mount -t tmpfs -o mode=1777 none "$ROOT/tmp"
mount -t tmpfs -o mode=0700,uid=${uid},gid=${gid} none "$ROOT${volume}"
mount -t proc none "$ROOT/proc"
mount --bind /dev "$ROOT/dev"
exec env -i ${this.config.Env.map((each) => `'${each}'`).join(' ')} \\
  /usr/sbin/chroot --userspec=${this.config.User} "$ROOT" "$@"`
    const command = ['--mount', 'sh', '-c', script, 'sh', ...this.config.Entrypoint, ...args]
    return new TestProcess('unshare', command, { env: { FROM: this.mount(), ROOT: root } })
  }

  /** Its files are in a storage of their own. */
  [Symbol.dispose](): void {
    this.#buildah(['rm', '--all'])
    this.#buildah(['rmi', '--all', '--force'])
  }

  #buildah(args: readonly string[], input = ''): string {
    return execFileSync('buildah', this.#args(args), { ...this.#options(), input })
  }

  #args(args: readonly string[]): string[] {
    const storage = [
      '--root',
      join(this.#folder, 'storage'),
      '--runroot',
      join(this.#folder, 'run'),
    ]
    return [...storage, ...args]
  }

  #options() {
    // The driver that works on every file system.
    const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: this.#folder, STORAGE_DRIVER: 'vfs' }
    return { encoding: 'utf8', env, cwd: this.#folder } as const
  }
}

/** The paths of the files in the layers of an archive, which is unpacked into `folder`. */
export function filesInLayers(archive: string, folder: string): string[] {
  mkdirSync(folder)
  execFileSync('tar', ['-xf', archive, '-C', folder])
  const blobs = join(folder, 'blobs/sha256')
  return readdirSync(blobs)
    .map((name) => readFileSync(join(blobs, name)))
    .filter((blob) => blob.readUInt32LE(0) === ZSTD)
    .map((blob) =>
      execFileSync('tar', ['-t'], { input: zstdDecompressSync(blob), encoding: 'utf8' }),
    )
    .flatMap((list) => list.split('\n'))
    .filter((path) => path !== '' && !path.endsWith('/'))
}

/** What a file begins with that is packed with it. */
const ZSTD = 0xfd_2f_b5_28
