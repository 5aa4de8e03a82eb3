/** Turns lists of texts and numbers into bytes that no other list of the same kind turns into. */
import { SottoError } from '../../client/api/errors.ts'

/** A field: a text, or an unsigned 32-bit integer. */
export type Field = string | number

/**
 * The fields one after another: a text as its length in bytes and its UTF-8, a number and a length
 * as four bytes, big-endian. Injective among lists whose first field, a text, settles the number
 * and the kinds of those that follow. Throws `internal` for a text that has no UTF-8 (an unpaired
 * surrogate) and for a number that is not an unsigned 32-bit integer.
 */
export function encode(fields: readonly Field[]): Buffer {
  let size = 0
  for (const field of fields) {
    size += typeof field === 'string' ? 4 + Buffer.byteLength(field, 'utf8') : 4
  }
  const bytes = Buffer.allocUnsafe(size)
  let at = 0
  for (const field of fields) {
    if (typeof field === 'number') {
      at = writeNumber(bytes, field, at)
    } else {
      const length = writeText(bytes, field, at + 4)
      at = writeNumber(bytes, length, at) + length
    }
  }
  return bytes
}

/**
 * A list of numbers as fields: how many runs of consecutive numbers it has, then the first number
 * and the length of each. Every list, sorted or not, has fields of its own.
 */
export function runs(numbers: readonly number[]): number[] {
  const fields = [0]
  let next = NaN
  for (const number of numbers) {
    if (number === next) {
      fields[fields.length - 1]! += 1
    } else {
      fields.push(number, 1)
      fields[0]! += 1
    }
    next = number + 1
  }
  return fields
}

function writeNumber(bytes: Buffer, value: number, at: number): number {
  if (value >>> 0 !== value) {
    throw new SottoError('internal', `Cannot encode ${value}: it is not an unsigned 32-bit integer`)
  }
  return bytes.writeUInt32BE(value, at)
}

function writeText(bytes: Buffer, text: string, at: number): number {
  // An unpaired surrogate becomes U+FFFD in UTF-8, and two names would then be one.
  if (!text.isWellFormed()) {
    throw new SottoError('internal', `Cannot encode ${JSON.stringify(text)}: it has no UTF-8`)
  }
  return bytes.write(text, at, 'utf8')
}
