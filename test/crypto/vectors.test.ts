import { createSecretKey, type KeyObject } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { afterAll, expect, onTestFinished, test, vi } from 'vitest'
import { type ErrorCode, quote, SottoError } from '../../client/api/errors.ts'
import { fingerprint, rootFingerprintOf } from '../../server/crypto/derive.ts'
import { Keyring } from '../../server/crypto/keyring.ts'
import { LastingKeys, type LastingPurpose, lastingPurposes } from '../../server/crypto/lasting.ts'
import { openPreviousState } from '../../server/crypto/previous-state.ts'
import { awsKmsProvider } from '../../server/crypto/aws-kms.ts'
import { openbaoTransitProvider } from '../../server/crypto/openbao-transit.ts'
import { localKeyProvider } from '../../server/crypto/local-key.ts'
import { identityProvider } from '../../server/crypto/recovery.ts'
import { startFaultyKms } from '../support/faulty-kms.ts'
import { cryptoVectorFiles } from '../vectors/crypto/crypto-files.ts'
import {
  type Expected,
  type KmsWrapVector,
  type Reason,
  type ReferenceVector,
  type RootVector,
  type TransitWrapVector,
  type Vector,
  vectorSchema,
  type VersionVector,
} from '../vectors/crypto/crypto-vector.ts'
import { read, Refusal } from './reader.ts'

