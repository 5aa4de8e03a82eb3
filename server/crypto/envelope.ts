/** Seals bytes with AES-256-GCM, bound to a place, and opens them nowhere else: docs/internals/format.md. */
import { createCipheriv, createDecipheriv, type KeyObject, randomBytes } from 'node:crypto'
import { SottoError } from '../../client/api/errors.ts'
import { type Binding, FORMAT } from './binding.ts'

/** Gives that many unpredictable bytes, in memory that the caller may overwrite. */
export type RandomSource = (size: number) => Buffer

/** Bytes of every key. */
export const KEY_BYTES = 32

const NONCE_BYTES = 12
const TAG_BYTES = 16
const TEXT_AT = 1 + NONCE_BYTES

/** Bytes that an envelope has in addition to what it holds. */
const OVERHEAD_BYTES = TEXT_AT + TAG_BYTES

const algorithm = 'aes-256-gcm'
const options = { authTagLength: TAG_BYTES }

/** Seals `plain` under a key of 32 bytes: format, nonce, ciphertext, tag. */
export function seal(
  key: KeyObject,
  binding: Binding,
  plain: Uint8Array,
  random: RandomSource = randomBytes,
): Buffer {
  const sealed = Buffer.allocUnsafe(OVERHEAD_BYTES + plain.length)
  sealed[0] = FORMAT
  sealed.set(random(NONCE_BYTES), 1)
  const cipher = createCipheriv(algorithm, key, sealed.subarray(1, TEXT_AT), options)
  cipher.setAAD(binding.bytes)
  sealed.set(cipher.update(plain), TEXT_AT)
  cipher.final()
  sealed.set(cipher.getAuthTag(), TEXT_AT + plain.length)
  return sealed
}

/**
 * Opens what `seal` made with the same key and binding. Throws `store_damaged`, naming the subject
 * of the binding: for a format that is not ours, for fewer bytes than an envelope has, and for
 * bytes that fail their authentication, each with its own message.
 */
export function open(key: KeyObject, binding: Binding, sealed: Uint8Array): Buffer {
  if (sealed[0] !== FORMAT || sealed.length < OVERHEAD_BYTES) throw misshapen(binding, sealed)
  const tagAt = sealed.length - TAG_BYTES
  const decipher = createDecipheriv(algorithm, key, sealed.subarray(1, TEXT_AT), options)
  decipher.setAAD(binding.bytes)
  decipher.setAuthTag(sealed.subarray(tagAt))
  const plain = decipher.update(sealed.subarray(TEXT_AT, tagAt))
  try {
    decipher.final()
  } catch {
    plain.fill(0)
    throw damaged(
      binding,
      'the bytes failed their authentication',
      'They were damaged, altered or moved from another place: restore them from a backup.',
    )
  }
  return plain
}

/** As `open`, for an envelope that holds a key; another length has a message of its own. */
export function openKey(key: KeyObject, binding: Binding, sealed: Uint8Array): Buffer {
  if (sealed[0] === FORMAT && sealed.length !== OVERHEAD_BYTES + KEY_BYTES) {
    throw wrongLength(binding, sealed, `${OVERHEAD_BYTES + KEY_BYTES}`)
  }
  return open(key, binding, sealed)
}

function misshapen(binding: Binding, sealed: Uint8Array): SottoError {
  const format = sealed[0]
  if (format === undefined || format === FORMAT) {
    return wrongLength(binding, sealed, `at least ${OVERHEAD_BYTES}`)
  }
  return damaged(
    binding,
    `it has format ${format}, and this release reads format ${FORMAT}`,
    'A newer release may have written it; if none did, it is damaged.',
  )
}

function wrongLength(binding: Binding, sealed: Uint8Array, due: string): SottoError {
  return damaged(
    binding,
    `it has ${sealed.length} bytes where ${due} are due`,
    'It was cut short or damaged: restore it from a backup.',
  )
}

function damaged(binding: Binding, why: string, hint: string): SottoError {
  return new SottoError('store_damaged', `Cannot open ${binding.subject()}: ${why}`, { hint })
}
