/** The vectors of docs/backup-format.md, read by the server and by a reader made from the page alone. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import { OpenedBackup } from '../../server/backup/open.ts'
import { providerKeys } from '../../server/backup/source.ts'
import type { KeyProvider } from '../../server/crypto/provider.ts'
import { backupVectorFiles } from '../vectors/backup/backup-files.ts'
import { type Reason, reasons, type Vector, vectorSchema } from '../vectors/backup/backup-vector.ts'
import { readBackup, Refusal } from './reader.ts'

const directory = new URL('../vectors/backup', import.meta.url).pathname
const files = readdirSync(directory).filter((file) => file.endsWith('.json'))
const all = files.map((file): [name: string, Vector] => {
  const vector: unknown = JSON.parse(readFileSync(join(directory, file), 'utf8'))
  return [file.replace('.json', ''), vectorSchema.parse(vector)]
})
const page = readFileSync(new URL('../../docs/backup-format.md', import.meta.url), 'utf8')

test('the files are what the generator makes', async () => {
  const present = files.map((file) => [file, readFileSync(join(directory, file), 'utf8')])
  expect(Object.fromEntries(present)).toEqual(Object.fromEntries(await backupVectorFiles()))
})

test('no case is lost: their number is known', () => {
  expect(all).toHaveLength(26)
})

test('every reason on the page has a case, and the page has every reason', () => {
  const found = new Set(all.map(([, { expect: due }]) => due))
  expect([...found].toSorted()).toEqual(['ok', ...reasons].toSorted())
  const rows = [...page.slice(page.indexOf('| `expect` |')).matchAll(/^\| `([a-z-]+)` \|/gm)]
  expect(rows.map(([, reason]) => reason).slice(1)).toEqual([...reasons])
})

test.each(all)('%s: the server reads it, or says why not', async (_, vector) => {
  expect(await byServer(vector)).toEqual(resultOf(vector))
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
  expect(found).toEqual(resultOf(vector))
})

function resultOf({ expect: due, manifest, parts }: Vector): unknown {
  return due === 'ok' ? { manifest, parts } : due
}

/** How the server tells each reason. */
const tells: readonly [Reason, RegExp][] = [
  ['magic', /does not begin as a backup/],
  ['format', /has format \d+, this release reads/],
  ['head', /its head is cut short or altered/],
  ['size', /bytes where \d+ are due/],
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
    return { manifest: backup.manifest, parts }
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
