/** Reads a backup: its head, its manifest, and its parts one after another, each byte authenticated. */
import { createHash } from 'node:crypto'
import { ByteReader } from './byte-reader.ts'
import { openChunks } from './chunks.ts'
import { damaged } from './damage.ts'
import { readHead, type SealedHead } from './head.ts'
import { decodeManifest, type Manifest, MAX_MANIFEST_BYTES, type Part } from './manifest.ts'
import type { BackupKeys, BackupSource } from './source.ts'
import { parseName } from './name.ts'

/** The largest piece in which a part is given. */
const PIECE_BYTES = 65_536

/** The head of a backup: without a key it says which store it is of and whether it is complete. */
export async function peekBackup(source: BackupSource): Promise<SealedHead> {
  await using reader = new ByteReader(await source.read())
  return await headOf(source, reader)
}

/** A backup whose manifest was read. */
export class OpenedBackup implements AsyncDisposable {
  readonly name: string
  readonly manifest: Manifest
  readonly head: SealedHead
  /** The fingerprint of the root key that it is authenticated under. */
  readonly root: string
  readonly #content: ByteReader
  readonly #sealed: ByteReader

  private constructor(
    opened: Pick<OpenedBackup, 'name' | 'manifest' | 'head' | 'root'> &
      Record<'content' | 'sealed', ByteReader>,
  ) {
    this.name = opened.name
    this.manifest = opened.manifest
    this.head = opened.head
    this.root = opened.root
    this.#content = opened.content
    this.#sealed = opened.sealed
  }

  /**
   * Reads up to the manifest. Rejects with `no_backup`, with `backup_damaged` or `store_newer` for
   * what is not a whole backup or is not what its name says, and as `keys` do.
   */
  static async open(source: BackupSource, keys: BackupKeys): Promise<OpenedBackup> {
    const { name } = source
    const sealed = new ByteReader(await source.read())
    try {
      const head = await headOf(source, sealed)
      const { fileKey, root } = await keys.fileKey(head, name)
      if ((head.root ?? root) !== root) {
        throw damaged(name, `its head names root key ${head.root}, and it was sealed under ${root}`)
      }
      const size = head.contentBytes
      const content = new ByteReader(openChunks(fileKey, sealed, { name, size }))
      const manifest = await readManifest(content, head, name)
      return new OpenedBackup({ name, manifest, head, root, content, sealed })
    } catch (error) {
      await sealed[Symbol.asyncDispose]()
      throw error
    }
  }

  /**
   * Every part in order, once; each is taken whole before the next. Throws `backup_damaged` where
   * bytes are not those that were written.
   */
  async *parts(): AsyncGenerator<{ readonly part: Part; readonly content: AsyncIterable<Buffer> }> {
    for (const part of this.manifest.parts) yield { part, content: this.#partContent(part) }
    // There must be nothing after the last part.
    if ((await this.#content.take(1)).length > 0) {
      throw damaged(this.name, 'it has content that its manifest does not list')
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sealed[Symbol.asyncDispose]()
  }

  async *#partContent({ name, size, sha256 }: Part): AsyncGenerator<Buffer> {
    const hash = createHash('sha256')
    for (let left = size; left > 0; ) {
      const piece = await this.#content.take(Math.min(PIECE_BYTES, left))
      if (piece.length === 0) throw damaged(this.name, `its part ${name} is cut short`)
      hash.update(piece)
      left -= piece.length
      yield piece
    }
    if (sha256 !== undefined && hash.digest('hex') !== sha256) {
      throw damaged(this.name, `its part ${name} is not the one in its manifest`)
    }
  }
}

async function readManifest(content: ByteReader, head: SealedHead, name: string) {
  const length = await content.take(4)
  const size = length.length === 4 ? length.readUInt32BE() : 0
  const bytes = await content.take(Math.min(size, MAX_MANIFEST_BYTES))
  if (bytes.length !== size) throw damaged(name, 'its manifest is cut short')
  const manifest = decodeManifest(bytes, name, head.format)
  if (manifest.store.id !== head.storeId || manifest.created !== head.created) {
    throw damaged(name, 'its manifest and its head are of different backups')
  }
  const told = parseName(name)?.revision ?? manifest.store.revision
  if (told !== manifest.store.revision) {
    throw damaged(name, `its name says revision ${told}, and it has ${manifest.store.revision}`)
  }
  const parts = manifest.parts.reduce((sum, part) => sum + part.size, 0)
  if (4 + size + parts !== head.contentBytes) {
    throw damaged(name, 'it has another size than its manifest says')
  }
  return manifest
}

async function headOf({ name, size }: BackupSource, reader: ByteReader): Promise<SealedHead> {
  const head = await readHead(reader, name)
  // A file that was renamed to something else is taken as it is.
  const { storeId, created } = parseName(name) ?? head
  if (storeId !== head.storeId) {
    throw damaged(name, `its name says store ${storeId}, and it is of store ${head.storeId}`)
  }
  if (created !== head.created) {
    throw damaged(name, `its name says ${created}, and it was made at ${head.created}`)
  }
  const { fileBytes } = head
  if (size === fileBytes) return head
  const why = size < fileBytes ? 'it is cut short' : 'it has bytes after its end'
  throw damaged(name, `${why}: it has ${size} bytes where ${fileBytes} are due`)
}
