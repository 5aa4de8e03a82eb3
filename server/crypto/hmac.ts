/** HMAC-SHA256 of hashes under one key, made so often that `createHmac`, which costs twice as much, would show. */
import { hash, type KeyObject } from 'node:crypto'

/** What SHA-256 takes at a time, and gives, in bytes. */
const BLOCK_BYTES = 64
const HASH_BYTES = 32

/** One key, prepared as RFC 2104 has it. */
export class HashesHmac {
  readonly #inner: Buffer
  /** The outer block, and room for the inner hash. */
  readonly #outer: Buffer

  /** `key` has at most 64 bytes. */
  constructor(key: KeyObject) {
    const raw = key.export()
    const padded = (pad: number) =>
      Buffer.alloc(BLOCK_BYTES, pad).map((byte, at) => byte ^ (raw[at] ?? 0))
    this.#inner = Buffer.from(padded(0x36))
    this.#outer = Buffer.concat([padded(0x5c)], BLOCK_BYTES + HASH_BYTES)
    raw.fill(0)
  }

  /** The HMAC, in hex, of the bytes of `hashes`, each of which is 32 bytes in hex. */
  digest(hashes: readonly string[]): string {
    const input = Buffer.allocUnsafe(BLOCK_BYTES + hashes.length * HASH_BYTES)
    this.#inner.copy(input)
    let end = BLOCK_BYTES
    for (const each of hashes) end += input.write(each, end, HASH_BYTES, 'hex')
    this.#outer.write(hash('sha256', input), BLOCK_BYTES, 'hex')
    return hash('sha256', this.#outer)
  }
}
