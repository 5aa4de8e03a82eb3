import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import { createKeyFile, localKeyProvider } from '../../server/crypto/local-key.ts'
import type { KeyProvider } from '../../server/crypto/provider.ts'
import { openRootKey, type Wrap } from '../../server/crypto/root-key.ts'

const storeId = '00112233445566778899aabbccddeeff'
const rootKey = randomBytes(32)

async function local(): Promise<KeyProvider> {
  const directory = mkdtempSync(join(tmpdir(), 'sotto-root-'))
  onTestFinished(() => rmSync(directory, { recursive: true }))
  const path = join(directory, 'local.key')
  await createKeyFile(path)
  return localKeyProvider(path)
}

async function wrapBy(provider: KeyProvider): Promise<Wrap> {
  return {
    provider: provider.name,
    fingerprint: await provider.fingerprint(),
    wrapped: await provider.wrap(rootKey, storeId),
  }
}

/** A provider whose service does not answer. */
function unreachable(name: string): KeyProvider {
  const fail = (): Promise<never> =>
    Promise.reject(new SottoError('key_missing', `No answer from ${name}`, { hint: 'Wait.' }))
  return { name, fingerprint: fail, wrap: fail, unwrap: fail }
}

test('the root key comes back with the wrap that it came from', async () => {
  const provider = await local()
  const wrap = { ...(await wrapBy(provider)), createdAt: '2026-01-02T03:04:05.678Z' }
  const opened = await openRootKey([provider], [wrap], storeId)
  expect(opened.wrap).toBe(wrap)
  expect(Buffer.from(opened.rootKey)).toEqual(rootKey)
})

test('of several wraps by one provider, that of its key is taken', async () => {
  const [one, two] = [await local(), await local()]
  const wraps = [await wrapBy(one), await wrapBy(two)]
  expect((await openRootKey([two], wraps, storeId)).wrap).toBe(wraps[1])
})

test('a wrong key is told by its fingerprint, and never tried', async () => {
  const [right, wrong] = [await local(), await local()]
  const wrap = await wrapBy(right)
  const untried: KeyProvider = {
    ...wrong,
    unwrap: () => Promise.reject(new Error('It was tried')),
  }
  const [x, y] = [await right.fingerprint(), await wrong.fingerprint()]
  await expect(openRootKey([untried], [wrap], storeId)).rejects.toMatchObject({
    code: 'key_wrong',
    message: `Cannot open store ${storeId}: it was sealed under local key ${x}, the given key is local key ${y}`,
    hint: 'Give the key that the store was sealed under.',
  })
})

test('a key of another provider is told what the store was sealed under', async () => {
  const provider = await local()
  const wrap: Wrap = { provider: 'kms', fingerprint: 'key/1', wrapped: new Uint8Array(0) }
  await expect(openRootKey([provider], [wrap], storeId)).rejects.toMatchObject({
    code: 'key_wrong',
    message: expect.stringContaining(
      'it was sealed under kms key key/1, the given key is local key',
    ),
  })
})

test('without a provider, what the store was sealed under is told', async () => {
  const wrap: Wrap = { provider: 'kms', fingerprint: 'key/1', wrapped: new Uint8Array(0) }
  await expect(openRootKey([], [wrap], storeId)).rejects.toMatchObject({
    code: 'key_wrong',
    message: `Cannot open store ${storeId}: it was sealed under kms key key/1, and no key is given`,
  })
})

test('a store without wraps is damaged', async () => {
  await expect(openRootKey([await local()], [], storeId)).rejects.toMatchObject({
    code: 'store_damaged',
    message: `Cannot open store ${storeId}: it has no wrapped root key`,
  })
})

test('a provider that fails does not stand in the way of the next', async () => {
  const provider = await local()
  const wrap = await wrapBy(provider)
  const opened = await openRootKey([unreachable('kms'), provider], [wrap], storeId)
  expect(Buffer.from(opened.rootKey)).toEqual(rootKey)
})

test('what failed before is told', async () => {
  const provider = await local()
  const wrap = await wrapBy(provider)
  const { failures } = await openRootKey([unreachable('kms'), provider], [wrap], storeId)
  expect(failures.map(({ message }) => message)).toEqual(['No answer from kms'])
})

test('a provider that gives no answer is waited for no longer than the bound', async () => {
  const provider = await local()
  const wraps = [await wrapBy(provider)]
  const hanging: KeyProvider = { ...provider, fingerprint: () => new Promise(() => {}) }
  await expect(openRootKey([hanging], wraps, storeId, 20)).rejects.toMatchObject({
    code: 'key_missing',
    message: 'The key provider local did not answer within 20 ms',
  })
  // Time enough for the other one, which reads a file.
  const opened = await openRootKey([hanging, provider], wraps, storeId, 500)
  expect(opened.failures).toHaveLength(1)
})

test('a root key that comes too late is overwritten', async () => {
  const provider = await local()
  const wraps = [await wrapBy(provider)]
  const answer = Promise.withResolvers<Uint8Array>()
  const slow: KeyProvider = { ...provider, unwrap: () => answer.promise }
  await expect(openRootKey([slow], wraps, storeId, 500)).rejects.toMatchObject({
    code: 'key_missing',
  })
  const late = Uint8Array.from(rootKey)
  answer.resolve(late)
  await expect.poll(() => Buffer.from(late)).toEqual(Buffer.alloc(32))
})

test('where a recovery key wraps too, its identity is asked for', async () => {
  const [right, wrong] = [await local(), await local()]
  const recovery: Wrap = { provider: 'recovery', fingerprint: 'f0', wrapped: new Uint8Array(0) }
  const x = await right.fingerprint()
  await expect(
    openRootKey([wrong], [await wrapBy(right), recovery], storeId),
  ).rejects.toMatchObject({
    message: expect.stringContaining(`it was sealed under local key ${x} or recovery key f0, the`),
    hint: expect.stringContaining('--recovery-identity FILE'),
  })
})

test('when all fail, all of it is told, with the code and hint of the first', async () => {
  const wraps = [await wrapBy(await local())]
  const opening = openRootKey([unreachable('kms'), await local()], wraps, storeId)
  await expect(opening).rejects.toMatchObject({
    code: 'key_missing',
    hint: 'Wait.',
    message: expect.stringMatching(/^No answer from kms; Cannot open store .* the given key is/),
  })
})

test('a wrap that was altered under the right fingerprint is key_wrong', async () => {
  const provider = await local()
  const wrap = await wrapBy(provider)
  wrap.wrapped[20]! ^= 1
  await expect(openRootKey([provider], [wrap], storeId)).rejects.toMatchObject({
    code: 'key_wrong',
    message: expect.stringContaining('was altered'),
  })
})

test('a root key of another length is damage', async () => {
  const provider = await local()
  const wrap = await wrapBy(provider)
  const odd: KeyProvider = { ...provider, unwrap: () => Promise.resolve(new Uint8Array(16)) }
  await expect(openRootKey([odd], [wrap], storeId)).rejects.toMatchObject({
    code: 'store_damaged',
    message: `Cannot open store ${storeId}: its root key has 16 bytes where 32 are due`,
  })
})

test('a fault of a provider that is no SottoError comes through as it is', async () => {
  const provider = await local()
  const wrap = await wrapBy(provider)
  const broken: KeyProvider = { ...provider, unwrap: () => Promise.reject(new TypeError('bug')) }
  await expect(openRootKey([broken], [wrap], storeId)).rejects.toThrow(TypeError)
})
