/** The vectors of docs/internals/backup-format.md, read by the server and by a reader made from the page alone. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import { encodeManifest } from '../../server/backup/manifest.ts'
import { OpenedBackup } from '../../server/backup/open.ts'
import { providerKeys } from '../../server/backup/source.ts'
import type { KeyProvider } from '../../server/crypto/provider.ts'
import { backupVectorFiles } from '../vectors/backup/backup-files.ts'
import { type Reason, reasons, type Vector, vectorSchema } from '../vectors/backup/backup-vector.ts'
import { readBackup, Refusal } from './reader.ts'

const vectors = new URL('../vectors/', import.meta.url).pathname
const filesIn = (folder: string): string[] =>
  readdirSync(join(vectors, folder)).filter((file) => file.endsWith('.json'))
/** Those of format 1 were released: they stay as they are. */
const all = ['backup-1', 'backup'].flatMap((folder) =>
  filesIn(folder).map((file): [name: string, Vector] => {
    const vector: unknown = JSON.parse(readFileSync(join(vectors, folder, file), 'utf8'))
    return [join(folder, file.replace('.json', '')), vectorSchema.parse(vector)]
  }),
)
const page = readFileSync(new URL('../../docs/internals/backup-format.md', import.meta.url), 'utf8')

test('the files are what the generator makes', async () => {
  const present = filesIn('backup').map((file) => [
    file,
    readFileSync(join(vectors, 'backup', file), 'utf8'),
  ])
  expect(Object.fromEntries(present)).toEqual(Object.fromEntries(await backupVectorFiles()))
})

test('no case is lost: their number is known', () => {
  expect(all).toHaveLength(25 + 29)
})

test('every reason on the page has a case, and the page has every reason', () => {
  const found = new Set(all.map(([, { expect: due }]) => due))
  expect([...found].toSorted()).toEqual(['ok', ...reasons].toSorted())
  const rows = [...page.slice(page.indexOf('| `expect` |')).matchAll(/^\| `([a-z-]+)` \|/gm)]
  expect(rows.map(([, reason]) => reason).slice(1)).toEqual([...reasons])
})

test.each(all)('%s: the server reads it, or says why not', async (_, vector) => {
  expectSame(await byServer(vector), vector)
})

test.each(all)('%s: so does a reader made from the page', async (_, vector) => {
  const bytes = Uint8Array.from(Buffer.from(vector.file, 'base64'))
  const rootKey = Uint8Array.from(Buffer.from(vector.rootKey, 'hex'))
  const found = await readBackup(bytes, rootKey).then(
    ({ manifest, parts }) => ({
      manifest,
      parts: parts.map(([name, part]) => [name, Buffer.from(part).toString('base64')]),
    }),
    (error: unknown) => (error instanceof Refusal ? error.because : error),
  )
  expectSame(found, vector)
})

/** A reader may know of more than the vector has: fields of other releases. */
function expectSame(found: unknown, { expect: due, manifest, parts }: Vector): void {
  expect({ found }).toMatchObject({ found: due === 'ok' ? { manifest, parts } : due })
}

/** How the server tells each reason. */
const tells: readonly [Reason, RegExp][] = [
  ['magic', /does not begin as a backup/],
  ['format', /has format \d+, this release reads/],
  ['head', /its head is cut short or altered/],
  ['size', /bytes where \d+ are due/],
  ['root', /its head names root key/],
  ['file-key', /its head was altered, or is that of another file/],
  ['chunk', /chunk \d+ was altered/],
  ['manifest', /manifest/],
  ['part', /its part .* is not the one/],
]

async function byServer({ file, rootKey }: Vector): Promise<unknown> {
  const bytes = Buffer.from(file, 'base64')
  const source = { name: 'vector', size: bytes.length, read: async () => once(bytes) }
  using keys = providerKeys([knowing(rootKey)])
  try {
    await using backup = await OpenedBackup.open(source, keys)
    const parts: [string, string][] = []
    for await (const { part, content } of backup.parts()) {
      const pieces: Buffer[] = []
      for await (const piece of content) pieces.push(Buffer.from(piece))
      parts.push([part.name, Buffer.concat(pieces).toString('base64')])
    }
    const { manifest } = backup
    const written = JSON.parse(encodeManifest(manifest).toString()) as Record<string, unknown>
    return { manifest: manifest.format === 1 ? manifest : written, parts }
  } catch (error) {
    if (!(error instanceof SottoError)) throw error
    return tells.findLast(([, words]) => words.test(error.message))?.[0] ?? error.message
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

/** A provider that has the root key, whatever the wrap. */
function knowing(rootKey: string): KeyProvider {
  return {
    name: 'local',
    fingerprint: async () => '0277bcbca5c342d4',
    wrap: async () => new Uint8Array(),
    unwrap: async () => Buffer.from(rootKey, 'hex'),
  }
}
