/**
 * Puts an object in a bucket, on the condition that there is none of its name: as one, or in parts where it is
 * large, one after another, so that no more than one part is in memory.
 */
import { hash, randomBytes } from 'node:crypto'
import { quote, SottoError } from '../../../client/api/errors.ts'
import { Lacking } from '../../aws/failures.ts'
import { parseName } from '../name.ts'
import { nameOf, type S3Place } from './s3-place.ts'
import type { S3Visit, SendOptions } from './s3-visit.ts'
import type { Upload } from './target.ts'

/** How an upload is made. */
export interface UploadLimits {
  /** How long putting one part may take with all attempts, in milliseconds. */
  readonly partMs: number
  /** Bytes of a part; an object of no more is put as one. S3 wants 5 MiB at least. */
  readonly partBytes: number
}

/** What is put where. */
interface UploadParts {
  readonly visit: S3Visit
  readonly place: S3Place
  readonly key: string
  readonly upload: Upload
  readonly limits: UploadLimits
}

/** How many parts S3 takes. */
const MAX_PARTS = 10_000
/** Parts that were left for so long belong to no upload that still runs. */
const PARTS_KEPT_MS = 24 * 3600 * 1000
const DAY_MS = 24 * 3600 * 1000
/** A server that stops does not wait long for parts to be thrown away. */
const ABORT_MS = 10_000
/** Says on an object which upload made it, for when the answer is lost. */
const UPLOADED_BY = 'sotto-upload'
/** The name is taken, or is being taken; also by an earlier attempt of the same call. */
const TAKEN = ['PreconditionFailed', 'ConditionalRequestConflict']

/**
 * Puts `upload` at `key`. When this resolves it is there, whole. When it rejects it is not, but for one case: no
 * answer came any more at the very end. Rejects with `target_unavailable`, and with what the content rejects with.
 */
export async function putObject(parts: UploadParts): Promise<void> {
  await new ObjectUpload(parts).run()
}

class ObjectUpload {
  readonly #parts: UploadParts
  readonly #object: { readonly Bucket: string; readonly Key: string }
  readonly #id = randomBytes(16).toString('hex')

  constructor(parts: UploadParts) {
    this.#parts = parts
    this.#object = { Bucket: parts.place.bucket, Key: parts.key }
  }

