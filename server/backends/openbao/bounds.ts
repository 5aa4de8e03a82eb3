/** What OpenBao accepts, checked before anything is sent: it answers to too much as if it were broken. */
import { SottoError } from '../../../client/api/errors.ts'
import type { Content } from '../content.ts'

/** Bytes of a value in a leaf. An entry of its raft storage has 1 MiB, and the value is in Base64. */
const MAX_LEAF_BYTES = 760 * 1024
/** Bytes of the JSON of an entry, as OpenBao spells it. */
const MAX_ENTRY_BYTES = 1024 * 1024 - 8 * 1024
/** Texts in one request, names of fields and values: OpenBao accepts 1000, including those around the entry. */
const MAX_TEXTS = 980

/** Throws `backend_too_large` for a value that does not fit into a leaf. */
export function checkLeaf({ length }: Uint8Array, attempted: string, place: string): void {
  if (length <= MAX_LEAF_BYTES) return
  throw tooLarge(attempted, place, `it has ${length} bytes where ${MAX_LEAF_BYTES} fit`)
}

/** Throws `backend_too_large` for a content that does not fit into a projection. */
export function checkContent(content: Content, attempted: string, place: string): void {
  const bytes = spelledBytes(content.bytes)
  if (bytes > MAX_ENTRY_BYTES) {
    const found = `what readers there would see has ${bytes} bytes where ${MAX_ENTRY_BYTES} fit`
    throw tooLarge(attempted, place, found)
  }
  const fields = Object.values(content.fields)
  const texts = fields.length + fields.filter((field) => typeof field === 'string').length
  if (texts <= MAX_TEXTS) return
  const found = `it has ${fields.length} fields where ${MAX_TEXTS / 2} fit`
  throw tooLarge(attempted, place, found)
}

/** Go spells `<`, `>`, `&` and two separators with six bytes each. */
function spelledBytes(content: Uint8Array): number {
  let bytes = content.length
  for (const byte of content) if (byte === 0x3c || byte === 0x3e || byte === 0x26) bytes += 5
  // Three bytes each. E2 80 also begins others: at worst the count is a little too high.
  for (let at = 0; at + 1 < content.length; at++) {
    if (content[at] === 0xe2 && content[at + 1] === 0x80) bytes += 3
  }
  return bytes
}

function tooLarge(attempted: string, place: string, found: string): SottoError {
  return new SottoError('backend_too_large', `Cannot ${attempted} at ${place}: ${found}`, {
    callerHint: 'Large files live elsewhere; keep the key that protects them here.',
  })
}
