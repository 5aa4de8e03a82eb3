/** Makes certificates: self-signed, for any names and any time, without a program of others. */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import type { CertificatePair } from '../../server/identity/tailscale/pair.ts'

/** How a certificate differs from one of an hour ago, for 90 days. */
export interface CertificateOptions {
  readonly from?: Date
  readonly until?: Date
}

const DAY_MS = 86_400_000

/** A certificate for `names`, which is its own authority, and its key. */
export function makePair(
  names: readonly string[],
  options: CertificateOptions = {},
): CertificatePair {
  const { from = new Date(Date.now() - 3_600_000) } = options
  const { until = new Date(from.getTime() + 90 * DAY_MS) } = options
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const ecdsaWithSha256 = sequence(objectId('2a8648ce3d040302'))
  const name = sequence(set(sequence(objectId('550403'), tagged(0x0c, Buffer.from('test')))))
  const alternatives = sequence(...names.map((each) => tagged(0x82, Buffer.from(each, 'latin1'))))
  const certificate = sequence(
    tagged(0xa0, integer(Buffer.from([2]))),
    integer(Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    ecdsaWithSha256,
    name,
    sequence(time(from), time(until)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    tagged(0xa3, sequence(sequence(objectId('551d11'), tagged(0x04, alternatives)))),
  )
  const signature = sign('sha256', certificate, privateKey)
  const whole = sequence(
    certificate,
    ecdsaWithSha256,
    tagged(0x03, Buffer.concat([Buffer.from([0]), signature])),
  )
  return {
    certificate: `-----BEGIN CERTIFICATE-----\n${whole.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
  }
}

function tagged(tag: number, content: Buffer): Buffer {
  const { length } = content
  const size =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}

function sequence(...parts: Buffer[]): Buffer {
  return tagged(0x30, Buffer.concat(parts))
}

function set(...parts: Buffer[]): Buffer {
  return tagged(0x31, Buffer.concat(parts))
}

function integer(bytes: Buffer): Buffer {
  return tagged(0x02, bytes)
}

function objectId(hex: string): Buffer {
  return tagged(0x06, Buffer.from(hex, 'hex'))
}

/** GeneralizedTime, to the second. */
function time(date: Date): Buffer {
  const text = date.toISOString().replace(/\.\d+/, '').replace(/[-:T]/g, '')
  return tagged(0x18, Buffer.from(text))
}
