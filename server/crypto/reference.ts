/** What a store keeps of a value that is in a backend: where it is, and what it must be. */
import { SottoError } from '../../client/api/errors.ts'
import type { Binding } from './binding.ts'
import { encode } from './encoding.ts'

/** Where a value is kept, and what it must be. */
export interface Reference {
  /** The id of the backend. */
  readonly backend: number
  /** Differs for every other value; reveals nothing without the key. */
  readonly fingerprint: Uint8Array
}

const FINGERPRINT_BYTES = 32

/** The bytes of a reference, before they are sealed. */
export function encodeReference({ backend, fingerprint }: Reference): Buffer {
  return Buffer.concat([encode([backend]), fingerprint])
}

/** The reference of these bytes. Throws `store_damaged`, naming the subject of the binding. */
export function decodeReference(bytes: Buffer, binding: Binding): Reference {
  if (bytes.length === 4 + FINGERPRINT_BYTES) {
    return { backend: bytes.readUInt32BE(0), fingerprint: bytes.subarray(4) }
  }
  throw new SottoError(
    'store_damaged',
    `Cannot read ${binding.subject()}: it has ${bytes.length} bytes where ${4 + FINGERPRINT_BYTES} are due`,
  )
}
