/** Bytes as standard base64 with padding, as Go writes a slice of them. */

export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')
}

/** The bytes that `text` has; undefined for what is not base64. Node skips that, and a damaged value would look like a shorter one. */
export function bytesOf(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64')
  return bytes.toString('base64') === text ? bytes : undefined
}
