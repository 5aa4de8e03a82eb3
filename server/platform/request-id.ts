/** Random ids, which tell nothing: neither how many there were nor what they are of. */
import { randomFillSync } from 'node:crypto'

const REQUEST_BYTES = 12
const SALT_BYTES = 8

/** Random bytes are taken in numbers: one by one they cost more than what they are for. */
const pool = Buffer.allocUnsafeSlow(4096)
let used = pool.byteLength

/** A new request id: 24 hex digits. */
export function nextRequestId(): string {
  return randomHex(REQUEST_BYTES)
}

/** 16 hex digits for a record, so that its hash does not reveal what it says. */
export function nextSalt(): string {
  return randomHex(SALT_BYTES)
}

function randomHex(bytes: number): string {
  if (used + bytes > pool.byteLength) {
    randomFillSync(pool)
    used = 0
  }
  used += bytes
  return pool.toString('hex', used - bytes, used)
}
