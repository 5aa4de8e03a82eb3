/** Writes the file of a backup: docs/internals/backup-format.md. */
import type { KeyObject } from 'node:crypto'
import { sealChunks } from './chunks.ts'
import { encodeHead, fileBytes, type Head } from './head.ts'
import { encodeManifest, type Manifest } from './manifest.ts'

/** One part of the backup to be. */
export interface Piece {
  readonly name: string
  readonly size: number
  read(): AsyncIterable<Uint8Array>
}

/** The key of one file, and the same sealed for the head that it was made for. */
export interface NewFileKey {
  readonly fileKey: KeyObject
  readonly sealed: Uint8Array
}

/** The whole file, whose size is known before its bytes. `pieces` are the parts of the manifest. */
export async function sealBackup(
  newFileKey: (headHash: string) => Promise<NewFileKey> | NewFileKey,
  { wraps, root }: Pick<Head, 'wraps' | 'root'>,
  manifest: Manifest,
  pieces: readonly Piece[],
): Promise<{ readonly size: number; bytes(): AsyncGenerator<Uint8Array> }> {
  const text = encodeManifest(manifest)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(text.length)
  const contentBytes = pieces.reduce((sum, { size }) => sum + size, 4 + text.length)
  const { created, store } = manifest
  const head = encodeHead({ storeId: store.id, created, contentBytes, wraps, root })
  const { fileKey, sealed } = await newFileKey(head.hash)
  async function* content(): AsyncGenerator<Uint8Array> {
    yield length
    yield text
    for (const piece of pieces) yield* piece.read()
  }
  return {
    size: fileBytes(head.bytes.length, contentBytes),
    async *bytes() {
      yield head.bytes
      yield sealed
      yield* sealChunks(fileKey, content(), contentBytes)
    },
  }
}
