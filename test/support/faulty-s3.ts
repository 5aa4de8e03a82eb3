/** A proxy before an S3 server that does what a network or an unwell S3 does, and records what it is asked. */
import type { IncomingHttpHeaders } from 'node:http'
import { type FaultProxy, type Head, startFaultProxy } from './fault-proxy.ts'

/** One call that came in. */
export interface S3Call {
  /** As IAM and the SDK name it, such as `PutObject`. */
  readonly operation: string
  /** The path with its query: bucket and key, path-style. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly bytes: number
}

/** A proxy that is up. */
export type FaultyS3 = FaultProxy<S3Call>

/** Starts a proxy on loopback before the S3 server at `upstream`. */
export function startFaultyS3(upstream: string): Promise<FaultyS3> {
  return startFaultProxy<S3Call>(upstream, {
    operationOf,
    read: (operation, { url, headers }, body) => ({ operation, url, headers, bytes: body.length }),
    refuse: ({ type, message = type, status = 400 }) => ({
      status,
      type: 'application/xml',
      body: `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${type}</Code><Message>${message}</Message></Error>`,
    }),
  })
}

function operationOf({ method, url }: Head): string {
  const { pathname, searchParams: query } = new URL(url, 'http://s3')
  const object = pathname.split('/').length > 2 && !pathname.endsWith('/')
  const operation = object ? onObject(method, query) : onBucket(method, query)
  return operation ?? `${method} ${url}`
}

function onObject(method: string, query: URLSearchParams): string | undefined {
  if (query.has('retention')) return `${method === 'GET' ? 'Get' : 'Put'}ObjectRetention`
  if (query.has('uploads')) return 'CreateMultipartUpload'
  if (query.has('uploadId')) {
    return { PUT: 'UploadPart', POST: 'CompleteMultipartUpload', DELETE: 'AbortMultipartUpload' }[
      method
    ]
  }
  return { PUT: 'PutObject', GET: 'GetObject', HEAD: 'HeadObject', DELETE: 'DeleteObject' }[method]
}

function onBucket(method: string, query: URLSearchParams): string | undefined {
  if (query.has('uploads')) return 'ListMultipartUploads'
  return { GET: 'ListObjectsV2', HEAD: 'HeadBucket', PUT: 'CreateBucket' }[method]
}
