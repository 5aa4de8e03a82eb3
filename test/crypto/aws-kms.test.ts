/** What is made of answers at the endpoint of KMS: its own words, what is not KMS at all, and keys of several regions. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import { awsKmsProvider } from '../../server/crypto/aws-kms.ts'
import type { AwsKmsKey } from '../../server/crypto/aws-kms-failures.ts'
import { openRootKey, provenWrap, wrapRootKey } from '../../server/crypto/root-key.ts'
import { awsVariables, stubAwsVariables } from '../support/aws-variables.ts'
import { type Scripted, type ScriptedServer, startScripted } from '../support/scripted.ts'

const storeId = '00112233445566778899aabbccddeeff'
const plain = 'arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab'
const rootKey = randomBytes(32)

let kms: ScriptedServer

beforeEach(async () => {
  stubAwsVariables()
  kms = await startScripted()
})

afterEach(async () => {
  vi.unstubAllEnvs()
  await kms[Symbol.asyncDispose]()
})

const provider = (given: Partial<AwsKmsKey> = {}) =>
  awsKmsProvider({ key: plain, endpoint: kms.url, ...given }, 6000)

const json = (body: object, status = 200): Scripted => ({
  status,
  headers: { 'content-type': 'application/x-amz-json-1.1' },
  body: JSON.stringify(body),
})

const refused = (type: string, message: string, status = 400): Scripted =>
  json({ __type: type, message }, status)

async function failure(act: Promise<unknown>): Promise<SottoError> {
  const error = await act.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(SottoError)
  return error as SottoError
}

/** A KMS that has `keys`, each with the regions that it is in, and keeps what it wraps in the wrap. */
function serving(keys: Readonly<Record<string, readonly string[]>> = { [plain]: [] }): void {
  kms.answer = ({ headers, body }) => {
    const asked = JSON.parse(body) as Readonly<Record<string, string>>
    const { KeyId = '', Plaintext = '', CiphertextBlob = '' } = asked
    const operation = String(headers['x-amz-target']).replace('TrentService.', '')
    const replicas = keys[KeyId]
    if (replicas === undefined) return refused('NotFoundException', `Key '${KeyId}' does not exist`)
    if (operation === 'DescribeKey') {
      const [PrimaryKey, ...others] = replicas.map((Arn) => ({ Arn, Region: Arn.split(':')[3] }))
      const MultiRegionConfiguration = { PrimaryKey, ReplicaKeys: others }
      return json({ KeyMetadata: { KeyId, Arn: KeyId, MultiRegionConfiguration } })
    }
    const id = KeyId.split('/')[1]
    if (operation === 'Encrypt') {
      const wrap = Buffer.from(`${id} ${Plaintext}`).toString('base64')
      return json({ KeyId, CiphertextBlob: wrap })
    }
    const [by, text] = Buffer.from(CiphertextBlob, 'base64').toString().split(' ')
    return by === id ? json({ KeyId, Plaintext: text }) : refused('IncorrectKeyException', '')
  }
}

const operations = (): string[] =>
  kms.seen.map(({ headers }) => String(headers['x-amz-target']).replace('TrentService.', ''))

describe('U8: an answer that is not KMS’s is refused', () => {
  test.each<[string, Scripted]>([
    ['a page', { headers: { 'content-type': 'text/html' }, body: '<html>Sign in</html>' }],
    ['nothing', {}],
    ['other JSON', { headers: { 'content-type': 'application/json' }, body: '{"ok":true}' }],
    ['no object', { headers: { 'content-type': 'application/json' }, body: '"KeyId"' }],
    ['a page that refuses', { status: 403, headers: { 'content-type': 'text/html' }, body: '<p>' }],
    ['JSON that refuses', { status: 400, body: '{"error":"no"}' }],
  ])('%s', async (_name, answer) => {
    serving()
    const wrapped = await provider().wrap(rootKey, storeId)
    kms.answer = () => answer
    const named = awsKmsProvider({ key: 'alias/x', region: 'eu-central-1', endpoint: kms.url })
    for (const call of [
      () => provider().wrap(rootKey, storeId),
      () => provider().unwrap(wrapped, storeId),
      () => named.fingerprint(),
    ]) {
      const error = await failure(call())
      expect(error.code).toBe('key_missing')
      expect(error.message).toContain(
        `: what answers at "${kms.url}" is not KMS (status ${answer.status ?? 200}`,
      )
      expect(error.hint).toContain('--kms-endpoint')
    }
  })

  test('also where it names no key', async () => {
    kms.answer = () => json({ CiphertextBlob: 'AAAA' })
    expect((await failure(provider().wrap(rootKey, storeId))).message).toContain('is not KMS')
  })
})

test('U12: an endpoint that a variable or a profile names is used, and named in messages', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'sotto-aws-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  const file = join(directory, 'config')
  const url = kms.url.replace('127.0.0.1', 'localhost')
  writeFileSync(
    file,
    `[profile m]\naws_access_key_id = a\naws_secret_access_key = b\nendpoint_url = ${url}\n`,
  )
  const wrapped = (given: Partial<AwsKmsKey> = {}) =>
    awsKmsProvider({ key: plain, ...given }, 6000).wrap(rootKey, storeId)
  for (const [name, given, source] of [
    ['AWS_ENDPOINT_URL_KMS', {}, '$AWS_ENDPOINT_URL_KMS'],
    ['AWS_ENDPOINT_URL', {}, '$AWS_ENDPOINT_URL'],
    ['AWS_CONFIG_FILE', { profile: 'm' }, 'endpoint_url of the AWS profile "m"'],
  ] as const) {
    vi.stubEnv(name, name === 'AWS_CONFIG_FILE' ? file : url)
    if ('profile' in given) vi.stubEnv('AWS_ACCESS_KEY_ID', undefined)
    serving()
    expect(await wrapped(given)).toBeInstanceOf(Uint8Array)
    kms.answer = () => ({})
    const error = await failure(wrapped(given))
    expect(error.message).toContain(` at "${url}" (${source}): what answers`)
    expect(error.hint).toContain(`Look at ${source} and`)
    vi.stubEnv(name, undefined)
  }
  vi.stubEnv('AWS_ACCESS_KEY_ID', awsVariables.AWS_ACCESS_KEY_ID)
  vi.stubEnv('AWS_ENDPOINT_URL', 'http://kms.example')
  expect((await failure(wrapped())).code).toBe('unsafe')
})

