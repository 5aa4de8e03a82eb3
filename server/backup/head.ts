/** What stands in the clear at the beginning of a backup: docs/internals/backup-format.md. */
import { hash } from 'node:crypto'
import { quote, SottoError } from '../../client/api/errors.ts'
import { encode } from '../crypto/encoding.ts'
import type { Wrap } from '../crypto/root-key.ts'
import type { ByteReader } from './byte-reader.ts'
import { damaged } from './damage.ts'

/** The version of the file that this release writes. It reads the earlier one, too. */
export const BACKUP_FORMAT = 2

/** Bytes of content in a chunk; the last one may have fewer. */
export const CHUNK_BYTES = 65_536

/** Bytes that a chunk has besides its content. */
export const TAG_BYTES = 16

const MAGIC = 'sotto backup'
const FIXED_BYTES = MAGIC.length + 8
/** More than the fields of any head have. */
const MAX_FIELD_BYTES = 1024 * 1024
/** A sealed key. */
const SEALED_BYTES = 61

/** What is in a head. Since the file key is sealed for it under a key of the root key, only who has that can make one. */
export interface Head {
  readonly storeId: string
  /** UTC. */
  readonly created: string
  /** Bytes of content. */
  readonly contentBytes: number
  /** The wraps of the store's root key when the backup was made. */
  readonly wraps: readonly Wrap[]
  /** The fingerprint of the root key. */
  readonly root: string
}

/** A head as it was read. */
export interface SealedHead extends Omit<Head, 'root'> {
  readonly format: number
  /** Undefined in format 1. */
  readonly root: string | undefined
  /** The file key, sealed. */
  readonly sealedKey: Uint8Array
  /** SHA-256, in hex, of what stands before the sealed key. */
  readonly hash: string
  /** Bytes of the whole file. */
  readonly fileBytes: number
}

/** The bytes of `head` up to the sealed key, and their hash, which the file key is bound to. */
export function encodeHead(head: Head): { readonly bytes: Buffer; readonly hash: string } {
  const { storeId, created, contentBytes, wraps, root } = head
  const chunks = Math.ceil(contentBytes / CHUNK_BYTES)
  const fields = encode([
    storeId,
    created,
    chunks,
    contentBytes - (chunks - 1) * CHUNK_BYTES,
    wraps.length,
    ...wraps.flatMap(({ provider, fingerprint, wrapped }) => [
      provider,
      fingerprint,
      Buffer.from(wrapped).toString('base64'),
    ]),
    root,
  ])
  const numbers = Buffer.alloc(8)
  numbers.writeUInt32BE(BACKUP_FORMAT, 0)
  numbers.writeUInt32BE(fields.length, 4)
  const bytes = Buffer.concat([Buffer.from(MAGIC), numbers, fields])
  return { bytes, hash: hash('sha256', bytes, 'hex') }
}

/** Bytes of a file whose head, up to the sealed key, has `headBytes`. */
export function fileBytes(headBytes: number, contentBytes: number): number {
  const chunks = Math.ceil(contentBytes / CHUNK_BYTES)
  return headBytes + SEALED_BYTES + contentBytes + chunks * TAG_BYTES
}

/**
 * Reads the head of the backup `name`. Throws `backup_damaged` for what is none, and `store_newer`
 * for the format of a later release.
 */
export async function readHead(reader: ByteReader, name: string): Promise<SealedHead> {
  const fixed = await reader.take(FIXED_BYTES)
  if (fixed.length < FIXED_BYTES || fixed.toString('latin1', 0, MAGIC.length) !== MAGIC) {
    throw damaged(name, 'it does not begin as a backup of Sotto does')
  }
  const format = fixed.readUInt32BE(MAGIC.length)
  if (format < 1 || format > BACKUP_FORMAT) {
    const message = `Cannot read the backup ${quote(name)}: it has format ${format}, this release reads 1 to ${BACKUP_FORMAT}`
    throw new SottoError('store_newer', message, {
      hint: 'Use the release that wrote it, or a later one; if none did, the file is damaged.',
    })
  }
  const size = fixed.readUInt32BE(MAGIC.length + 4)
  const bytes = size <= MAX_FIELD_BYTES ? await reader.take(size) : Buffer.alloc(0)
  const sealedKey = await reader.take(SEALED_BYTES)
  const head = bytes.length === size ? parseFields(bytes, format) : undefined
  if (head === undefined || sealedKey.length < SEALED_BYTES) {
    throw damaged(name, 'its head is cut short or altered')
  }
  return {
    ...head,
    format,
    sealedKey,
    hash: hash('sha256', Buffer.concat([fixed, bytes]), 'hex'),
    fileBytes: fileBytes(FIXED_BYTES + size, head.contentBytes),
  }
}

/** Undefined for bytes that are no fields of a head. What follows those of format 2 is of a later release. */
function parseFields(
  bytes: Buffer,
  format: number,
): (Omit<Head, 'root'> & Pick<SealedHead, 'root'>) | undefined {
  let at = 0
  const number = (): number => {
    const value = at + 4 <= bytes.length ? bytes.readUInt32BE(at) : Number.NaN
    at += 4
    return value
  }
  const text = (): string => {
    const size = number()
    const value = bytes.subarray(at, at + size)
    at += size
    return value.toString('utf8')
  }
  const [storeId, created] = [text(), text()]
  const [chunks, last, count] = [number(), number(), number()]
  const wraps: Wrap[] = []
  while (wraps.length < count && at < bytes.length) {
    const [provider, fingerprint] = [text(), text()]
    wraps.push({ provider, fingerprint, wrapped: Buffer.from(text(), 'base64') })
  }
  const root = format === 1 ? undefined : text()
  const whole = format === 1 ? at === bytes.length : at <= bytes.length
  if (!whole || wraps.length !== count || !isId(storeId) || !isId(root ?? storeId)) return undefined
  if (!(chunks >= 1) || !(last >= 1 && last <= CHUNK_BYTES)) return undefined
  return { storeId, created, contentBytes: (chunks - 1) * CHUNK_BYTES + last, wraps, root }
}

function isId(text: string): boolean {
  return /^[0-9a-f]{32}$/.test(text)
}
