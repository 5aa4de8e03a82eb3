/** The test vectors of docs/internals/backup-format.md, one file for each case; those of format 1, in `../backup-1/`, stay as they are. */
import { sealBackup } from '../../../server/backup/file.ts'
import { encodeManifest, type Manifest } from '../../../server/backup/manifest.ts'
import { rootFingerprintOf } from '../../../server/crypto/keyring.ts'
import type { Wrap } from '../../../server/crypto/root-key.ts'
import { openKeyring, rootBytes, storeId } from '../crypto/base.ts'
import type { Reason, Vector } from './backup-vector.ts'

const created = '2026-02-03T04:05:06.789Z'
const zeros = '0'.repeat(64)
const wraps: Wrap[] = [
  { provider: 'local', fingerprint: '0277bcbca5c342d4', wrapped: Buffer.alloc(61, 7) },
  { provider: 'recovery', fingerprint: 'c9a53afcf17d894a', wrapped: Buffer.from('an age file') },
]

const root = rootFingerprintOf(rootBytes, storeId)

type Parts = Readonly<Record<string, Buffer>>

const small: Parts = {
  'sotto.db': Buffer.from('not a store, but for a vector any bytes will do'),
  'audit/00000000000000000001.jsonl': Buffer.from('{"id":1}\n'),
}
const large: Parts = { 'sotto.db': Buffer.alloc(66_000, 'a store ') }

function manifestOf(parts: Parts): Manifest {
  const log = 'audit/00000000000000000001.jsonl' in parts
  return {
    format: 2,
    program: '0.1.0',
    created,
    store: {
      id: storeId,
      development: false,
      createdAt: '2026-01-02T03:04:05.678Z',
      schema: 8,
      branch: '0123456789abcdef',
      revision: 42,
      audit: log ? { id: 1, hash: zeros } : null,
      counts: { names: 3, secrets: 2, versions: 4, tombstones: 1 },
      keys: [{ id: 2, state: 'active', fingerprint: '3eec108825e95db5' }],
    },
    log: log ? { after: { id: 0, hash: zeros }, last: { id: 1, hash: zeros } } : null,
    follows: null,
    notes: {},
    parts: Object.entries(parts).map(([name, bytes]) => ({
      name,
      size: bytes.length,
    })),
  }
}

/** The file of a backup; `label` is what its random bytes come from. */
async function fileOf(
  label: string,
  parts: Parts,
  manifest: unknown,
  head = { wraps, root },
): Promise<Buffer> {
  const pieces = Object.entries(parts).map(([name, bytes]) => ({
    name,
    size: bytes.length,
    read: async function* read() {
      yield bytes
    },
  }))
  const keyring = openKeyring(label)
  const newFileKey = (hash: string) => keyring.newFileKey(hash)
  const sealed = await sealBackup(newFileKey, head, manifest as Manifest, pieces)
  const found: Uint8Array[] = []
  for await (const piece of sealed.bytes()) found.push(piece)
  return Buffer.concat(found)
}

