/** A certificate from files of the operator, read again when they change. */
import { stat } from 'node:fs/promises'
import { asSottoError, quote } from '../../../client/api/errors.ts'
import { Certificates, type CertificateWorld } from './certificates.ts'
import { type CheckedPair, checkKeyPair } from './key-pair.ts'
import { errorCode } from '../../../client/platform/system-error.ts'
import { readPrivateText, readTextFile } from '../../../client/platform/text-file.ts'

/** The files, both PEM. */
export interface CertificateFiles {
  /** The certificate, with its chain after it. */
  readonly certificate: string
  readonly key: string
}

/** More bytes than a key has, with a chain in the same file. */
const MAX_KEY_BYTES = 256 * 1024
/** How often the files are looked at, in milliseconds. */
const LOOK_MS = 10_000

/** The pair in two files. A new pair that cannot be used is reported, and the old one stays in use. */
export class FileCertificates extends Certificates {
  readonly #files: CertificateFiles
  /** Of the files that the pair was read from. */
  #stamp: string
  /** What was said to be wrong with the files as they are; empty where nothing was. */
  #fault = ''

  /** Rejects as `readPair`. */
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
    const { clock, logger } = this.world
    const stamp = await stampOf(this.#files)
    if (stamp === this.#stamp) return
    try {
      const pair = await readPair(this.#files, clock())
      this.#stamp = stamp
      this.#fault = ''
      this.replace(pair)
      logger.info(`the certificate was read again and serves until ${pair.endsAt.toISOString()}`)
    } catch (error) {
      // Looked at again: what is wrong may be the clock, and only for a while.
      const { code, message } = asSottoError(error)
      if (message === this.#fault) return
      this.#fault = message
      const until = this.current.endsAt.toISOString()
      logger.error(`${message}; the one from before serves on until ${until}`, { code })
    }
  }
}

/**
 * Reads and checks the pair that `files` hold. Rejects with `local` where it could not be used now, and for the key
 * as `readPrivateFile`.
 */
export async function readPair(files: CertificateFiles, now: Date): Promise<CheckedPair> {
  const key = await readPrivateText(files.key, 'TLS key', MAX_KEY_BYTES, {
    pem: true,
    hint: 'Look at --tls-key, and that the volume is mounted.',
  })
  const certificate = await readTextFile(files.certificate, 'certificate', { pem: true })
  return checkKeyPair({ certificate, key }, { origin: `in ${quote(files.certificate)}`, now })
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
