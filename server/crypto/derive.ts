/** Gives every use of a long-lived key a key of its own, by HKDF-SHA256. */
import { createSecretKey, hash, hkdfSync, type KeyObject } from 'node:crypto'
import { FORMAT, type Purpose } from './binding.ts'
import { KEY_BYTES } from './envelope.ts'

/**
 * What a derived key does: seal what the purpose names, or authenticate the states of secrets. The last two are
 * of stores that have no lasting keys yet. There is none for values and references: a data key seals one of
 * them, and is used as it is.
 */
export type Use = Exclude<Purpose, 'value' | 'reference'> | 'state' | 'value-fingerprint' | 'audit'

const FINGERPRINT_BYTES = 8
const ROOT_FINGERPRINT_BYTES = 16

/** The key of the store `storeId` for one use of `key`. */
export function deriveKey(key: KeyObject, storeId: string, use: Use): KeyObject {
  return takeKey(expand(key, storeId, use, KEY_BYTES))
}

/**
 * Names `key` in 16 hex digits: always the same, different for other keys, and of no help in
 * finding the key. `storeId` is empty for a key that serves several stores.
 */
export function fingerprint(key: KeyObject, storeId: string): string {
  return expand(key, storeId, 'fingerprint', FINGERPRINT_BYTES).toString('hex')
}

/** Names the root key of a store in 32 hex digits, which may be public: no other root key has the same. */
export function rootFingerprintOf(rootKey: Uint8Array | KeyObject, storeId: string): string {
  const key = rootKey instanceof Uint8Array ? createSecretKey(rootKey) : rootKey
  return expand(key, storeId, 'root-fingerprint', ROOT_FINGERPRINT_BYTES).toString('hex')
}

/** Names a key by what is public of it: the first 16 hex digits of the SHA-256 of `text`. */
export function fingerprintOfPublic(text: string): string {
  return hash('sha256', text, 'hex').slice(0, 16)
}

type Named = Use | 'fingerprint' | 'root-fingerprint'

function expand(key: KeyObject, salt: string, use: Named, size: number): Buffer {
  return Buffer.from(hkdfSync('sha256', key, salt, `sotto/${FORMAT}/${use}`, size))
}

/** The key object of `raw`, which is overwritten. */
export function takeKey(raw: Buffer): KeyObject {
  const key = createSecretKey(raw)
  raw.fill(0)
  return key
}
