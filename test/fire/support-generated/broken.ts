/** What is no HTTP, or does not come to its end, and what a few changed bytes make of a request. */
import type { Random } from '../support-crash/random.ts'
import { refusals, type Verdict } from './draft.ts'

/** Bytes for a connection of their own, and the answer to them. */
export interface Broken {
  readonly bytes: Buffer
  readonly verdict: Verdict
  /** Whether nothing more is sent: the server must not wait for it. */
  readonly ends: boolean
}

const head =
  'Host: localhost\r\nContent-Type: application/json\r\nSec-X-Tailscale-No-Browsers: setec\r\n'
const body = '{"Name":"x"}'

/** Bytes that are no request. `good` is one. */
export function broken(random: Random, good: Buffer): Broken {
  const post = `POST /api/get HTTP/1.1\r\n${head}`
  const texts = [
    'GARBAGE\r\n\r\n',
    '\0\0\0\0',
    '\x16\x03\x01\x02\x00\x01\x00',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    `FOO /api/get HTTP/1.1\r\n${head}\r\n`,
    `post /api/get HTTP/1.1\r\n${head}\r\n`,
    `POST /api/get HTTP/3.0\r\n${head}\r\n`,
    `POST /api/get\r\n${head}\r\n`,
    `POST  HTTP/1.1\r\n${head}\r\n`,
    `POST /api/get HTTP/1.1 x\r\n${head}\r\n`,
    `CONNECT example.com:443 HTTP/1.1\r\n${head}\r\n`,
    `${post}Content-Length: -1\r\n\r\n`,
    `${post}Content-Length: 1e3\r\n\r\n`,
    `${post}Content-Length: 99999999999999999999\r\n\r\n`,
    `${post}Content-Length: 12\r\nContent-Length: 13\r\n\r\n${body}`,
    `${post}Content-Length: 12\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    `${post}Transfer-Encoding: gzip\r\n\r\n`,
    `${post}Transfer-Encoding: chunked\r\n\r\nzz\r\n`,
    `${post}Transfer-Encoding: chunked\r\n\r\n3\r\n{"Nam`,
    `${post}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n`,
    `${post}X y: a\r\n\r\n`,
    `${post}X: a\0b\r\n\r\n`,
    `${post}X: a\nY: b\r\n\r\n`,
    `${post} folded\r\n\r\n`,
  ]
  const kind = random.below(10)
  const verdict = refusals.badRequest
  if (kind < 6) {
    const text = random.pick(texts)
    const said = text.startsWith('CONNECT') ? refusals.notPost : verdict
    return { bytes: Buffer.from(text, 'latin1'), verdict: said, ends: random.chance(0.5) }
  }
  if (kind < 8) {
    const noise = Buffer.from(
      Array.from({ length: 1 + random.below(300) }, () => random.below(256)),
    )
    // Line ends before a request are no part of it.
    return { bytes: Buffer.concat([Buffer.from([1]), noise]), verdict, ends: true }
  }
  return { bytes: good.subarray(0, 1 + random.below(good.length - 1)), verdict, ends: true }
}

/** `good` with a few of its bytes changed, or more than a few. */
export function mutated(random: Random, good: Buffer): Buffer {
  const bytes = [...good]
  const edits = 1 + random.below(random.pick([1, 3, 8]))
  for (let count = 0; count < edits; count++) {
    const at = random.below(bytes.length + 1)
    switch (random.below(6)) {
      case 0:
        bytes.splice(at, 1, random.below(256))
        break
      case 1:
        bytes.splice(at, 1)
        break
      case 2:
        bytes.splice(at, 0, random.below(256))
        break
      case 3:
        bytes.splice(at, 0, ...Buffer.from(random.pick(pieces), 'latin1'))
        break
      case 4:
        bytes.splice(at, 0, ...bytes.slice(at, at + random.below(40)))
        break
      default:
        bytes[at % bytes.length] = (bytes[at % bytes.length] as number) ^ (1 << random.below(8))
    }
  }
  return Buffer.from(bytes)
}

const pieces = [
  '\r\n',
  '\r\n\r\n',
  '\n',
  '\0',
  '"',
  '\\',
  '{',
  '}',
  ':',
  ',',
  'null',
  '\xff',
  '%00',
  '\r\nContent-Length: 5',
  '\r\nTransfer-Encoding: chunked',
  '\r\nConnection: close',
  '\r\nExpect: 100-continue',
  '4294967296',
  '-1',
]
