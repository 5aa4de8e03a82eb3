/**
 * The content of a backup, sealed chunk by chunk with AES-256-GCM under the file key. The nonce
 * counts the chunks and marks the last one, so that none can be changed, moved, left out, or taken
 * from another file, and the end cannot be cut off.
 */
import { createCipheriv, createDecipheriv, type KeyObject } from 'node:crypto'
import { ByteReader } from './byte-reader.ts'
import { damaged } from './damage.ts'
import { CHUNK_BYTES, TAG_BYTES } from './head.ts'

const algorithm = 'aes-256-gcm'
const options = { authTagLength: TAG_BYTES }

/** The sealed chunks of `content`, which has `size` bytes. */
export async function* sealChunks(
  fileKey: KeyObject,
  content: AsyncIterable<Uint8Array>,
  size: number,
): AsyncGenerator<Buffer> {
  await using reader = new ByteReader(content)
  for (let index = 0, left = size; left > 0; index++) {
    const plain = await reader.take(Math.min(CHUNK_BYTES, left))
    left -= plain.length
    const cipher = createCipheriv(algorithm, fileKey, nonceOf(index, left === 0), options)
    yield Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()])
  }
}

/**
 * The content of the backup `name`, whose chunks `reader` stands before. Throws `backup_damaged` at
 * the first chunk that is not the one that was written there, and at bytes after the last.
 */
export async function* openChunks(
  fileKey: KeyObject,
  reader: ByteReader,
  { name, size }: { readonly name: string; readonly size: number },
): AsyncGenerator<Buffer> {
  for (let index = 0, left = size; left > 0; index++) {
    const due = Math.min(CHUNK_BYTES, left)
    const sealed = await reader.take(due + TAG_BYTES)
    if (sealed.length < due + TAG_BYTES) {
      throw damaged(name, `it is cut short: chunk ${index + 1} has ${sealed.length} bytes`)
    }
    left -= due
    const plain = openChunk(fileKey, nonceOf(index, left === 0), sealed)
    if (plain === undefined) {
      throw damaged(name, `chunk ${index + 1} was altered, or is not of this file and place`)
    }
    yield plain
  }
  if ((await reader.take(1)).length > 0) throw damaged(name, 'it has bytes after its end')
}

/** Undefined where the chunk does not authenticate. */
function openChunk(fileKey: KeyObject, nonce: Buffer, sealed: Buffer): Buffer | undefined {
  const decipher = createDecipheriv(algorithm, fileKey, nonce, options)
  decipher.setAuthTag(sealed.subarray(-TAG_BYTES))
  const plain = decipher.update(sealed.subarray(0, -TAG_BYTES))
  try {
    decipher.final()
    return plain
  } catch {
    return undefined
  }
}

/** Eleven bytes that count the chunks from 0, big-endian, and one that is 1 for the last chunk. */
function nonceOf(index: number, last: boolean): Buffer {
  const nonce = Buffer.alloc(12)
  nonce.writeUIntBE(index, 5, 6)
  nonce[11] = last ? 1 : 0
  return nonce
}
