/**
 * The `aws-kms` key provider: a symmetric key of AWS KMS, which never leaves it. The root key goes there
 * to be wrapped and comes back unwrapped, bound to the store by the encryption context.
 */
import type { KeyMetadata, KMSClient } from '@aws-sdk/client-kms'
import { quote, SottoError } from '../../client/api/errors.ts'
import { clientSettings, watchCalls, within } from '../aws/call.ts'
import { configuredEndpoint } from '../aws/endpoint.ts'
import { Lacking } from '../aws/failures.ts'
import { demandProof } from '../aws/proof.ts'
import { proxyFor } from '../platform/proxies.ts'
import { type Attempt, type AwsKmsKey, kmsFailure } from './aws-kms-failures.ts'
import { kmsProof } from './aws-kms-proof.ts'
import { bindWrap, contextOf, unbindWrap } from './bound-wrap.ts'
import { fingerprintOfPublic } from './derive.ts'
import { KEY_BYTES } from './envelope.ts'
import type { KeyProvider } from './provider.ts'

const PROVIDER = 'aws-kms'

/** How long one call may take with all its attempts, in milliseconds: less than `bounded` waits. */
const WAIT_MS = 15_000

const keyArn = /^arn:[a-z-]+:kms:([a-z0-9-]+):\d{12}:key\/[A-Za-z0-9-]+$/
const arnRegion = /^arn:[^:]*:kms:([^:]+):/
/** A key that has the same material in several regions: its replicas differ in the region of their ARNs alone. */
const multiRegion = /:key\/mrk-/

type Sdk = typeof import('@aws-sdk/client-kms')
type Send<T> = (client: KMSClient, sdk: Sdk, signal: AbortSignal) => Promise<T>

/**
 * The provider for a key of AWS KMS. Nothing is kept between calls but the key's ARN: clients and
 * credentials are recreated. Calls reject within `waitMs`, with `key_missing` when KMS or its key cannot be
 * used, `unsafe` for an endpoint that would carry the root key in the clear. Throws `usage` when the
 * region is not that of the ARN.
 */
export function awsKmsProvider(given: AwsKmsKey, waitMs: number = WAIT_MS): KeyProvider {
  const region = regionOf(given)
  let known = keyArn.test(given.key) ? given.key : undefined

  function call<T>(attempted: string, send: Send<T>, sent?: Uint8Array): Promise<T> {
    const own = { ...given, ...(region !== undefined && { region }), ...(sent && { sent }) }
    return callKms({ ...own, attempted }, send, waitMs)
  }

  function describe(attempted: string, KeyId: string): Promise<KeyMetadata> {
    return call(attempted, async (client, { DescribeKeyCommand }, abortSignal) => {
      const answer = await client.send(new DescribeKeyCommand({ KeyId }), { abortSignal })
      return demand(answer.KeyMetadata, 'what was asked for')
    })
  }

  /** The ARN of the key, which is asked for once where another name was given. */
  async function arn(): Promise<string> {
    known ??= demand((await describe('find the key', given.key)).Arn, 'the ARN of the key')
    return known
  }

  return Object.freeze({
    name: PROVIDER,

    async fingerprint(wraps: readonly string[] = []) {
      const own = await arn()
      const named = fingerprintOfPublic(own)
      if (wraps.length === 0 || wraps.includes(named) || !multiRegion.test(own)) return named
      // A replica is the same key. KMS alone knows in which regions there are others.
      const replicas = replicasIn(await describe('find the replicas of the key', own), own)
      return replicas.map(fingerprintOfPublic).find((each) => wraps.includes(each)) ?? named
    },

    async wrap(rootKey: Uint8Array, storeId: string) {
      const KeyId = await arn()
      const blob = await call(
        `wrap the root key of store ${storeId}`,
        async (client, { EncryptCommand }, abortSignal) => {
          const input = { KeyId, Plaintext: rootKey, EncryptionContext: contextOf(storeId) }
          const answer = await client.send(new EncryptCommand(input), { abortSignal })
          if (answer.KeyId !== KeyId) throw otherKey(KeyId, answer.KeyId)
          return demand(answer.CiphertextBlob, 'the wrap')
        },
        rootKey,
      )
      return bindWrap(storeId, blob)
    },

    async unwrap(wrapped: Uint8Array, storeId: string) {
      const KeyId = await arn()
      const attempted = `unwrap the root key of store ${storeId}`
      const about = `Cannot ${attempted} with ${PROVIDER} key ${fingerprintOfPublic(KeyId)}`
      const CiphertextBlob = unbindWrap(wrapped, storeId, about)
      return call(attempted, async (client, { DecryptCommand }, abortSignal) => {
        const input = { KeyId, CiphertextBlob, EncryptionContext: contextOf(storeId) }
        const answer = await client.send(new DecryptCommand(input), { abortSignal })
        const rootKey = demand(answer.Plaintext, 'the root key')
        if (answer.KeyId === KeyId && rootKey.length === KEY_BYTES) return rootKey
        rootKey.fill(0)
        if (answer.KeyId !== KeyId) throw otherKey(KeyId, answer.KeyId)
        throw new SottoError('key_wrong', `${about}: what was wrapped is not a root key`)
      })
    },
  })
}

function regionOf({ key, region }: AwsKmsKey): string | undefined {
  const own = arnRegion.exec(key)?.[1]
  if (own === undefined || region === undefined || own === region) return own ?? region
  const message = `Cannot use the ${PROVIDER} key ${quote(key)} in region ${quote(region)}: its ARN is of region ${quote(own)}`
  throw new SottoError('usage', message, { hint: 'Leave out --kms-region: the ARN says it.' })
}

async function callKms<T>(given: Attempt, send: Send<T>, waitMs: number): Promise<T> {
  const sdk = await import('@aws-sdk/client-kms')
  const found = given.endpoint === undefined && (await configuredEndpoint('KMS', given.profile))
  const attempt = { ...given, ...found }
  const client = new sdk.KMSClient(clientSettings(attempt, waitMs))
  const sent = watchCalls(client, clear)
  demandProof(client, kmsProof)
  let { region } = attempt
  try {
    return await within(waitMs, async (signal) => {
      region = await client.config.region()
      return send(client, sdk, signal)
    })
  } catch (error) {
    if (error instanceof SottoError) throw error
    const proxy = sent.to && proxyFor(sent.to, attempt.proxies)
    throw kmsFailure({ ...attempt, ...(region !== undefined && { region }), proxy }, error, waitMs)
  } finally {
    client.destroy()
  }
}

/** The ARNs of a key in other regions. */
function replicasIn({ MultiRegionConfiguration: found }: KeyMetadata, own: string): string[] {
  const all = [found?.PrimaryKey, ...(found?.ReplicaKeys ?? [])].flatMap((each) => each?.Arn ?? [])
  return all.filter((each) => each !== own && withoutRegion(each) === withoutRegion(own))
}

function withoutRegion(arn: string): string {
  return arn.split(':').toSpliced(3, 1).join(':')
}

function clear(host: string): SottoError {
  const message = `Cannot use ${PROVIDER} at ${quote(host)}: the root key would cross the network in the clear`
  return new SottoError('unsafe', message, { hint: 'Give an endpoint that begins with https://.' })
}

function demand<T>(value: T | undefined, what: string): T {
  if (value !== undefined) return value
  throw new Lacking(what)
}

function otherKey(asked: string, used: string | undefined): SottoError {
  const message = `${PROVIDER} was asked to use the key ${quote(asked)} and used ${quote(used ?? '')}`
  return new SottoError('key_wrong', message, { hint: 'Look at what answers at the endpoint.' })
}
