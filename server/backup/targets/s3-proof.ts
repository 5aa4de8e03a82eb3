/** By what an answer is known to be that of S3, or of a service that speaks as it does. */
import type { Proof, RawAnswer } from '../../aws/proof.ts'

/** How the document of an answer is called, for calls that have one. Services differ in how the names end. */
const documents: Readonly<Record<string, RegExp>> = {
  ListObjectsV2Command: /^List(?:Bucket|Objects)/,
  GetObjectRetentionCommand: /Retention/,
  CreateMultipartUploadCommand: /^(?:Initiate|Create)MultipartUpload/,
  CompleteMultipartUploadCommand: /^CompleteMultipartUpload/,
  ListMultipartUploadsCommand: /^ListMultipartUploads/,
}
/** Calls that are answered with nothing. */
const silent: readonly string[] = ['DeleteObjectCommand', 'AbortMultipartUploadCommand']
/** The first element of a document: S3 may send blanks before it, to keep a connection. */
const root = /^\s*(?:<\?xml[^>]*\?>\s*)?<([A-Za-z]+)[\s/>]/
/** What no backup is, and pages of other servers are. */
const page = /^(?:text\/|application\/(?:json|xml))/

/** Every answer of S3 has the form of its call: a document, an ETag, or nothing at all. */
export const s3Proof: Proof = {
  streams: ['GetObjectCommand'],
  isOwn({ command, status, headers, text }: RawAnswer) {
    const document = rootOf(text)
    // An answer to HEAD has no body that could say more.
    if (status >= 300) return command === 'HeadObjectCommand' || document === 'Error'
    if (silent.includes(command)) return status === 204
    const due = documents[command]
    if (due === undefined) {
      return headers['etag'] !== undefined && !page.test(headers['content-type'] ?? '')
    }
    // S3 may find out late that it cannot do it: the SDK reads that.
    return due.test(document) || document === 'Error'
  },
}

function rootOf(text = ''): string {
  return root.exec(text)?.[1] ?? ''
}
