/**
 * Secrets as files for a program, in a folder of its own in memory, which this user alone can enter. They change all at
 * once, as those that the kubelet mounts do: `NAME` leads to `..data/NAME`, and `..data` to a folder that is never changed.
 */
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { quote, SottoError } from '../../../client/api/errors.ts'
import type { Environment } from '../../../client/api/given.ts'
import { refuseForeign } from '../../../client/platform/owned.ts'
import { systemError } from '../../../client/platform/system-error.ts'
import { isInMemory } from '../../in-memory.ts'
import { statusOf } from './session.ts'

/** What is in each file, by its path below the folder. */
export type FileContents = ReadonlyMap<string, Uint8Array>

const DATA = '..data'

/** A folder of files. It is gone when it is disposed of. */
export class SecretFiles implements Disposable {
  /** What the program is told. */
  readonly folder: string

  constructor(folder: string) {
    this.folder = folder
  }

  /** Puts `contents` in the place of all that is there, at once. */
  place(contents: FileContents): void {
    const next = `..${randomBytes(8).toString('hex')}`
    try {
      const before = this.#data()
      mkdirSync(join(this.folder, next), { mode: 0o700 })
      for (const [path, content] of contents) {
        const at = join(this.folder, next, path)
        mkdirSync(dirname(at), { recursive: true, mode: 0o700 })
        writeFileSync(at, content, { flag: 'wx', mode: 0o400 })
      }
      symlinkSync(next, join(this.folder, `${next}.new`))
      renameSync(join(this.folder, `${next}.new`), join(this.folder, DATA))
      this.#linkNames(contents)
      if (before !== undefined) rmSync(join(this.folder, before), { recursive: true })
    } catch (error) {
      throw systemError(error, 'write the files of secrets in', this.folder)
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true })
  }

  #data(): string | undefined {
    const link = join(this.folder, DATA)
    return lstatSync(link, { throwIfNoEntry: false }) ? readlinkSync(link) : undefined
  }

  #linkNames(contents: FileContents): void {
    const names = new Set([...contents.keys()].map((path) => path.split('/')[0] ?? ''))
    const present = readdirSync(this.folder).filter((name) => !name.startsWith('..'))
    for (const name of present) if (!names.has(name)) rmSync(join(this.folder, name))
    for (const name of names) {
      if (!present.includes(name)) symlinkSync(`${DATA}/${name}`, join(this.folder, name))
    }
  }
}

/**
 * Makes the folder, after those were removed that programs left which are gone. Throws `unsafe` where there is no memory
 * to make it in, unless `onDisk`, and where others could put another in its place.
 */
export function makeSecretFiles(env: Environment, onDisk: boolean): SecretFiles {
  const place = placeOf(env, onDisk)
  refuseForeign(place, `the folder ${quote(place)} for files of secrets`)
  removeLeftovers(place)
  const folder = join(place, `${PREFIX}${ownerOf(process.pid)}-${randomBytes(6).toString('hex')}`)
  try {
    mkdirSync(folder, { mode: 0o700 })
    // A mask may have taken more away.
    chmodSync(folder, 0o700)
  } catch (error) {
    throw systemError(error, 'make the folder', folder)
  }
  return new SecretFiles(folder)
}

function placeOf(env: Environment, onDisk: boolean): string {
  const wanted = env['XDG_RUNTIME_DIR'] || '/dev/shm'
  if (isInMemory(wanted)) return wanted
  if (onDisk) return env['XDG_RUNTIME_DIR'] || tmpdir()
  throw new SottoError(
    'unsafe',
    `Cannot keep files of secrets in ${quote(wanted)}: it is not in memory`,
    {
      hint: 'Set XDG_RUNTIME_DIR to a folder of a tmpfs; with --on-disk the files are written to a disk.',
    },
  )
}

const PREFIX = 'sotto-run-'

/** Names the process `pid`, of this container and this start of the machine, so that no later one is taken for it. */
function ownerOf(pid: number): string {
  return `${namespace()}-${pid}-${statusOf(pid)?.started ?? 0}`
}

/** The number of the namespace that process numbers are of. */
function namespace(): string {
  try {
    return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0'
  } catch {
    return '0'
  }
}

function removeLeftovers(place: string): void {
  const ours = new RegExp(`^${PREFIX}(${namespace()}-(\\d+)-\\d+)-[0-9a-f]{12}$`)
  for (const name of readdirSync(place)) {
    const [, owner, pid] = ours.exec(name) ?? []
    if (owner === undefined || owner === ownerOf(Number(pid))) continue
    const path = join(place, name)
    if (lstatSync(path, { throwIfNoEntry: false })?.uid !== process.geteuid?.()) continue
    rmSync(path, { recursive: true, force: true })
  }
}
