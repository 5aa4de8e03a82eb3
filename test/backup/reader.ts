/**
 * Reads what docs/internals/backup-format.md describes, written from that page and docs/internals/format.md alone: nothing
 * of the server is in it, and its cryptography is WebCrypto's.
 */
import type { Reason } from '../vectors/backup/backup-vector.ts'

/** Why a file was not read. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly because: Reason

  constructor(because: Reason) {
    super(because)
    this.because = because
  }
}

/** What a backup holds. */
export interface Contents {
  readonly manifest: Record<string, unknown>
  readonly parts: [name: string, bytes: Uint8Array][]
}

type Bytes = Uint8Array<ArrayBuffer>

const { subtle } = globalThis.crypto
const utf8 = new TextEncoder()

/** The contents of the backup in `file`. Rejects with a Refusal. */
export async function readBackup(file: Bytes, rootKey: Bytes): Promise<Contents> {
  if (new TextDecoder().decode(file.subarray(0, 12)) !== 'sotto backup') throw new Refusal('magic')
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  const format = view.getUint32(12)
  if (format !== 1 && format !== 2) throw new Refusal('format')
  const fieldsEnd = 20 + view.getUint32(16)
  const body = fieldsEnd + 61
  if (body > file.length) throw new Refusal('head')
  const { store, chunks, last, root, end } = readFields(view, fieldsEnd, format)
  // What follows the fields of format 2 is of a later release.
  if (format === 1 && end !== fieldsEnd) throw new Refusal('head')
  const size = (chunks - 1) * 65_536 + last
  if (file.length !== body + size + 16 * chunks) throw new Refusal('size')

  const hash = hex(new Uint8Array(await subtle.digest('SHA-256', file.slice(0, fieldsEnd))))
  const sealing = await derive(rootKey, store, 'backup')
  const associated = join([text('backup'), number(1), text(store), text(hash)])
  const envelope = file.slice(fieldsEnd, body)
  if (envelope[0] !== 1) throw new Refusal('file-key')
  const fileKey = await open(
    await aes(sealing),
    envelope.slice(1, 13),
    envelope.slice(13),
    'file-key',
    associated,
  )
  const named = hex((await derive(rootKey, store, 'root-fingerprint')).slice(0, 16))
  if (format === 2 && root !== named) throw new Refusal('root')
  const key = await aes(fileKey)
  const content = new Uint8Array(size)
  for (let index = 0, at = body; index < chunks; index++) {
    const isLast = index === chunks - 1
    const length = (isLast ? last : 65_536) + 16
    const nonce = new Uint8Array(12)
    new DataView(nonce.buffer).setUint32(7, index)
    nonce[11] = isLast ? 1 : 0
    content.set(await open(key, nonce, file.slice(at, at + length), 'chunk'), index * 65_536)
    at += length
  }
  return readContent(content, format)
}

/** The fields in the clear, and where they end. */
function readFields(
  view: DataView,
  limit: number,
  format: number,
): { store: string; chunks: number; last: number; root: string | undefined; end: number } {
  let at = 20
  const take = (): number => {
    if (at + 4 > limit) throw new Refusal('head')
    at += 4
    return view.getUint32(at - 4)
  }
  const word = (): string => {
    const length = take()
    if (at + length > limit) throw new Refusal('head')
    at += length
    return new TextDecoder().decode(
      new Uint8Array(view.buffer, view.byteOffset + at - length, length),
    )
  }
  const store = word()
  word()
  const chunks = take()
  const last = take()
  for (let left = take() * 3; left > 0; left--) word()
  const root = format === 1 ? undefined : word()
  return { store, chunks, last, root, end: at }
}

async function readContent(content: Bytes, format: number): Promise<Contents> {
  const length = new DataView(content.buffer).getUint32(0)
  const manifest = JSON.parse(new TextDecoder().decode(content.subarray(4, 4 + length))) as {
    format?: unknown
    log?: unknown
    logs?: { after?: unknown; last?: unknown }[]
    parts?: { name: string; size: number; sha256?: string }[]
  }
  const named = manifest.parts ?? []
  const total = named.reduce((sum, part) => sum + part.size, 4 + length)
  const sound = named.every(({ name }) => /^(sotto\.db|audit\/\d{20}\.jsonl)$/.test(name))
  const logs = format === 1 ? manifest.log !== undefined : manifest.logs?.every(({ last }) => last)
  const whole = manifest.format === format && logs === true && total === content.length
  if (!whole || !sound || named[0]?.name !== 'sotto.db') throw new Refusal('manifest')
  const parts: Contents['parts'] = []
  let at = 4 + length
  for (const { name, size, sha256 } of named) {
    const bytes = content.slice(at, at + size)
    at += size
    const found = hex(new Uint8Array(await subtle.digest('SHA-256', bytes)))
    if (format === 1 && found !== sha256) {
      throw new Refusal('part')
    }
    parts.push([name, bytes])
  }
  return { manifest, parts }
}

async function derive(key: Bytes, salt: string, use: string): Promise<Bytes> {
  const material = await subtle.importKey('raw', key, 'HKDF', false, ['deriveBits'])
  const info = utf8.encode(`sotto/1/${use}`)
  const how = { name: 'HKDF', hash: 'SHA-256', salt: utf8.encode(salt), info }
  return new Uint8Array(await subtle.deriveBits(how, material, 256))
}

async function aes(key: Bytes): Promise<CryptoKey> {
  return subtle.importKey('raw', key, 'AES-GCM', false, ['decrypt'])
}

async function open(
  key: CryptoKey,
  iv: Bytes,
  sealed: Bytes,
  because: Reason,
  additionalData: Bytes = new Uint8Array(),
): Promise<Bytes> {
  try {
    return new Uint8Array(
      await subtle.decrypt({ name: 'AES-GCM', iv, additionalData }, key, sealed),
    )
  } catch {
    throw new Refusal(because)
  }
}

function text(value: string): Bytes {
  const bytes = utf8.encode(value)
  return join([number(bytes.length), bytes])
}

function number(value: number): Bytes {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}

function join(pieces: readonly Uint8Array[]): Bytes {
  return Uint8Array.from(pieces.flatMap((piece) => [...piece]))
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}
