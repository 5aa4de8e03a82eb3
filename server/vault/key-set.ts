/** The public keys of a cluster, by their ids, from a file or from where the cluster publishes them. */
import { createPublicKey, type JsonWebKeyInput, type KeyObject } from 'node:crypto'
import { request } from 'undici'
import { asSottoError, quote, SottoError } from '../../client/api/errors.ts'
import { refuseForeign } from '../../client/platform/owned.ts'
import { readTextFile } from '../../client/platform/text-file.ts'
import type { Timers } from '../../client/platform/timers.ts'

/** How a key signs. */
export type Algorithm = 'RS256' | 'ES256'

/** A key, and the one way of signing that it is for. */
export interface VerifyingKey {
  readonly key: KeyObject
  readonly algorithm: Algorithm
}

/** A key as a set has it. */
type Jwk = JsonWebKeyInput['key']

/** Reads the text of a key set. */
export type ReadKeys = () => Promise<string>

/** How long what was read counts, and how soon it is read again for a key that it lacks, in milliseconds. */
const KEPT_MS = 5 * 60_000
const AGAIN_MS = 10_000
/** How long a server of keys may take, in milliseconds. */
const WAIT_MS = 5000
const MAX_BYTES = 256 * 1024
/** Bits of RSA below which a key is none. */
const RSA_BITS = 2048

/** Keys that are read when they are needed. */
export class KeySet {
  readonly #read: ReadKeys
  readonly #timers: Timers
  #keys: ReadonlyMap<string, VerifyingKey> = new Map()
  #readAt = Number.NEGATIVE_INFINITY
  #reading: Promise<void> | undefined

  constructor(read: ReadKeys, timers: Timers) {
    this.#read = read
    this.#timers = timers
  }

  /** The key `id`; undefined where there is none. Rejects with `internal` where the set cannot be read. */
  async find(id: string): Promise<VerifyingKey | undefined> {
    const age = this.#timers.now() - this.#readAt
    if (age > (this.#keys.has(id) ? KEPT_MS : AGAIN_MS)) {
      this.#reading ??= this.#refresh().finally(() => (this.#reading = undefined))
      await this.#reading
    }
    return this.#keys.get(id)
  }

  async #refresh(): Promise<void> {
    try {
      this.#keys = keysIn(await this.#read())
      this.#readAt = this.#timers.now()
    } catch (error) {
      // Keys that may have been withdrawn do not count on for being out of reach.
      this.#keys = new Map()
      throw new SottoError('internal', `Cannot read the keys: ${asSottoError(error).message}`, {
        cause: error,
        hint: 'Look at --vault-keys.',
      })
    }
  }
}

/**
 * What reads the key set at `place`, a file or a URL. Throws `unsafe` where others could change the file: it says who is
 * believed.
 */
export function readerOf(place: string): ReadKeys {
  if (/^https?:/i.test(place)) return () => fetched(place)
  return () => {
    refuseForeign(place, `the key set ${quote(place)}`)
    return readTextFile(place, 'key set')
  }
}

async function fetched(url: string): Promise<string> {
  try {
    const signal = AbortSignal.timeout(WAIT_MS)
    const { statusCode, body } = await request(url, { signal })
    let text = ''
    for await (const chunk of body.setEncoding('utf8')) {
      text += String(chunk)
      if (text.length > MAX_BYTES) throw new Error('it is too long')
    }
    if (statusCode === 200) return text
    throw new Error(`it is answered with ${statusCode}`)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : 'no answer'
    throw new SottoError('internal', `${quote(url)}: ${why}`, { cause })
  }
}

/** The keys of a set, as RFC 7517 has it: those that sign in a way that counts here. Throws for what is not a set. */
export function keysIn(text: string): Map<string, VerifyingKey> {
  const { keys } = JSON.parse(text) as { readonly keys: readonly Jwk[] }
  if (!Array.isArray(keys)) throw new SottoError('internal', 'It is not a key set')
  return new Map(
    keys.flatMap((jwk: Jwk & { readonly kid?: unknown }) => {
      const found = typeof jwk.kid === 'string' && (jwk.use ?? 'sig') === 'sig' && keyOf(jwk)
      return found && found.algorithm === (jwk.alg ?? found.algorithm)
        ? [[jwk.kid, found] as const]
        : []
    }),
  )
}

function keyOf(jwk: Jwk): VerifyingKey | undefined {
  try {
    const key = createPublicKey({ key: jwk, format: 'jwk' })
    const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {}
    if (key.asymmetricKeyType === 'rsa' && modulusLength >= RSA_BITS)
      return { key, algorithm: 'RS256' }
    const isP256 = key.asymmetricKeyType === 'ec' && namedCurve === 'prime256v1'
    return isP256 ? { key, algorithm: 'ES256' } : undefined
  } catch {
    return undefined
  }
}
