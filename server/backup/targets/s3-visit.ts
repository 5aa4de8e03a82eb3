/** One verb at a bucket: a client of its own, and calls that take a bounded time and fail in words. */
import type {
  $Command,
  S3ClientResolvedConfig,
  ServiceInputTypes,
  ServiceOutputTypes,
} from '@aws-sdk/client-s3'
import { quote, SottoError } from '../../../client/api/errors.ts'
import { clientSettings, refuseClear, within } from '../../aws/call.ts'
import { partsOf } from '../../aws/failures.ts'
import { s3Failure } from './s3-failures.ts'
import { clearPlace, type S3Place } from './s3-place.ts'

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
}

/** How long calls may take, with all their attempts, in milliseconds. */
export interface S3Waits {
  /** A call without a body that is worth mentioning; of any other, how long it may be silent. */
  readonly waitMs: number
  /** Putting one part. */
  readonly partMs: number
}

/** Begins a verb, `attempted`, with a client of its own. Calls take at most `waitMs`, unless they say otherwise. */
export async function visitS3(
  place: S3Place,
  attempted: string,
  { waitMs, partMs }: S3Waits,
): Promise<S3Visit> {
  const sdk = await import('@aws-sdk/client-s3')
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
  if (place.clear !== true) refuseClear(client, (host) => clearPlace(place, host))
  return {
    sdk,
    async send(command, { but = [], signal, ms = waitMs } = {}) {
      try {
        return await within(ms, (abortSignal) => client.send(command, { abortSignal }), signal)
      } catch (error) {
        if (error instanceof SottoError || (signal?.aborted && error === signal.reason)) throw error
        if (but.includes(partsOf(error).name)) return undefined
        throw s3Failure({ ...place, attempted }, error, ms)
      }
    },
    failure: (error, note) => s3Failure({ ...place, attempted }, error, waitMs, note),
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
      { applyToStack: (middlewareStack) => refuseClear({ middlewareStack }, clearRole) },
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
