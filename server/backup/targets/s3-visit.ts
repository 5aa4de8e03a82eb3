/** One verb at a bucket: a client of its own, and calls that take a bounded time and fail in words. */
import type {
  $Command,
  S3ClientResolvedConfig,
  ServiceInputTypes,
  ServiceOutputTypes,
} from '@aws-sdk/client-s3'
import { quote, SottoError } from '../../../client/api/errors.ts'
import { clientSettings, watchCalls, within } from '../../aws/call.ts'
import { configuredEndpoint } from '../../aws/endpoint.ts'
import { partsOf } from '../../aws/failures.ts'
import { demandProof } from '../../aws/proof.ts'
import { proxyFor } from '../../platform/proxies.ts'
import { s3Failure } from './s3-failures.ts'
import { clearPlace, type S3Place } from './s3-place.ts'
import { s3Proof } from './s3-proof.ts'

/** How a command is sent. */
export interface SendOptions {
  /** Names of refusals that the caller expects: the call then resolves with undefined. */
  readonly but?: readonly string[]
  readonly signal?: AbortSignal | undefined
  /** With all its attempts, in milliseconds. */
  readonly ms?: number
}

type Sdk = typeof import('@aws-sdk/client-s3')

/** One verb at a bucket. */
export interface S3Visit extends Disposable {
  readonly sdk: Sdk
  /**
   * Resolves with the answer to a command. Rejects with `target_unavailable` or `unsafe`, in words, and with
   * the reason of the signal.
   */
  readonly send: <I extends ServiceInputTypes, O extends ServiceOutputTypes>(
    command: $Command<I, O, S3ClientResolvedConfig>,
    options?: SendOptions,
  ) => Promise<O | undefined>
  /** What a call that failed is rejected with; `note` follows what was found. */
  readonly failure: (error: unknown, note?: string) => SottoError
  /** The time by the clock of the service, once it has answered: ends of locks go by that one. */
  readonly time: () => Date
}

/** How long calls may take, with all their attempts, in milliseconds. */
export interface S3Waits {
  /** A call without a body that is worth mentioning; of any other, how long it may be silent. */
  readonly waitMs: number
  /** Putting one part. */
  readonly partMs: number
}

/** What time it is, where the service said `told`. */
export type S3Clock = (told: Date) => Date

/** Begins a verb, `attempted`, with a client of its own. Calls take at most `waitMs`, unless they say otherwise. */
export async function visitS3(
  given: S3Place,
  attempted: string,
  { waitMs, partMs, clock }: S3Waits & { readonly clock: S3Clock },
): Promise<S3Visit> {
  const sdk = await import('@aws-sdk/client-s3')
  const found = given.endpoint === undefined && (await configuredEndpoint('S3', given.profile))
  const place = { ...given, ...found }
  const settings = clientSettings(place, partMs)
  const client = new sdk.S3Client({
    ...settings,
    requestHandler: {
      ...settings.requestHandler,
      connectionTimeout: Math.ceil(waitMs / 3),
      socketTimeout: Math.ceil(waitMs / 3),
    },
    forcePathStyle: place.endpoint !== undefined,
    // Backups authenticate themselves; of what is sent, the checksums are given.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    ...(place.role !== undefined && { credentials: await roleOf(place, place.role) }),
  })
  const refuse = (host: string): SottoError => clearPlace(place, host)
  const sent = watchCalls(client, place.clear === true ? undefined : refuse)
  demandProof(client, s3Proof)
  const failure = (error: unknown, ms: number, note?: string): SottoError => {
    const proxy = sent.to && proxyFor(sent.to, place.proxies)
    return s3Failure({ ...place, attempted, proxy }, error, ms, note)
  }
  return {
    sdk,
    async send(command, { but = [], signal, ms = waitMs } = {}) {
      try {
        return await within(ms, (abortSignal) => client.send(command, { abortSignal }), signal)
      } catch (error) {
        if (error instanceof SottoError || (signal?.aborted && error === signal.reason)) throw error
        if (but.includes(partsOf(error).name)) return undefined
        throw failure(error, ms)
      }
    },
    failure: (error, note) => failure(error, waitMs, note),
    // The SDK notes at each answer by how much the clock of this machine is off.
    time: () => clock(new Date(Date.now() + client.config.systemClockOffset)),
    [Symbol.dispose]: () => client.destroy(),
  }
}

/** Credentials of a role, which is assumed with those that are found, and without the endpoint of the bucket. */
async function roleOf(place: S3Place, RoleArn: string) {
  const { fromTemporaryCredentials } = await import('@aws-sdk/credential-providers')
  const { profile, region } = place
  return fromTemporaryCredentials({
    params: { RoleArn, RoleSessionName: 'sotto-backup' },
    clientConfig: {
      ...(profile !== undefined && { profile }),
      ...(region !== undefined && { region }),
    },
    // The credentials come back in the answer.
    clientPlugins: [
      { applyToStack: (middlewareStack) => void watchCalls({ middlewareStack }, clearRole) },
    ],
  })
}

function clearRole(host: string): SottoError {
  return new SottoError(
    'unsafe',
    `Cannot assume a role at ${quote(host)}: its credentials would cross the network in the clear`,
    { hint: 'Give an endpoint of STS that begins with https://.' },
  )
}
