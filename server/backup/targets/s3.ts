/** Backups in a bucket of S3: an object each, which is there whole or not at all. */
import { quote, SottoError } from '../../../client/api/errors.ts'
import { within } from '../../aws/call.ts'
import { Lacking } from '../../aws/failures.ts'
import { nameOf, type S3Place } from './s3-place.ts'
import { putObject, type UploadLimits } from './s3-upload.ts'
import { type S3Clock, type S3Visit, type S3Waits, visitS3 } from './s3-visit.ts'
import type { BackupTarget, TargetObject, Upload } from './target.ts'

/** How long a target waits, how large parts are, and what time it is; each has a default. */
export type S3Options = S3Waits & UploadLimits & { readonly clock: S3Clock }

const DEFAULTS: S3Options = {
  waitMs: 30_000,
  partMs: 300_000,
  partBytes: 8 * 1024 * 1024,
  clock: (told) => told,
}

const named = /^[A-Za-z][A-Za-z0-9.-]*$/

/**
 * The target that a bucket is. Nothing is kept between verbs: each has its own client and credentials. Verbs also
 * reject with `unsafe`, for an endpoint in the clear, and `delete` with `backup_locked`, for what an object
 * lock keeps. When `put` rejects, an object may be there in one case, and then whole: no answer came any more
 * at its very end.
 */
export function s3Target(place: S3Place, options: Partial<S3Options> = {}): BackupTarget {
  const own = { ...DEFAULTS, ...options }
  const base = place.prefix === '' ? '' : `${place.prefix}/`
  const visit = (attempted: string): Promise<S3Visit> => visitS3(place, attempted, own)
  const objectOf = (name: string) => ({ Bucket: place.bucket, Key: `${base}${name}` })

  return Object.freeze<BackupTarget>({
    description: nameOf(place),
    place: { kind: 's3' as const, ...place },

    async list(_, folder) {
      using s3 = await visit('list the backups')
      return await list(s3, place.bucket, base, folder)
    },

    async put(given: Upload) {
      if (!named.test(given.name)) {
        const message = `Cannot put ${quote(given.name)} in ${nameOf(place)}: it is not a name for a backup`
        throw new SottoError('target_unavailable', message)
      }
      using s3 = await visit(`put ${quote(given.name)}`)
      const key = `${base}${given.name}`
      await putObject({ visit: s3, place, key, upload: given, limits: own })
    },

    async get(name: string) {
      if (!named.test(name)) throw missing(place, name)
      const s3 = await visit(`get ${quote(name)}`)
      try {
        const command = new s3.sdk.GetObjectCommand(objectOf(name))
        const answer = await s3.send(command, { but: ['NoSuchKey'] })
        if (answer === undefined) throw missing(place, name)
        return pieces(s3, answer.Body as Body, answer.ContentLength ?? 0, own.waitMs)
      } catch (error) {
        s3[Symbol.dispose]()
        throw error
      }
    },

    async delete(name: string) {
      if (!named.test(name)) return
      using s3 = await visit(`delete ${quote(name)}`)
      await refuseLocked(s3, objectOf(name))
      await s3.send(new s3.sdk.DeleteObjectCommand(objectOf(name)))
    },
  })
}

async function list(
  { sdk, send, failure }: S3Visit,
  Bucket: string,
  base: string,
  folder: (name: string) => void = () => {},
) {
  const found: TargetObject[] = []
  let ContinuationToken: string | undefined
  do {
    const command = new sdk.ListObjectsV2Command({
      Bucket,
      Prefix: base,
      Delimiter: '/',
      ...(ContinuationToken !== undefined && { ContinuationToken }),
    })
    const page = await send(command)
    for (const { Key = '', Size = 0, ETag } of page?.Contents ?? []) {
      const name = Key.slice(base.length)
      if (named.test(name)) found.push({ name, size: Size, version: ETag })
    }
    for (const { Prefix = '' } of page?.CommonPrefixes ?? []) {
      folder(Prefix.slice(base.length).replace(/\/$/, ''))
    }
    const next = page?.IsTruncated === true ? (page.NextContinuationToken ?? '') : undefined
    // Part of a list would be taken for all of it.
    if (next === '' || (next !== undefined && next === ContinuationToken)) {
      throw failure(new Lacking('the rest of the list'))
    }
    ContinuationToken = next
  } while (ContinuationToken !== undefined)
  return found.toSorted((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)))
}

type Body = AsyncIterable<Uint8Array> & { destroy(): void }

/** The bytes of an answer as they come. The visit ends with them, also when the caller stops early. */
async function* pieces(
  s3: S3Visit,
  body: Body,
  size: number,
  waitMs: number,
): AsyncGenerator<Uint8Array> {
  const chunks = body[Symbol.asyncIterator]()
  let come = 0
  try {
    for (;;) {
      const next = await within(waitMs, () => chunks.next()).catch((error: unknown) => {
        throw s3.failure(error, ` after ${come} of ${size} bytes`)
      })
      if (next.done === true) return
      come += next.value.byteLength
      yield next.value
    }
  } finally {
    body.destroy()
    s3[Symbol.dispose]()
  }
}

/** In a bucket with versions a delete only hides: it would hide what a lock is there to keep. */
async function refuseLocked(
  { sdk, send, time }: S3Visit,
  object: { readonly Bucket: string; readonly Key: string },
): Promise<void> {
  const found = await send(new sdk.GetObjectRetentionCommand(object), {
    but: ['NoSuchKey', 'NoSuchObjectLockConfiguration', 'InvalidRequest'],
  })
  const until = found?.Retention?.RetainUntilDate
  if (until === undefined || until <= time()) return
  throw new SottoError(
    'backup_locked',
    `Cannot delete ${quote(object.Key)} in s3://${object.Bucket}: an object lock keeps it until ${until.toISOString()}`,
    { hint: 'It can be deleted when the lock has ended.' },
  )
}

function missing(place: S3Place, name: string): SottoError {
  return new SottoError('no_backup', `There is no backup ${quote(name)} in ${nameOf(place)}`, {
    hint: `\`sotto backup list ${nameOf(place)}\` shows which there are.`,
  })
}
