/** Node's servers of HTTP and HTTPS within our limits, before anything is served on them. */
import { createServer, type Server } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { Certificates } from './certificates/certificates.ts'
import type { CheckedPair } from './certificates/key-pair.ts'

/** Limits of time and size that Node keeps. Times are in milliseconds. */
export interface NodeLimits {
  readonly headersTimeout: number
  readonly requestTimeout: number
  readonly keepAliveTimeout: number
  readonly maxHeaderSize: number
}

/** A server of HTTP, or with `certificates` of HTTPS; a new certificate drops no connection. */
export function nodeServer(
  { headersTimeout, requestTimeout, keepAliveTimeout, maxHeaderSize }: NodeLimits,
  certificates: Certificates | undefined,
): Server | TlsServer {
  const options = {
    headersTimeout,
    requestTimeout,
    keepAliveTimeout,
    maxHeaderSize,
    connectionsCheckingInterval: Math.min(1000, headersTimeout),
    noDelay: true,
    // Node's own refusal has none of our headers.
    requireHostHeader: false,
  }
  if (!certificates) return createServer(options)
  const server = createTlsServer({
    ...options,
    ...contextOf(certificates.current),
    handshakeTimeout: headersTimeout,
    allowHalfOpen: true,
  })
  const forget = certificates.onNew((pair) => server.setSecureContext(contextOf(pair)))
  server.once('close', forget)
  return server
}

function contextOf({ certificate, key }: CheckedPair) {
  return { cert: certificate, key, minVersion: 'TLSv1.2' as const }
}
