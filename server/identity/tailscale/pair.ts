/** A certificate and its key in PEM, as tailscaled gives them: one text with the key first. */

/** A chain of certificates, the server's own first, and the private key of that one. */
export interface CertificatePair {
  readonly certificate: string
  readonly key: string
}

const blocks = /-----BEGIN ([A-Z0-9 ]+)-----\r?\n[A-Za-z0-9+/=\r\n]+-----END \1-----\r?\n?/g

/**
 * The pair in `text`, or undefined when it is anything but one private key and one certificate or
 * more: what cannot be told apart for certain could show the key to callers.
 */
export function splitPair(text: string): CertificatePair | undefined {
  const keys: string[] = []
  const certificates: string[] = []
  for (const [block, label = ''] of text.matchAll(blocks)) {
    if (label === 'CERTIFICATE') certificates.push(block)
    else if (label.endsWith('PRIVATE KEY')) keys.push(block)
    else return undefined
  }
  const [key] = keys
  if (key === undefined || keys.length > 1 || certificates.length === 0) return undefined
  if (text.replaceAll(blocks, '').trim() !== '') return undefined
  return { certificate: certificates.join(''), key }
}