  async run(): Promise<void> {
    const { upload, limits } = this.#parts
    const most = limits.partBytes * MAX_PARTS
    if (upload.size > most) {
      const why = `it has ${upload.size} bytes, and ${most} are the most`
      throw this.#refuse(why, 'Use a directory.')
    }
    await (upload.size <= limits.partBytes ? this.#putWhole() : this.#putParts())
  }

  async #putWhole(): Promise<void> {
    const made = await this.#made()
    let Body: Buffer = Buffer.alloc(0)
    for await (const part of this.#pieces()) Body = part
    const { sdk, send } = this.#parts.visit
    const command = new sdk.PutObjectCommand({
      ...this.#object,
      ...made,
      Body,
      ContentLength: Body.length,
      ChecksumSHA256: hash('sha256', Body, 'base64'),
      IfNoneMatch: '*',
    })
    await this.#settle(() => send(command, this.#sends(TAKEN)))
  }

  async #putParts(): Promise<void> {
    const { sdk, send } = this.#parts.visit
    const begin = new sdk.CreateMultipartUploadCommand({
      ...this.#object,
      ...(await this.#made()),
      ChecksumAlgorithm: 'SHA256',
    })
    const UploadId = (await send(begin, this.#sends()))?.UploadId
    if (UploadId === undefined) throw this.#parts.visit.failure(new Lacking('the id of the upload'))
    await this.#abortForgotten(UploadId)
    try {
      const Parts: { PartNumber: number; ETag: string | undefined; ChecksumSHA256: string }[] = []
      for await (const Body of this.#pieces()) {
        const ChecksumSHA256 = hash('sha256', Body, 'base64')
        const part = { PartNumber: Parts.length + 1, ChecksumSHA256 }
        const command = new sdk.UploadPartCommand({ ...this.#object, ...part, UploadId, Body })
        const kept = await send(command, this.#sends())
        Parts.push({ ...part, ETag: kept?.ETag })
      }
      const command = new sdk.CompleteMultipartUploadCommand({
        ...this.#object,
        UploadId,
        MultipartUpload: { Parts },
        IfNoneMatch: '*',
      })
      // Where an earlier attempt completed it, there is no such upload any more.
      await this.#settle(() => send(command, this.#sends([...TAKEN, 'NoSuchUpload'])))
    } catch (error) {
      await this.#abort(this.#object.Key, UploadId).catch(() => {})
      throw error
    }
  }

  /** Takes the last step, and makes sure of what came of it: an answer may be lost where the step was not. */
  async #settle(step: () => Promise<object | undefined>): Promise<void> {
    let failure: Error | undefined
    const answer = await step().catch((error: unknown) => {
      failure = error as Error
    })
    if (failure && this.#parts.upload.signal?.aborted) throw failure
    const { sdk, send } = this.#parts.visit
    const head = new sdk.HeadObjectCommand(this.#object)
    const found = await send(head, { but: ['NotFound', 'NoSuchKey'] }).catch((error: unknown) => {
      throw failure ?? error
    })
    if (found?.Metadata?.[UPLOADED_BY] === this.#id) {
      const lack = this.#lackOf(found)
      if (lack === undefined) return
      await this.#remove()
      throw (
        failure ?? this.#refuse(lack, 'It was deleted again. Look at what answers at the endpoint.')
      )
    }
    if (failure) throw failure
    // It is so only where S3 refused the step for it.
    if (found && answer === undefined) {
      throw this.#refuse('the name is taken', 'A backup is never replaced.')
    }
    if (found) {
      const why = 'the bucket says that it kept it, and shows another object in its place'
      throw this.#refuse(why, 'Look at what answers at the endpoint.')
    }
    throw this.#refuse(
      answer === undefined
        ? 'another upload of the name is under way'
        : 'the bucket did not keep it',
      'Try again, and look at the health of the service.',
    )
  }

  /** What an object that is ours is not as it was put: services were seen that refuse a lock and keep the object. */
  #lackOf(found: {
    ContentLength?: number | undefined
    ObjectLockMode?: string | undefined
  }): string | undefined {
    const { size } = this.#parts.upload
    const { lock } = this.#parts.place
    if (found.ContentLength !== size)
      return `the bucket kept ${found.ContentLength} of ${size} bytes`
    if (lock && found.ObjectLockMode !== lock.mode) return 'the bucket put no object lock on it'
    return undefined
  }

  /** The content in parts of which all but the last are full. Rejects where its size is not what was said. */
  async *#pieces(): AsyncGenerator<Buffer> {
    const { content, size, signal } = this.#parts.upload
    const { partBytes } = this.#parts.limits
    let part = Buffer.allocUnsafe(Math.min(partBytes, size))
    let filled = 0
    let come = 0
    for await (const piece of content) {
      signal?.throwIfAborted()
      come += piece.byteLength
      if (come > size) break
      for (let at = 0; at < piece.byteLength; ) {
        const copied = Math.min(part.length - filled, piece.byteLength - at)
        part.set(piece.subarray(at, at + copied), filled)
        at += copied
        filled += copied
        if (filled < part.length) continue
        // The last part waits for the end: its size is known to be right then.
        const left = size - come + piece.byteLength - at
        if (left === 0) continue
        yield part
        part = Buffer.allocUnsafe(Math.min(partBytes, left))
        filled = 0
      }
    }
    signal?.throwIfAborted()
    if (come !== size) {
      throw this.#refuse(
        come > size
          ? `more than the ${size} bytes came that were due`
          : `${come} bytes came where ${size} were due`,
        'Nothing was kept of it.',
      )
    }
    yield part
  }

  /** What an object is made with. A lock ends by the clock of the service, which is asked for it. */
  async #made() {
    const { visit, place, upload } = this.#parts
    const { lock } = place
    const head = new visit.sdk.HeadObjectCommand(this.#object)
    // Any answer tells the time; what is wrong with the bucket, the upload tells.
    if (lock) await visit.send(head, { signal: upload.signal }).catch(() => {})
    return {
      ContentType: 'application/octet-stream',
      Metadata: { [UPLOADED_BY]: this.#id },
      ...(lock && {
        ObjectLockMode: lock.mode,
        ObjectLockRetainUntilDate: new Date(visit.time().getTime() + lock.days * DAY_MS),
      }),
    }
  }

  #sends(but: readonly string[] = []): SendOptions {
    return { but, signal: this.#parts.upload.signal, ms: this.#parts.limits.partMs }
  }

  async #abort(Key: string, UploadId: string): Promise<void> {
    const { sdk, send } = this.#parts.visit
    const { Bucket } = this.#object
    await send(new sdk.AbortMultipartUploadCommand({ Bucket, Key, UploadId }), { ms: ABORT_MS })
  }

  /**
   * Throws away parts of uploads of the same store that a process which ended long ago left. The service's clock
   * says how old they are, next to the upload `own`, which was just begun. Does nothing where that is not permitted.
   */
  async #abortForgotten(own: string): Promise<void> {
    const { sdk, send } = this.#parts.visit
    const { Bucket, Key } = this.#object
    const Prefix = Key.slice(0, Key.lastIndexOf('/') + 1)
    const storeOf = (key = '') => parseName(key.slice(Prefix.length))?.storeId
    try {
      const command = new sdk.ListMultipartUploadsCommand({ Bucket, Prefix, Delimiter: '/' })
      const { Uploads = [] } = (await send(command)) ?? {}
      const now = Uploads.find(({ UploadId }) => UploadId === own)?.Initiated?.getTime() ?? 0
      for (const { Key: key, UploadId, Initiated } of Uploads) {
        if (key === undefined || UploadId === undefined || !Initiated) continue
        if (storeOf(key) === undefined || storeOf(key) !== storeOf(Key)) continue
        if (Initiated.getTime() < now - PARTS_KEPT_MS) await this.#abort(key, UploadId)
      }
    } catch {
      // A rule of the bucket may do it.
    }
  }

  async #remove(): Promise<void> {
    const { sdk, send } = this.#parts.visit
    await send(new sdk.DeleteObjectCommand(this.#object))
  }

  #refuse(why: string, hint: string): SottoError {
    return new SottoError(
      'target_unavailable',
      `Cannot put ${quote(this.#parts.upload.name)} in ${nameOf(this.#parts.place)}: ${why}`,
      { hint },
    )
  }
}