describe('U17: what KMS says is passed on', () => {
  test.for<[answer: Scripted, found: RegExp]>([
    [
      refused('KMSInvalidStateException', 'k is pending import.'),
      /: the key is in a state in which it cannot be used: "k is pending import\."$/,
    ],
    [
      refused('ValidationException', "1 validation error detected: Value at 'keyId'"),
      /: KMS does not understand what it was asked: "1 validation error detected: Value at 'keyId'"$/,
    ],
    [
      refused('UnsupportedOperationException', 'Not in this region.'),
      /: KMS refuses it \(UnsupportedOperationException, status 400\): "Not in this region\."$/,
    ],
    [
      refused('KMSInternalException', 'partition away', 500),
      /: KMS failed \(KMSInternalException, status 500\): "partition away"$/,
    ],
    [
      refused('ThrottlingException', 'Rate exceeded'),
      /: KMS throttled each attempt \(ThrottlingException\): "Rate exceeded"$/,
    ],
  ])('%o', async ([answer, found]) => {
    kms.answer = () => answer
    expect((await failure(provider().wrap(rootKey, storeId))).message).toMatch(found)
  })

  test('but not what repeats the root key, nor what it says of credentials', async () => {
    kms.answer = ({ body }) => refused('ValidationException', `cannot read ${body}`)
    const { message } = await failure(provider().wrap(rootKey, storeId))
    expect(message).not.toContain(rootKey.toString('base64'))
    kms.answer = () => refused('InvalidSignatureException', awsVariables.AWS_SECRET_ACCESS_KEY)
    expect((await failure(provider().wrap(rootKey, storeId))).message).not.toContain(
      awsVariables.AWS_SECRET_ACCESS_KEY,
    )
  })
})

describe('U20: a replica of a key of several regions is the same key', () => {
  const id = 'mrk-1234abcd12ab34cd56ef1234567890ab'
  const inRegion = (region: string, key = id): string =>
    `arn:aws:kms:${region}:123456789012:key/${key}`
  const [central, west, north] = ['eu-central-1', 'eu-west-1', 'eu-north-1'].map((region) =>
    inRegion(region),
  ) as [string, string, string]
  const other = inRegion('eu-west-1', 'mrk-ffffffffffffffffffffffffffffffff')

  beforeEach(() => {
    const all = [central, west, north]
    serving({
      [central]: all,
      [west]: all,
      [north]: all,
      [other]: [other],
      [plain]: [],
      // Whatever KMS says: another key is no replica.
      [inRegion('us-east-1', 'mrk-0')]: [central],
    })
  })

  test('it opens what the key of another region wrapped, in either direction', async () => {
    for (const [by, opener] of [
      [central, west],
      [west, central],
      [west, north],
    ] as const) {
      const wrap = await wrapRootKey(provider({ key: by }), rootKey, storeId)
      const opened = await openRootKey([provider({ key: opener })], [wrap], storeId)
      expect(Buffer.from(opened.rootKey)).toEqual(rootKey)
      expect(opened.wrap).toBe(wrap)
    }
  })

  test('it is asked for its replicas only where it has to be', async () => {
    const wrap = await provenWrap(provider({ key: central }), rootKey, storeId)
    await openRootKey([provider({ key: central })], [wrap], storeId)
    await provider({ key: west }).fingerprint()
    expect(operations()).toEqual(['Encrypt', 'Decrypt', 'Decrypt'])
    const known = await provider({ key: west }).fingerprint([wrap.fingerprint])
    expect(known).toBe(wrap.fingerprint)
    expect(operations().slice(3)).toEqual(['DescribeKey'])
  })

  test('another key is not, and is refused as before', async () => {
    const wrap = await wrapRootKey(provider({ key: central }), rootKey, storeId)
    for (const key of [other, plain, inRegion('us-east-1', 'mrk-0')]) {
      const error = await failure(openRootKey([provider({ key })], [wrap], storeId))
      expect(error).toMatchObject({
        code: 'key_wrong',
        message: expect.stringContaining(`sealed under aws-kms key ${wrap.fingerprint}, the given`),
      })
    }
    expect(operations()).not.toContain('Decrypt')
  })

  test('where nobody may ask for its replicas, that is said', async () => {
    const wrap = await wrapRootKey(provider({ key: central }), rootKey, storeId)
    kms.answer = () =>
      refused('AccessDeniedException', 'not authorized to perform: kms:DescribeKey')
    const error = await failure(openRootKey([provider({ key: west })], [wrap], storeId))
    expect(error.message).toMatch(
      /^Cannot find the replicas of the key with aws-kms key .*: no permission: "not authorized to perform: kms:DescribeKey"$/,
    )
    expect(error.hint).toContain('docs/guides/keys-kms.md')
  })
})
