/** The `aws-kms` provider with the real SDK over real HTTP: the contract, and each failure's message. */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { inspect } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { awsKmsProvider } from '../../../server/crypto/aws-kms.ts'
import type { AwsKmsKey } from '../../../server/crypto/aws-kms-failures.ts'
import { SottoError } from '../../../client/api/errors.ts'
import { rootKeyBinding } from '../../../server/crypto/binding.ts'
import { openRootKey, wrapRootKey } from '../../../server/crypto/root-key.ts'
import { keyProviderContract } from '../../contract/key-provider.ts'
import type { Fault } from '../../support/fault-proxy.ts'
import { type FaultyKms, startFaultyKms } from '../../support/faulty-kms.ts'
import { describeWith } from '../../support/peers.ts'
import { credentials, type Moto, REGION, SECRET_ACCESS_KEY, startMoto } from './moto.ts'

interface IamStatement {
  readonly Action: readonly string[]
  readonly Condition?: { readonly StringEquals: Readonly<Record<string, string>> }
}

const storeId = '00112233445566778899aabbccddeeff'
const otherStore = 'ffeeddccbbaa99887766554433221100'
/** Longer than moto needs for an answer while much else runs. */
const WAIT_MS = 8000

describeWith(['kms-python'], 'aws-kms', () => {
  let moto: Moto
  let kms: FaultyKms
  let arn: string
  const rootKey = randomBytes(32)

  beforeAll(async () => {
    moto = await startMoto()
    arn = await moto.createKey()
  })

  afterAll(() => moto[Symbol.asyncDispose]())

  beforeEach(async () => {
    for (const [name, value] of Object.entries(credentials)) vi.stubEnv(name, value)
    kms = await startFaultyKms(moto.url)
  })

  afterEach(async () => {
    vi.unstubAllEnvs()
    await kms[Symbol.asyncDispose]()
  })

  const provider = (given: Partial<AwsKmsKey> = {}, waitMs = WAIT_MS) =>
    awsKmsProvider({ key: arn, endpoint: kms.url, ...given }, waitMs)

  async function failure(call: Promise<unknown>): Promise<SottoError> {
    const error = await call.then(
      () => undefined,
      (reason: unknown) => reason,
    )
    expect(error).toBeInstanceOf(SottoError)
    const shown = inspect(error, { depth: Infinity, showHidden: true })
    expect(shown).not.toContain(SECRET_ACCESS_KEY)
    expect(shown).not.toContain(rootKey.toString('base64'))
    expect((error as SottoError).hint).toMatch(/\.$/)
    return error as SottoError
  }

  keyProviderContract('aws-kms', async () => {
    for (const [name, value] of Object.entries(credentials)) vi.stubEnv(name, value)
    const own = { key: arn, endpoint: moto.url }
    return {
      provider: awsKmsProvider(own),
      again: awsKmsProvider(own),
      other: awsKmsProvider({ ...own, key: await moto.createKey() }),
      secrets: [Buffer.from(SECRET_ACCESS_KEY)],
      [Symbol.asyncDispose]: async () => {},
    }
  })

  describe('a call', () => {
    test('is bound to the store and to Sotto, and start-up makes one', async () => {
      const wrapped = await provider().wrap(rootKey, storeId)
      const EncryptionContext = {
        application: 'sotto',
        purpose: 'root-key',
        format: '1',
        store: storeId,
      }
      expect(kms.calls).toEqual([
        {
          operation: 'Encrypt',
          input: { KeyId: arn, EncryptionContext, Plaintext: rootKey.toString('base64') },
        },
      ])
      const head = rootKeyBinding(storeId).bytes
      expect(Buffer.from(wrapped.subarray(0, head.length))).toEqual(Buffer.from(head))
      const own = provider()
      const wraps = [{ provider: 'aws-kms', fingerprint: await own.fingerprint(), wrapped }]
      const opened = await openRootKey([own], wraps, storeId)
      expect(Buffer.from(opened.rootKey)).toEqual(rootKey)
      const CiphertextBlob = Buffer.from(wrapped.subarray(head.length)).toString('base64')
      expect(kms.calls.slice(1)).toEqual([
        { operation: 'Decrypt', input: { KeyId: arn, EncryptionContext, CiphertextBlob } },
      ])
    })

    test('names the key by its ARN, whichever name it was given', async () => {
      const alias = `alias/sotto-${randomBytes(4).toString('hex')}`
      await moto.createAlias(alias, arn)
      const wrapped = await provider().wrap(rootKey, storeId)
      const id = arn.slice(arn.indexOf('/') + 1)
      for (const key of [alias, id, arn.replace(`key/${id}`, alias)]) {
        const named = provider({ key, region: REGION })
        expect(await named.fingerprint()).toBe(await provider().fingerprint())
        expect(Buffer.from(await named.unwrap(wrapped, storeId))).toEqual(rootKey)
        const made = kms.calls.splice(1).map(({ operation, input }) => [operation, input['KeyId']])
        expect(made).toEqual([
          ['DescribeKey', key],
          ['Decrypt', arn],
        ])
      }
    })

    test.for<[string, Fault]>([
      ['that is throttled', { kind: 'error', type: 'ThrottlingException' }],
      ['that fails inside', { kind: 'error', type: 'KMSInternalException', status: 500 }],
      ['whose connection is reset', { kind: 'reset' }],
      ['whose answer is lost', { kind: 'lost' }],
      ['whose answer does not come', { kind: 'hang' }],
      ['whose answer takes a while', { kind: 'delay', ms: 300 }],
    ])('%s is made again, or waited for', async ([, fault]) => {
      const wrapped = await provider().wrap(rootKey, storeId)
      kms.fail(fault, 1, 'Decrypt')
      expect(Buffer.from(await provider().unwrap(wrapped, storeId))).toEqual(rootKey)
      const due = fault.kind === 'delay' ? 1 : 2
      expect(kms.calls.filter(({ operation }) => operation === 'Decrypt')).toHaveLength(due)
    })
  })

  test('U20: a replica in another region opens what the key wrapped, and a stranger does not', async () => {
    const primary = await moto.createKey({ multiRegion: true })
    const replica = await moto.replicate(primary, 'eu-west-1')
    expect(replica).toMatch(/^arn:aws:kms:eu-west-1:\d+:key\/mrk-/)
    const wrap = await wrapRootKey(provider({ key: primary }), rootKey, storeId)
    const opened = await openRootKey([provider({ key: replica })], [wrap], storeId)
    expect(Buffer.from(opened.rootKey)).toEqual(rootKey)
    const back = await wrapRootKey(provider({ key: replica }), rootKey, storeId)
    const again = await openRootKey([provider({ key: primary })], [back], storeId)
    expect(Buffer.from(again.rootKey)).toEqual(rootKey)
    const other = await moto.createKey({ multiRegion: true })
    const error = await openRootKey([provider({ key: other })], [wrap], storeId).catch(
      (reason: unknown) => reason,
    )
    expect(error).toMatchObject({ code: 'key_wrong' })
  })

  test('the policy in docs/guides/keys-kms.md allows the calls that are made, and no more', async () => {
    const alias = `alias/sotto-${randomBytes(4).toString('hex')}`
    await moto.createAlias(alias, arn)
    const named = provider({ key: alias, region: REGION })
    await named.unwrap(await named.wrap(rootKey, storeId), storeId)
    const page = readFileSync(new URL('../../../docs/guides/keys-kms.md', import.meta.url), 'utf8')
    const [, text = ''] = /<!-- iam -->\n```json\n([^]*?)```/.exec(page) ?? []
    const { Statement } = JSON.parse(text) as { Statement: IamStatement[] }
    const allowed = Statement.flatMap(({ Action }) => Action).toSorted()
    const made = new Set(kms.calls.map(({ operation }) => `kms:${operation}`))
    expect([...made].toSorted()).toEqual(allowed)
    // A condition on the context refuses every call that has none of it.
    for (const { Action, Condition } of Statement) {
      const demanded = Object.entries(Condition?.StringEquals ?? {}).map(([key, value]) => [
        key.replace('kms:EncryptionContext:', ''),
        value,
      ])
      for (const { operation, input } of kms.calls) {
        if (!Action.includes(`kms:${operation}`)) continue
        expect(input['EncryptionContext'] ?? {}).toMatchObject(Object.fromEntries(demanded))
      }
    }
  })

  describe('the message', () => {
    const region = ` in region ${REGION}`

    test.for<[string, Fault, RegExp, RegExp]>([
      [
        'of throttling',
        { kind: 'error', type: 'ThrottlingException', message: 'Rate exceeded' },
        /KMS throttled each attempt \(ThrottlingException\): "Rate exceeded"$/,
        /quota/,
      ],
      ['of a reset', { kind: 'reset' }, /KMS could not be reached \(ECONNRESET\)$/, /network/],
      ['of a lost answer', { kind: 'lost' }, /KMS could not be reached \(ECONNRESET\)$/, /network/],
      [
        'of a hang',
        { kind: 'hang' },
        /KMS could not be reached \((?:ETIMEDOUT|no answer in time)\)$/,
        /network/,
      ],
      [
        'of a fault of KMS',
        { kind: 'error', type: 'KMSInternalException', status: 500 },
        /KMS failed \(KMSInternalException, status 500\)$/,
        /health/,
      ],
      [
        'of a key that is not at hand',
        { kind: 'error', type: 'KeyUnavailableException', status: 500 },
        /KMS cannot use the key right now$/,
        /Try again/,
      ],
      [
        'of no permission',
        {
          kind: 'error',
          type: 'AccessDeniedException',
          message: 'User: arn:aws:iam::1:user/x is not authorized to perform: kms:Decrypt',
        },
        /no permission: "User: arn:aws:iam::1:user\/x is not authorized to perform: kms:Decrypt"$/,
        /docs\/guides\/keys-kms\.md/,
      ],
      [
        'of an expired token',
        { kind: 'error', type: 'ExpiredTokenException' },
        /the credentials were refused/,
        /Renew/,
      ],
      [
        'of credentials that are refused, which is not repeated',
        { kind: 'error', type: 'InvalidSignatureException', message: SECRET_ACCESS_KEY },
        /the credentials were refused: they are wrong or have expired, or the clock is$/,
        /clock/,
      ],
      [
        'of a wrong region',
        { kind: 'error', type: 'NotFoundException', message: 'Invalid arn us-east-1' },
        /the key is not of this region$/,
        /--kms-region/,
      ],
      [
        'of a state that is new',
        { kind: 'error', type: 'KMSInvalidStateException', message: 'x is pending import.' },
        /the key is in a state in which it cannot be used: "x is pending import\."$/,
        /describe-key/,
      ],
      [
        'U8: of something that is no KMS',
        { kind: 'body', text: `<html>${SECRET_ACCESS_KEY}</html>` },
        /what answers at "http:\/\/127\.0\.0\.1:\d+" is not KMS \(status 200, "text\/html"\)$/,
        /endpoint/,
      ],
    ])('%s', async ([, fault, found, hint]) => {
      const wrapped = await provider().wrap(rootKey, storeId)
      kms.fail(fault, 100)
      const began = performance.now()
      const error = await failure(provider({}, 3000).unwrap(wrapped, storeId))
      expect(performance.now() - began).toBeLessThan(6000)
      expect(error.code).toBe('key_missing')
      expect(error.message).toMatch(found)
      expect(error.message).toContain(
        `Cannot unwrap the root key of store ${storeId} with aws-kms key "${arn}"${region} at "${kms.url}": `,
      )
      expect(error.hint).toMatch(hint)
      expect(kms.calls.length).toBeLessThanOrEqual(1 + 3)
    })

    test('of a disabled key, which opens again when it is enabled', async () => {
      const key = await moto.createKey()
      const wrapped = await provider({ key }).wrap(rootKey, storeId)
      await moto.disable(key)
      const error = await failure(provider({ key }).unwrap(wrapped, storeId))
      expect(error.message).toMatch(/: the key is disabled$/)
      expect(error.hint).toContain('enable-key')
      await failure(provider({ key }).wrap(rootKey, storeId))
      await moto.enable(key)
      expect(Buffer.from(await provider({ key }).unwrap(wrapped, storeId))).toEqual(rootKey)
    })

    test('of a key that is pending deletion', async () => {
      const key = await moto.createKey()
      const wrapped = await provider({ key }).wrap(rootKey, storeId)
      await moto.scheduleDeletion(key)
      const error = await failure(provider({ key }).unwrap(wrapped, storeId))
      expect(error.message).toMatch(/: the key is pending deletion$/)
      expect(error.hint).toContain('cancel-key-deletion')
    })

    test('of a key that is not there, by ARN and by alias', async () => {
      const gone = arn.replace(/[^/]+$/, '00000000-0000-0000-0000-000000000000')
      for (const key of [gone, 'alias/none']) {
        const error = await failure(provider({ key, region: REGION }).wrap(rootKey, storeId))
        expect(error.message).toMatch(/: there is no such key$/)
        expect(error.hint).toContain(`in region ${REGION}`)
      }
    })

    test('of a key of another region', async () => {
      const key = await moto.createKey({ region: 'us-west-2' })
      const id = key.slice(key.indexOf('/') + 1)
      const error = await failure(provider({ key: id, region: REGION }).fingerprint())
      expect(error.message).toMatch(/ in region eu-central-1 .*: there is no such key$/)
      expect(() => provider({ key, region: REGION })).toThrow(
        expect.objectContaining({
          code: 'usage',
          message: `Cannot use the aws-kms key "${key}" in region "eu-central-1": its ARN is of region "us-west-2"`,
        }),
      )
    })

    test('of a key that signs', async () => {
      const key = await moto.createKey({ usage: 'SIGN_VERIFY' })
      const error = await failure(provider({ key }).wrap(rootKey, storeId))
      expect(error.message).toMatch(/: the key is not for encryption$/)
    })

    test('of a foreign wrap, before KMS is asked and when its head was forged', async () => {
      const foreign = await provider().wrap(rootKey, otherStore)
      const asked = kms.calls.length
      const error = await failure(provider().unwrap(foreign, storeId))
      expect(error).toMatchObject({
        code: 'key_wrong',
        message: expect.stringMatching(`: it was wrapped for another store, ${otherStore}$`),
      })
      expect(kms.calls).toHaveLength(asked)
      const head = rootKeyBinding(storeId).bytes
      const forged = Buffer.concat([head, foreign.subarray(head.length)])
      expect(await failure(provider().unwrap(forged, storeId))).toMatchObject({
        code: 'key_wrong',
        message: expect.stringMatching(/its encryption context differs/),
      })
    })

    test('of a damaged wrap', async () => {
      const wrapped = await provider().wrap(rootKey, storeId)
      wrapped[wrapped.length - 1]! ^= 1
      const error = await failure(provider().unwrap(wrapped, storeId))
      expect(error).toMatchObject({ code: 'key_wrong', message: expect.stringMatching(/altered/) })
      expect(error.hint).toContain('The wrap is damaged')
    })

    test('of a wrap by another key of KMS', async () => {
      const wrapped = await provider({ key: await moto.createKey() }).wrap(rootKey, storeId)
      expect(await failure(provider().unwrap(wrapped, storeId))).toMatchObject({
        code: 'key_wrong',
        message: expect.stringMatching(/: it was wrapped by another key of KMS$/),
      })
    })

    test('of no credentials, of a profile that is not there, and of no region', async () => {
      vi.stubEnv('AWS_ACCESS_KEY_ID', undefined)
      vi.stubEnv('AWS_SECRET_ACCESS_KEY', undefined)
      const error = await failure(provider().wrap(rootKey, storeId))
      expect(error.message).toMatch(/: there are no AWS credentials$/)
      const named = await failure(provider({ profile: 'none' }).wrap(rootKey, storeId))
      expect(named.message).toMatch(/: there are no AWS credentials for profile "none"$/)
      vi.stubEnv('AWS_REGION', undefined)
      vi.stubEnv('AWS_DEFAULT_REGION', undefined)
      const nowhere = await failure(provider({ key: 'alias/x' }).fingerprint())
      expect(nowhere.message).toMatch(
        /^Cannot find the key with aws-kms key "alias\/x".*: no region is known$/,
      )
    })

    test('of an endpoint where nothing listens, and of one in the clear', async () => {
      const refused = await failure(
        provider({ endpoint: 'http://127.0.0.1:1' }).wrap(rootKey, storeId),
      )
      expect(refused.message).toMatch(/: KMS could not be reached \(ECONNREFUSED\)$/)
      const clear = { endpoint: 'http://kms.example' }
      expect(await failure(provider(clear).wrap(rootKey, storeId))).toMatchObject({
        code: 'unsafe',
        message: expect.stringContaining('the root key would cross the network in the clear'),
      })
      vi.stubEnv('AWS_ENDPOINT_URL_KMS', 'http://kms.example')
      expect(await failure(awsKmsProvider({ key: arn }).wrap(rootKey, storeId))).toMatchObject({
        code: 'unsafe',
      })
    })
  })
})