/** The text of every vector by the name of its file. */
export async function backupVectorFiles(): Promise<Map<string, string>> {
  const plain = await fileOf('plain', small, manifestOf(small))
  const other = await fileOf('other', small, {
    ...manifestOf(small),
    created: '2026-02-04T04:05:06.789Z',
  })
  const long = await fileOf('long', large, manifestOf(large))
  const more = { ...manifestOf(small), notes: { later: 1 }, later: { any: 'thing' } }
  const later = await fileOf('later', small, more, { wraps, root: root })
  const body = 20 + plain.readUInt32BE(16) + 61
  const at = (text: string): number => plain.indexOf(text)
  const files = new Map<string, string>()
  const add = (name: string, about: string, vector: Omit<Vector, 'about' | 'rootKey'>): void => {
    const whole: Vector = { about, ...vector, rootKey: rootBytes.toString('hex') }
    files.set(`${name}.json`, `${JSON.stringify(whole, undefined, 2)}\n`)
  }
  const good = (name: string, about: string, file: Buffer, parts: Parts): void =>
    add(name, about, {
      file: file.toString('base64'),
      expect: 'ok',
      manifest: JSON.parse(encodeManifest(manifestOf(parts)).toString()),
      parts: Object.entries(parts).map(([part, bytes]) => [part, bytes.toString('base64')]),
    })
  const bad = (name: string, about: string, file: Buffer, expect: Reason): void =>
    add(name, about, { file: file.toString('base64'), expect })

  good('plain', 'a store and a segment of the log', plain, small)
  good('two-chunks', 'a store that takes more than one chunk', long, large)
  good('later', 'a later release added to its head and to its manifest', later, small)
  bad('magic', 'its first letter is another', flip(plain, 0), 'magic')
  bad('empty', 'no byte at all', Buffer.alloc(0), 'magic')
  bad('format', 'format 3', set(plain, 15, 3), 'format')
  bad('format-1', 'it says that it is of format 1', set(plain, 15, 1), 'head')
  bad('fields-too-long', 'its fields are longer than the file', set(plain, 16, 0x7f), 'head')
  bad('fields-too-short', 'its fields end too soon', set(plain, 19, plain[19]! - 1), 'head')
  bad('cut-in-head', 'it ends within its fields', plain.subarray(0, 60), 'head')
  bad(
    'cut-in-key',
    'it ends within the envelope of the file key',
    plain.subarray(0, body - 1),
    'head',
  )
  bad('created', 'its time is another', set(plain, at(created), 0x33), 'file-key')
  bad('store', 'it says that it is of another store', set(plain, at(storeId), 0x66), 'file-key')
  bad('wrap', 'a wrap is another', flip(plain, at('recovery') + 40), 'file-key')
  bad('root-altered', 'its root fingerprint is another', flip(plain, at(root)), 'file-key')
  bad(
    'root',
    'it was made with the fingerprint of another root key',
    await fileOf('root', small, manifestOf(small), { wraps, root: 'f'.repeat(32) }),
    'root',
  )
  bad('file-key', 'its file key was altered', flip(plain, body - 30), 'file-key')
  bad(
    'file-key-of-another',
    'it has the file key of another backup',
    splice(plain, other, body - 61, body),
    'file-key',
  )
  bad('chunk', 'a byte of a chunk was altered', flip(plain, body + 10), 'chunk')
  bad('tag', 'the last byte was altered', flip(plain, plain.length - 1), 'chunk')
  bad(
    'chunk-of-another',
    'it has the chunk of another backup',
    splice(plain, other, body, plain.length),
    'chunk',
  )
  bad('cut-by-one', 'its last byte is not there', plain.subarray(0, -1), 'size')
  bad(
    'cut-between-chunks',
    'its last chunk is not there',
    long.subarray(0, 20 + long.readUInt32BE(16) + 61 + 65_552),
    'size',
  )
  bad('longer', 'a byte is behind its end', Buffer.concat([plain, Buffer.from([0])]), 'size')

  const manifest = manifestOf(small)
  const odd: [string, string, unknown, Reason][] = [
    ['manifest-format', 'its manifest is of format 1', { ...manifest, format: 1 }, 'manifest'],
    ['manifest-parts', 'its manifest names no parts', { ...manifest, parts: [] }, 'manifest'],
    [
      'manifest-without-log',
      'its manifest does not say which records it has',
      { ...manifest, log: undefined },
      'manifest',
    ],
    [
      'manifest-size',
      'its manifest tells of more bytes than there are',
      { ...manifest, parts: manifest.parts.map((part) => ({ ...part, size: part.size + 1 })) },
      'manifest',
    ],
    [
      'part-elsewhere',
      'a part would be written outside of where it belongs',
      { ...manifest, parts: manifest.parts.map((part) => ({ ...part, name: `../${part.name}` })) },
      'manifest',
    ],
  ]
  for (const [name, about, made, expect] of odd) {
    bad(name, about, await fileOf(name, small, made), expect)
  }
  return files
}

function set(bytes: Buffer, at: number, value: number): Buffer {
  const altered = Buffer.from(bytes)
  altered[at] = value
  return altered
}

function flip(bytes: Buffer, at: number): Buffer {
  return set(bytes, at, bytes[at]! ^ 1)
}

/** `bytes` with those of `other` from one place to another. */
function splice(bytes: Buffer, other: Buffer, from: number, to: number): Buffer {
  const altered = Buffer.from(bytes)
  other.copy(altered, from, from, to)
  return altered
}
