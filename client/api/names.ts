/** The rules that the name of a secret follows. Names are compared byte for byte and never repaired. */
import { MAX_NAME_BYTES } from './types.ts'

const controls = /\p{Control}/u

/** Bytes that any name in a request may have, so that one can be recorded whole. */
export const MAX_READ_NAME_BYTES = 4096

/** Why `name` cannot be given to a secret, as half a sentence; undefined when it can. */
export function nameProblem(name: string): string | undefined {
  if (name === '') return 'it is empty'
  if (utf8Length(name) > MAX_NAME_BYTES) return `it is longer than ${MAX_NAME_BYTES} bytes`
  if (controls.test(name)) return 'it has control characters'
  return undefined
}

/** Whether `text` can be what a program calls itself: 1 to 64 printable characters of ASCII, no blanks. */
export function isLabel(text: string): boolean {
  return /^[\x21-\x7e]{1,64}$/.test(text)
}

/** The number of bytes that `text` takes in UTF-8. */
export function utf8Length(text: string): number {
  return Buffer.byteLength(text, 'utf8')
}
