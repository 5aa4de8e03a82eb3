/** A certificate and its private key, checked before TLS has to rely on them. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { quote, SottoError } from '../../../client/api/errors.ts'
import type { CertificatePair } from '../../identity/tailscale/pair.ts'

/** A pair that fits together and is in its time. */
export interface CheckedPair extends CertificatePair {
  readonly beganAt: Date
  readonly endsAt: Date
  /** Whether clients that ask for `host` accept the certificate. */
  covers(host: string): boolean
}

/** What a pair is checked against. */
export interface PairExpectations {
  /** Where it comes from, in words for the operator. */
  readonly origin: string
  readonly now: Date
  /** A name that it must cover. */
  readonly name?: string
}

const USUAL_HINT =
  'It must be PEM with its chain after it, in its time, and the key the one that it was made for.'

/** Checks `pair`. Throws `local`, saying what is wrong, when TLS with it would fail. */
export function checkKeyPair(
  pair: CertificatePair,
  { origin, now, name }: PairExpectations,
): CheckedPair {
  const refuse = (problem: string, hint: string = USUAL_HINT, cause?: unknown): never => {
    throw new SottoError('local', `Cannot use the certificate ${origin}: ${problem}`, {
      hint,
      ...(cause !== undefined && { cause }),
    })
  }
  if (pair.certificate.includes('PRIVATE KEY'))
    refuse('there is a private key among the certificates')
  const leaf = parsed(() => new X509Certificate(pair.certificate))
  if (!leaf) return refuse('it is not a certificate in PEM form')
  const key = parsed(() => createPrivateKey(pair.key))
  if (!key) return refuse('its key is not a private key in PEM form, or needs a passphrase')
  if (!leaf.checkPrivateKey(key)) refuse('its key belongs to another certificate')
  const beganAt = new Date(leaf.validFrom)
  const endsAt = new Date(leaf.validTo)
  if (endsAt <= now) refuse(`it ended at ${endsAt.toISOString()}`)
  if (beganAt > now) {
    refuse(`it begins at ${beganAt.toISOString()} only`, 'Check the clock of this machine.')
  }
  const covers = (host: string): boolean => leaf.checkHost(host, { subject: 'never' }) !== undefined
  if (name !== undefined && !covers(name)) refuse(`it is not for ${quote(name)}`)
  try {
    createSecureContext({ cert: pair.certificate, key: pair.key })
  } catch (cause) {
    refuse('TLS does not take it', undefined, cause)
  }
  return { ...pair, beganAt, endsAt, covers }
}

function parsed<T extends X509Certificate | KeyObject>(parse: () => T): T | undefined {
  try {
    return parse()
  } catch {
    return undefined
  }
}
