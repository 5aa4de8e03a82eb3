/** Reads the body of a request within the limit that the wire sets. */
import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import { SottoError } from '../../client/api/errors.ts'
import { MAX_BODY_BYTES } from '../../client/api/types.ts'
import { UNCOUNTED_BYTES, type Exchange } from './exchange.ts'

/** A body as it came. */
export interface Body {
  readonly chunks: readonly Buffer[]
  readonly bytes: number
}

/** Pieces that a body may come in, in addition to one for each so many of its bytes: each costs as much as many bytes. */
const PIECES = 256
const BYTES_PER_PIECE = 512

/**
 * Resolves with the whole body. Rejects with `too_large` as soon as more than 2 MiB are announced or
 * have come, with `overloaded` when the server cannot hold it, with `timeout` when it comes too
 * slowly, and with `bad_request` for a body cut short, or in so many pieces that its connection is cut.
 */
export function readBody(exchange: Exchange): Promise<Body> {
  const { incoming } = exchange
  return new Promise((resolve, reject) => {
    if (announcedBytes(incoming) > MAX_BODY_BYTES) return reject(tooLarge())
    if (incoming.destroyed) return reject(cutShort())
    const chunks: Buffer[] = []
    let bytes = 0
    let whole = false
    const refuse = (error: unknown): void => {
      chunks.length = 0
      // The connection cannot serve its next request before this body is read.
      incoming.removeAllListeners('data').resume()
      reject(error)
    }
    exchange.whenBodyFails(refuse)
    incoming.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > MAX_BODY_BYTES) return refuse(tooLarge())
      if (bytes > UNCOUNTED_BYTES) {
        try {
          exchange.hold(chunk.length)
        } catch (error) {
          return refuse(error)
        }
      }
      chunks.push(chunk)
      if (chunks.length <= PIECES + bytes / BYTES_PER_PIECE) return
      exchange.connection.cut()
      refuse(cutShort())
    })
    incoming.on('end', () => {
      whole = true
      // What listens here lives as long as the request, and the body need not.
      resolve({ chunks: chunks.splice(0), bytes })
    })
    incoming.on('close', () => {
      // Every request is closed; to make an error of each would cost more than to read it.
      if (!whole) reject(cutShort())
    })
  })
}

/** The text of a body. Throws `bad_request` for bytes that are not UTF-8. */
export function textOf({ chunks }: Body): string {
  const body = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)
  if (isUtf8(body)) return body.toString('utf8')
  throw new SottoError('bad_request', 'Cannot read the request: it is not UTF-8')
}

/** Bytes that the request says its body has; 0 where it does not say. */
export function announcedBytes({ headers }: IncomingMessage): number {
  return Number(headers['content-length'] ?? 0)
}

function cutShort(): SottoError {
  return new SottoError('bad_request', 'The request ended half-way')
}

function tooLarge(): SottoError {
  return new SottoError('too_large', `A request body may have ${MAX_BODY_BYTES} bytes`)
}
