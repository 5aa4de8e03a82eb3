/** Reads the body of a request within the limit that the wire sets. */
import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import { SottoError } from '../../client/api/errors.ts'
import { MAX_BODY_BYTES } from '../../client/api/types.ts'

/**
 * Resolves with the whole body as text. Rejects with `too_large` as soon as more than 2 MiB are
 * announced or have come, with `bad_request` for bytes that are not UTF-8, and with `timeout` when
 * the peer went away before the end.
 */
export function readBody(incoming: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    if (Number(incoming.headers['content-length'] ?? 0) > MAX_BODY_BYTES) return reject(tooLarge())
    const chunks: Buffer[] = []
    let bytes = 0
    incoming.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes <= MAX_BODY_BYTES) chunks.push(chunk)
      else {
        incoming.removeAllListeners('data').pause()
        reject(tooLarge())
      }
    })
    incoming.on('end', () => {
      const body = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)
      if (isUtf8(body)) resolve(body.toString('utf8'))
      else reject(new SottoError('bad_request', 'Cannot read the request: it is not UTF-8'))
    })
    incoming.on('close', () => {
      if (!incoming.complete) reject(new SottoError('timeout', 'The request ended half-way'))
    })
    incoming.on('error', () => reject(new SottoError('timeout', 'The request ended half-way')))
  })
}

function tooLarge(): SottoError {
  return new SottoError('too_large', `A request body may have ${MAX_BODY_BYTES} bytes`)
}
