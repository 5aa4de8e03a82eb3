/** Disks of their own for a test: file systems in memory and in an image, that can be filled, frozen and cut off. */
import { execFileSync } from 'node:child_process'
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/** A mounted file system; it is unmounted when the scope ends (`using`). */
export interface Disk {
  /** Where it is mounted. */
  readonly path: string
  /** Takes all the room that is left. */
  fill(): void
  /** Gives the room back. */
  drain(): void
  [Symbol.dispose](): void
}

/** Why disks cannot be made here; undefined where they can. */
export function noDisks(): string | undefined {
  if (process.platform !== 'linux') return 'needs Linux'
  return process.getuid?.() === 0 ? undefined : 'needs root, to mount file systems'
}

/** A file system in memory with room for `bytes`, mounted at `path`, which is made. */
export function memoryDisk(path: string, bytes: number): Disk {
  mkdirSync(path, { recursive: true, mode: 0o700 })
  run('mount', '-t', 'tmpfs', '-o', `size=${bytes},mode=0700`, 'tmpfs', path)
  return { path, ...ballast(path), [Symbol.dispose]: () => unmount(path) }
}

/**
 * A real file system on an image of `bytes`, whose disk is a file: what was not written through to
 * the disk is not in the file.
 */
export class ImageDisk implements Disk {
  readonly path: string
  readonly fill: () => void
  readonly drain: () => void
  readonly #image: string
  #frozen = false

  /** Makes the image in the folder `directory` and mounts it at `path`, which is made. */
  constructor(directory: string, path: string, bytes: number) {
    this.path = path
    this.#image = join(directory, 'disk.img')
    mkdirSync(path, { recursive: true })
    run('truncate', '-s', String(bytes), this.#image)
    run('mkfs.ext4', '-q', '-m', '0', '-E', 'lazy_itable_init=0,nodiscard', this.#image)
    this.#mount()
    const { fill, drain } = ballast(path)
    this.fill = fill
    this.drain = drain
  }

  /** Lets every write wait until `thaw`. */
  freeze(): void {
    run('fsfreeze', '-f', this.path)
    this.#frozen = true
  }

  /** Ends what `freeze` began, if it did. */
  thaw(): void {
    if (this.#frozen) run('fsfreeze', '-u', this.path)
    this.#frozen = false
  }

  /**
   * Loses the power: what is on the disk now is all that stays. `end` must end every process that
   * has files open on it, which are stopped already.
   */
  async losePower(end: () => Promise<void>): Promise<void> {
    const survivor = `${this.#image}.survivor`
    run('cp', '--sparse=always', this.#image, survivor)
    await end()
    unmount(this.path)
    renameSync(survivor, this.#image)
    this.#mount()
  }

  [Symbol.dispose](): void {
    this.thaw()
    unmount(this.path)
  }

  #mount(): void {
    run('mount', '-o', 'loop,noatime', this.#image, this.path)
  }
}

function ballast(path: string): Pick<Disk, 'fill' | 'drain'> {
  const file = join(path, 'ballast')
  return {
    fill: () => {
      for (let bytes = 1 << 20; bytes >= 1; bytes = Math.floor(bytes / 2)) append(file, bytes)
    },
    drain: () => rmSync(file),
  }
}

/** Appends pieces of so many bytes until there is no room for one more. */
function append(file: string, bytes: number): void {
  const fd = openSync(file, 'a', 0o600)
  const piece = Buffer.alloc(bytes, 1)
  try {
    for (;;) {
      if (writeSync(fd, piece) < bytes) return
      fsyncSync(fd)
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  } finally {
    closeSync(fd)
  }
}

function unmount(path: string): void {
  // What a killed process had open is let go of a moment after its end.
  for (let tries = 0; ; tries++) {
    try {
      return run('umount', path)
    } catch (error) {
      if (tries === 250) throw error
      run('sleep', '0.02')
    }
  }
}

function run(command: string, ...args: string[]): void {
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
}
