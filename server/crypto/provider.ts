/** What keeps the root key: something outside the store that can wrap 32 bytes and give them back. */

/**
 * A key provider: AWS KMS, a local key file, an offline recovery key. Every call rejects with a
 * SottoError that names the provider and its key, never with a crypto failure.
 */
export interface KeyProvider {
  /** The provider's name, one word: it is stored with the wrap and named in messages. */
  readonly name: string

  /**
   * Names the key, so that a wrong one is recognised: stable, and of no help in finding the key. `wraps` are the
   * names of those that are looked for: of a key that has several names, the answer is the one among these.
   */
  fingerprint(wraps?: readonly string[]): Promise<string>

  /**
   * Wraps the 32 bytes of the root key of the store `storeId`, bound to that id. It may need public
   * material alone.
   */
  wrap(rootKey: Uint8Array, storeId: string): Promise<Uint8Array>

  /**
   * Gives back what `wrap` was given. Rejects with `key_wrong` when the bytes were wrapped by
   * another key or for another store, or were altered, and with `key_missing` when only the public
   * half of the key is here.
   */
  unwrap(wrapped: Uint8Array, storeId: string): Promise<Uint8Array>
}
