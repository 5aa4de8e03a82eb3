/**
 * The `aws-kms` key provider: a symmetric key of AWS KMS, which never leaves it. The root key goes there
 * to be wrapped and comes back unwrapped, bound to the store by the encryption context.
 */
import type { KMSClient } from '@aws-sdk/client-kms'
import { quote, SottoError } from '../../client/api/errors.ts'
import { clientSettings, refuseClear, within } from '../aws/call.ts'
import { type Attempt, type AwsKmsKey, kmsFailure } from './aws-kms-failures.ts'
import { bindWrap, contextOf, unbindWrap } from './bound-wrap.ts'
import { fingerprintOfPublic } from './derive.ts'
import { KEY_BYTES } from './envelope.ts'
import type { KeyProvider } from './provider.ts'

const PROVIDER = 'aws-kms'

/** How long one call may take with all its attempts, in milliseconds: less than `bounded` waits. */
const WAIT_MS = 15_000

const keyArn = /^arn:[a-z-]+:kms:([a-z0-9-]+):\d{12}:key\/[A-Za-z0-9-]+$/
const arnRegion = /^arn:[^:]*:kms:([^:]+):/

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

  function call<T>(attempted: string, send: Send<T>): Promise<T> {
    return callKms({ ...given, ...(region !== undefined && { region }), attempted }, send, waitMs)
  }

  /** The ARN of the key, which is asked for once where another name was given. */
  async function arn(): Promise<string> {
    known ??= await call('find the key', async (client, { DescribeKeyCommand }, abortSignal) => {
      const command = new DescribeKeyCommand({ KeyId: given.key })
      const { KeyMetadata } = await client.send(command, { abortSignal })
      return demand(KeyMetadata?.Arn, 'ARN')
    })
    return known
  }

  return Object.freeze({
    name: PROVIDER,

    async fingerprint() {
      return fingerprintOfPublic(await arn())
    },

    async wrap(rootKey: Uint8Array, storeId: string) {
      const KeyId = await arn()
      const blob = await call(
        `wrap the root key of store ${storeId}`,
        async (client, { EncryptCommand }, abortSignal) => {
          const input = { KeyId, Plaintext: rootKey, EncryptionContext: contextOf(storeId) }
          const answer = await client.send(new EncryptCommand(input), { abortSignal })
          if (answer.KeyId !== KeyId) throw otherKey(KeyId, answer.KeyId)
          return demand(answer.CiphertextBlob, 'wrap')
        },
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
        const rootKey = demand(answer.Plaintext, 'root key')
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

async function callKms<T>(attempt: Attempt, send: Send<T>, waitMs: number): Promise<T> {
  const sdk = await import('@aws-sdk/client-kms')
  const client = new sdk.KMSClient(clientSettings(attempt, waitMs))
  refuseClear(client, clear)
  let region = attempt.region
  try {
    return await within(waitMs, async (signal) => {
      region = await client.config.region()
      return send(client, sdk, signal)
    })
  } catch (error) {
    if (error instanceof SottoError) throw error
    throw kmsFailure({ ...attempt, ...(region !== undefined && { region }) }, error, waitMs)
  } finally {
    client.destroy()
  }
}

function clear(host: string): SottoError {
  const message = `Cannot use ${PROVIDER} at ${quote(host)}: the root key would cross the network in the clear`
  return new SottoError('unsafe', message, { hint: 'Give an endpoint that begins with https://.' })
}

function demand<T>(value: T | undefined, what: string): T {
  if (value !== undefined) return value
  throw new Error(`an answer without its ${what}`)
}

function otherKey(asked: string, used: string | undefined): SottoError {
  const message = `${PROVIDER} was asked to use the key ${quote(asked)} and used ${quote(used ?? '')}`
  return new SottoError('key_wrong', message, { hint: 'Look at what answers at the endpoint.' })
}
