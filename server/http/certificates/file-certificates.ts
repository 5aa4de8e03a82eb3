/** A certificate from files of the operator, read again when they change. */
import { readFile, stat } from 'node:fs/promises'
import { asSottoError, quote, SottoError } from '../../../client/api/errors.ts'
import { Certificates, type CertificateWorld } from './certificates.ts'
import { type CheckedPair, checkKeyPair } from './key-pair.ts'
import { errorCode } from '../../platform/system-error.ts'

/** The files, both PEM. */
export interface CertificateFiles {
  /** The certificate, with its chain after it. */
  readonly certificate: string
  readonly key: string
}

/** How often the files are looked at, in milliseconds. */
const LOOK_MS = 10_000

/** The pair in two files. A new pair that cannot be used is reported, and the old one stays in use. */
export class FileCertificates extends Certificates {
  readonly #files: CertificateFiles
  #stamp: string

  /** Rejects with `local` when the files hold no pair that could be used now. */
  static async open(files: CertificateFiles, world: CertificateWorld): Promise<FileCertificates> {
    const stamp = await stampOf(files)
    return new FileCertificates(files, await readPair(files, world.clock()), stamp, world)
  }

  private constructor(
    files: CertificateFiles,
    first: CheckedPair,
    stamp: string,
    world: CertificateWorld,
  ) {
    super(first, world)
    this.#files = files
    this.#stamp = stamp
    this.#watch()
  }

  #watch(): void {
    this.next(LOOK_MS, () => void this.#look().finally(() => this.#watch()))
  }

  async #look(): Promise<void> {
    const { clock, say } = this.world
    const stamp = await stampOf(this.#files)
    if (stamp === this.#stamp) return
    this.#stamp = stamp
    try {
      const pair = await readPair(this.#files, clock())
      this.replace(pair)
      say(`the certificate was read again and serves until ${pair.endsAt.toISOString()}`)
    } catch (error) {
      const until = this.current.endsAt.toISOString()
      say(`${asSottoError(error).message}; the one from before serves on until ${until}`)
    }
  }
}

/** Reads and checks the pair that `files` hold. Rejects with `local`. */
export async function readPair(files: CertificateFiles, now: Date): Promise<CheckedPair> {
  const key = await read(files.key)
  await refuseExposed(files.key)
  const certificate = await read(files.certificate)
  return checkKeyPair({ certificate, key }, { origin: `in ${quote(files.certificate)}`, now })
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new SottoError('local', `Cannot read ${quote(path)} (${errorCode(cause)})`, {
      cause,
      hint: 'Name existing files with --tls-cert and --tls-key, which the user of the server can read.',
    })
  }
}

async function refuseExposed(path: string): Promise<void> {
  const { mode } = await stat(path)
  if ((mode & 0o007) === 0) return
  throw new SottoError('key_exposed', `The TLS key ${quote(path)} can be used by every user`, {
    hint: `Run \`chmod o= ${path}\`.`,
  })
}

/** Tells one state of the files from another; files that cannot be looked at are a state too. */
async function stampOf({ certificate, key }: CertificateFiles): Promise<string> {
  const stamps = [certificate, key].map(async (path) => {
    try {
      const { ino, size, mtimeMs, ctimeMs, mode } = await stat(path)
      return `${ino}:${size}:${mtimeMs}:${ctimeMs}:${mode}`
    } catch (error) {
      return errorCode(error) ?? 'unknown'
    }
  })
  return (await Promise.all(stamps)).join(' ')
}