const directory = new URL('../vectors/crypto', import.meta.url).pathname
const files = readdirSync(directory, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.json'))
  .map((file): [path: string, text: string] => [file, readFileSync(join(directory, file), 'utf8')])
const all = files.flatMap(([path, text]): [name: string, Vector][] => {
  const content = JSON.parse(text) as Record<string, unknown>
  const cases = path.startsWith('valid/') ? content : { [path.replace('.json', '')]: content }
  return Object.entries(cases).map(([name, vector]) => [name, vectorSchema.parse(vector)])
})
const good = all.filter(([, vector]) => vector.expect === 'ok')
const bad = all.filter(([, vector]) => vector.expect !== 'ok')

const scratch = mkdtempSync(join(tmpdir(), 'sotto-vectors-'))
afterAll(() => rmSync(scratch, { recursive: true }))

test('the files are what the generator makes', () => {
  expect(Object.fromEntries(files)).toEqual(Object.fromEntries(cryptoVectorFiles()))
})

test('no case is lost: their number is known, and each has a name of its own', () => {
  expect([good.length, bad.length]).toEqual([35, 241])
  expect(new Set(all.map(([name]) => name)).size).toBe(276)
  expect(files.filter(([path]) => path.startsWith('valid/'))).toHaveLength(10)
})

test('a file with a key that nobody knows is refused', () => {
  const [, vector] = all[0]!
  expect(vectorSchema.safeParse(vector).success).toBe(true)
  expect(vectorSchema.safeParse({ ...vector, valeu: '00' }).success).toBe(false)
})

test('every structure has cases of both kinds', () => {
  const structures = vectorSchema.options.map(({ shape }) => shape.structure.value)
  for (const kind of [good, bad]) {
    const found = new Set(kind.map(([, { structure }]) => structure))
    expect([...found].toSorted()).toEqual(structures.toSorted())
  }
})

test.each(good)('%s: the server reads it', async (_, vector) => {
  expect(await readByServer(vector)).toEqual(resultOf(vector))
})

test.each(good)('%s: a reader made from the page reads it', async (_, vector) => {
  expect(await read(vector)).toEqual(resultOf(vector))
})

test.each(bad)('%s: the server refuses it, and says why', async (_, vector) => {
  const error = await readByServer(vector).catch((reason: unknown) => reason)
  const expected = expectedErrors(vector, vector.expect as Refused)
  expect(chain(error)).toEqual(
    expected.map(({ code, message }) => ({ code, message: expect.stringMatching(message) })),
  )
})

test.each(bad)('%s: a reader made from the page refuses it for the same', async (_, vector) => {
  const error = await read(vector).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(Refusal)
  expect(error).toMatchObject(vector.expect as Refused)
})

type Refused = Exclude<Expected, 'ok'>

/** The result fields of a vector that must be read. */
function resultOf(vector: Vector): Record<string, unknown> {
  if (vector.structure === 'version') return { value: vector.value }
  if (vector.structure === 'state' || vector.structure === 'backend') return {}
  if (vector.structure === 'reference') {
    const { backend, number, fingerprint: of } = vector
    return { backend, ...(number !== undefined && { number }), fingerprint: of }
  }
  if (vector.structure === 'root') {
    const { fingerprint: of, keys, previousKey } = vector
    return { fingerprint: of, keys, ...(previousKey !== undefined && { previousKey }) }
  }
  if (vector.structure === 'root-key' || vector.structure === 'recovery-wrap') {
    return { rootKey: vector.rootKey }
  }
  if (vector.structure === 'kms-wrap') {
    const { blob, context, fingerprint: named } = vector
    return { blob, context, fingerprint: named }
  }
  if (vector.structure === 'transit-wrap') {
    const { ciphertext, context, fingerprint: named } = vector
    return { ciphertext, context, fingerprint: named }
  }
  return { localKey: vector.localKey, fingerprint: vector.fingerprint }
}

async function readByServer(vector: Vector): Promise<Record<string, unknown>> {
  if (vector.structure === 'version') {
    const { place, keyId } = vector
    const sealed = { wrappedKey: bytes(vector.wrappedKey), sealed: bytes(vector.sealed) }
    return {
      value: openKeyring(vector)
        .open(place, { keyId, ...sealed })
        .toString('hex'),
    }
  }
  if (vector.structure === 'reference') return readReference(vector)
  if (vector.structure === 'backend') {
    keyringUnder(vector).verifyBackend(vector.backend, bytes(vector.mac))
    return {}
  }
  if (vector.structure === 'state') {
    const { settings, ...state } = vector.state
    const given = settings === undefined ? state : { ...state, settings: bytes(settings) }
    keyringUnder(vector).verify(given, bytes(vector.mac))
    return {}
  }
  if (vector.structure === 'root') return readRoot(vector)
  const path = join(scratch, 'local.key')
  if (vector.structure === 'root-key') {
    writeKeyFile(path, keyFileOf(bytes(vector.localKey)))
    const unwrapped = await localKeyProvider(path).unwrap(bytes(vector.wrapped), vector.storeId)
    return { rootKey: Buffer.from(unwrapped).toString('hex') }
  }
  if (vector.structure === 'recovery-wrap') {
    writeKeyFile(path, vector.identity)
    const unwrapped = await identityProvider(path).unwrap(bytes(vector.wrapped), vector.storeId)
    return { rootKey: Buffer.from(unwrapped).toString('hex') }
  }
  if (vector.structure === 'kms-wrap') return askedOfKms(vector)
  if (vector.structure === 'transit-wrap') return askedOfTransit(vector)
  writeKeyFile(path, vector.text)
  const provider = localKeyProvider(path)
  const found = await provider.fingerprint()
  // The provider never shows its key: what it wraps opens with the key of the vector, or not.
  const wrapped = await provider.wrap(Buffer.alloc(32), 'store')
  writeKeyFile(path, keyFileOf(bytes(vector.localKey ?? '')))
  await provider.unwrap(wrapped, 'store')
  return { localKey: vector.localKey, fingerprint: found }
}

/** Any keyring under the root key: a MAC depends on nothing else. */
function keyringUnder({ storeId, rootKey }: { storeId: string; rootKey: string }): Keyring {
  const random = (size: number): Buffer => bytes(rootKey).subarray(0, size)
  return Keyring.create(storeId, { random }).keyring
}

/** Opens it with the keyring, and holds the value against it: what becomes of another is tested with the homes. */
async function readReference(vector: ReferenceVector): Promise<Record<string, unknown>> {
  const keyring = openKeyring(vector)
  const dataKey = keyring.unwrap(vector.place, {
    keyId: vector.keyId,
    wrappedKey: bytes(vector.wrappedKey),
  })
  const reference = keyring.openReference(vector.place, dataKey, bytes(vector.sealed))
  const due = keyring.fingerprintOf(vector.place, bytes(vector.value), reference.number).fingerprint
  if (!due.equals(reference.fingerprint)) throw new SottoError('backend_altered', 'other')
  const { number } = reference
  return {
    backend: reference.backend,
    ...(number !== 1 && { number }),
    fingerprint: Buffer.from(reference.fingerprint).toString('hex'),
  }
}

function readRoot({
  storeId,
  previous,
  rootNumber,
  ...vector
}: RootVector): Record<string, unknown> {
  const root = createSecretKey(bytes(vector.rootKey))
  const lasting = new LastingKeys(storeId, root, rootNumber, vector.lasting.map(unhexed))
  const hex = (key: KeyObject): string => key.export().toString('hex')
  const keysFor = (purpose: LastingPurpose) =>
    lasting.all(purpose).map(({ number, key }) => ({ number, key: hex(key) }))
  return {
    fingerprint: rootFingerprintOf(root, storeId),
    keys: Object.fromEntries(lastingPurposes.map((purpose) => [purpose, keysFor(purpose)])),
    ...(previous !== undefined && {
      previousKey: hex(openPreviousState(storeId, root, rootNumber, bytes(previous))),
    }),
  }
}

/** What the provider asks of KMS; the answer is one that any KMS could give. */
async function askedOfKms(vector: KmsWrapVector): Promise<Record<string, unknown>> {
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'test')
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'test')
  onTestFinished(() => void vi.unstubAllEnvs())
  await using kms = await startFaultyKms('http://127.0.0.1:9')
  const Plaintext = Buffer.alloc(32, 7).toString('base64')
  kms.fail({ kind: 'body', text: JSON.stringify({ KeyId: vector.keyArn, Plaintext }) })
  const provider = awsKmsProvider({ key: vector.keyArn, endpoint: kms.url })
  await provider.unwrap(bytes(vector.wrapped), vector.storeId)
  const [{ operation, input } = { operation: '', input: {} }] = kms.calls
  expect([operation, input['KeyId'], kms.calls.length]).toEqual(['Decrypt', vector.keyArn, 1])
  return {
    blob: Buffer.from(String(input['CiphertextBlob']), 'base64').toString('hex'),
    context: input['EncryptionContext'],
    fingerprint: await provider.fingerprint(),
  }
}

