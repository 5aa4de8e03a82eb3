/** What a store keeps of a value that is in a backend: where it is, and what it must be. */
import type { KeyObject } from 'node:crypto'
import { SottoError } from '../../client/api/errors.ts'
import type { Binding } from './binding.ts'
import { takeKey } from './derive.ts'
import { encode } from './encoding.ts'
import { KEY_BYTES } from './envelope.ts'

/** Where a value is kept, and what it must be. */
export interface Reference {
  /** The id of the backend. */
  readonly backend: number
  /** The number of the lasting key that the fingerprint was made with. */
  readonly number: number
  /** Differs for every other value; reveals nothing without the key. */
  readonly fingerprint: Uint8Array
  /** The data key of the sealed value that the store keeps besides; absent where it keeps none. */
  readonly kept?: KeyObject
}

const FINGERPRINT_BYTES = 32

/** The bytes of a reference, before they are sealed: the number 1 is left out, but before a key. */
export function encodeReference({ backend, number, fingerprint, kept }: Reference): Buffer {
  const numbers = encode(number === 1 && !kept ? [] : [number])
  return Buffer.concat([encode([backend]), fingerprint, numbers, ...(kept ? [kept.export()] : [])])
}

/** The reference of these bytes. Throws `store_damaged`, naming the subject of the binding. */
export function decodeReference(bytes: Buffer, binding: Binding): Reference {
  const due = 4 + FINGERPRINT_BYTES
  const keyAt = due + 4
  const isKept = bytes.length === keyAt + KEY_BYTES
  const number = bytes.length >= keyAt ? bytes.readUInt32BE(due) : 1
  const length = number === 1 ? due : keyAt
  if ((isKept || bytes.length === length) && number > 0) {
    const fingerprint = Buffer.from(bytes.subarray(4, due))
    const kept = isKept && { kept: takeKey(bytes.subarray(keyAt)) }
    return { backend: bytes.readUInt32BE(0), number, fingerprint, ...kept }
  }
  const lengths = `${due}, ${keyAt} or ${keyAt + KEY_BYTES}`
  throw new SottoError(
    'store_damaged',
    `Cannot read ${binding.subject()}: it has ${bytes.length} bytes where ${lengths} are due`,
  )
}