/** What the provider asks of Transit; the answer is one that any Transit could give. */
async function askedOfTransit(vector: TransitWrapVector): Promise<Record<string, unknown>> {
  const asked: [path: string | undefined, body: Record<string, unknown>][] = []
  const plaintext = Buffer.alloc(32, 7).toString('base64')
  const server = createServer((incoming, answer) => {
    const take = async (): Promise<void> => {
      asked.push([incoming.url, (await json(incoming)) as Record<string, unknown>])
      answer.end(JSON.stringify({ data: { plaintext } }))
    }
    void take()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const { namespace, mount, key } = vector
    const provider = openbaoTransitProvider({
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      ...(namespace !== undefined && { namespace }),
      mount,
      key,
      login: { method: 'token', token: { read: () => Promise.resolve('token') } },
    })
    await provider.unwrap(bytes(vector.wrapped), vector.storeId)
    const [[path, body] = ['', {}]] = asked
    expect([path, asked.length]).toEqual([`/v1/${mount}/decrypt/${key}`, 1])
    return { ...body, fingerprint: await provider.fingerprint() }
  } finally {
    server.close()
    server.closeAllConnections()
  }
}

function keyFileOf(key: Buffer): string {
  const id = fingerprint(createSecretKey(key), '')
  return `sotto local key 1\nfingerprint ${id}\nkey ${key.toString('base64')}\n`
}

function writeKeyFile(path: string, text: string): void {
  writeFileSync(path, text, { mode: 0o600 })
}

function openKeyring(vector: VersionVector | ReferenceVector): Keyring {
  const { storeId, rootKey, rootNumber: number = 1, keyring } = vector
  const lasting = vector.structure === 'reference' ? (vector.lasting ?? []) : []
  return Keyring.open(storeId, bytes(rootKey), keyring.map(unhexed), {
    lasting: lasting.map(unhexed),
    root: { number },
  })
}

function unhexed<T extends { readonly sealed: string }>({ sealed, ...head }: T) {
  return { ...head, sealed: bytes(sealed) }
}

/** Code and message of an error, then those of its cause, and so on. */
function chain(error: unknown): { code: string; message: string }[] {
  if (!(error instanceof SottoError)) return []
  return [{ code: error.code, message: error.message }, ...chain(error.cause)]
}

/** The errors that must come, the outermost first: every message whole. */
function expectedErrors(vector: Vector, { of, because }: Refused): Pattern[] {
  if (of === 'key-file') {
    const why =
      because === 'fingerprint'
        ? 'its key is not the one that its fingerprint [0-9a-f]{16} names'
        : 'it is not a Sotto local key'
    return [pattern('key_missing', `Cannot use the key file "[^"]*": ${why}`)]
  }
  if (of === 'backend') {
    const why = 'it was altered outside Sotto or moved from another place'
    return [pattern('store_damaged', `Cannot trust the record of backend "[^"]*": ${why}`)]
  }
  if (of === 'reference' && because === 'unknown-key') {
    const why = 'it needs lasting key 3, which the store does not have'
    return [pattern('store_damaged', `Cannot verify the value of "[^"]*": ${why}`)]
  }
  if (of === 'reference' && because === 'fingerprint') return [pattern('backend_altered', 'other')]
  if (vector.structure === 'reference' && because === 'length' && vector.sealed.length > 120) {
    const length = vector.sealed.length / 2 - 29
    const why = `it has ${length} bytes where 36, 40 or 72 are due`
    return [pattern('store_damaged', `Cannot read ${subject(vector, of)}: ${why}`)]
  }
  if (of === 'state') {
    const why = 'it was altered outside Sotto or moved from another place'
    return [pattern('store_damaged', `Cannot trust the record of secret "[^"]*": ${why}`)]
  }
  if (vector.structure === 'recovery-wrap') {
    const why =
      because === 'store'
        ? 'it was wrapped for another store'
        : 'it was wrapped to another key, or was altered'
    const what = `the root key of store ${vector.storeId} with recovery key [0-9a-f]{16}`
    return [pattern('key_wrong', `Cannot unwrap ${what}: ${why}`)]
  }
  if (vector.structure === 'kms-wrap' || vector.structure === 'transit-wrap') {
    const provider = vector.structure === 'kms-wrap' ? 'aws-kms' : 'openbao-transit'
    const why =
      because === 'store'
        ? 'it was wrapped for another store, [0-9a-f]{32}'
        : 'it was altered or cut short'
    const what = `the root key of store ${vector.storeId} with ${provider} key [0-9a-f]{16}`
    return [pattern('key_wrong', `Cannot unwrap ${what}: ${why}`)]
  }
  const inner = pattern('store_damaged', `Cannot open ${subject(vector, of)}: ${reasons[because]}`)
  if (of !== 'root-key') return [inner]
  const why = 'it was wrapped by another key or for another store, or was altered'
  const outer = `Cannot unwrap ${subject(vector, of)} with local key [0-9a-f]{16}: ${why}`
  return [pattern('key_wrong', outer), inner]
}

interface Pattern {
  code: ErrorCode
  message: RegExp
}

function pattern(code: ErrorCode, message: string): Pattern {
  return { code, message: new RegExp(`^${message}$`) }
}

const reasons: Partial<Record<Reason, string>> = {
  format: 'it has format [0-9]+, and this release reads format 1',
  length: 'it has [0-9]+ bytes where (61|at least 29) are due',
  authentication: 'the bytes failed their authentication',
  'unknown-entry': 'it is wrapped by keyring entry [13], which the store does not have',
  'active-entries': '(0|2) of its [0-9] entries are active where one is due',
  'same-id': 'two of its entries have the same id',
}

function subject(vector: Vector, of: string): string {
  if (of === 'lasting-key') return 'lasting key \\d+ for "[a-z-]+"'
  if (of === 'previous-state') return 'the key of MACs from before root key 2'
  if (vector.structure === 'root-key') return `the root key of store ${vector.storeId}`
  if (vector.structure !== 'version' && vector.structure !== 'reference')
    throw new Error(`Nothing is sealed in a ${vector.structure}`)
  const secret = `${quote(vector.place.name)} version ${vector.place.version}`
  if (of === 'value' || of === 'reference') return `the ${of} of ${secret}`
  if (of === 'data-key') return `the data key of ${secret}`
  if (of === 'keyring-entry') return 'keyring entry [0-9]+'
  return 'the keyring'
}

function bytes(hex: string): Buffer {
  return Buffer.from(hex, 'hex')
}
