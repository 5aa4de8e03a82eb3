/**
 * The `openbao-transit` key provider: a key of OpenBao's Transit engine, which never leaves it. The root key
 * goes there to be wrapped and comes back unwrapped, under a key that is derived for the store.
 */
import { randomBytes } from 'node:crypto'
import { quote, SottoError } from '../../client/api/errors.ts'
import { type Answer, checkAddress, isCleanPath, OpenBaoConnection } from '../openbao/connection.ts'
import { Session } from '../openbao/session.ts'
import { bindWrap, contextOf, damagedWrap, unbindWrap } from './bound-wrap.ts'
import { fingerprintOfPublic } from './derive.ts'
import { KEY_BYTES } from './envelope.ts'
import {
  isDerived,
  notDerived,
  otherThanTransit,
  type TransitKey,
  transitFailure,
  type TransitOperation,
} from './openbao-transit-failures.ts'
import type { KeyProvider } from './provider.ts'

const PROVIDER = 'openbao-transit'

/** How long a login may take, and a call with all its attempts, in milliseconds: together less than `bounded` waits. */
const LOGIN_MS = 5000
const CALL_MS = 12_000
const MAX_ANSWER_BYTES = 64 * 1024

/** What Transit makes: the version of the key, then base64. */
const ciphertextForm = /^vault:v[1-9]\d{0,9}:[A-Za-z0-9+/]+={0,2}$/

/** In the place of the bounds of a login and of a call, in milliseconds. */
export interface TransitTimes {
  readonly loginMs: number
  readonly callMs: number
}

/**
 * The provider for a key of Transit. Nothing is kept between calls: each logs in again, and gives back the
 * token that it got so. Calls reject within a bound, with `key_missing` when OpenBao or its key cannot be
 * used, `key_exposed` when others can read what logs in. `wrap` refuses a key that is not derived, with
 * `unsafe`. Throws `usage` for an address or a name that can be none, and `unsafe` for an address that
 * would carry the root key in the clear.
 */
export function openbaoTransitProvider(
  given: TransitKey,
  { loginMs, callMs }: TransitTimes = { loginMs: LOGIN_MS, callMs: CALL_MS },
): KeyProvider {
  checkAddress(given)
  checkNames(given)
  const id = fingerprintOf(given)

  /** Sends `body` to the key in a session of its own, and gives what `act` makes of the answers. */
  async function using<T>(act: (send: Send) => Promise<T>): Promise<T> {
    const bounds = { waitMs: loginMs, maxAnswerBytes: MAX_ANSWER_BYTES }
    const connection = new OpenBaoConnection(given, bounds)
    const session = new Session({ connection, login: given.login, keep: false })
    const common = { method: 'POST', repeatable: true, waitMs: callMs } as const
    try {
      return await act((operation, body) => {
        const path = `${given.mount}/${operation}/${given.key}`
        return session.call({ ...common, path, body })
      })
    } finally {
      await session.close()
    }
  }

  return Object.freeze({
    name: PROVIDER,

    fingerprint: () => Promise.resolve(id),

    async wrap(rootKey: Uint8Array, storeId: string) {
      const attempt = { ...given, attempted: `wrap the root key of store ${storeId}` }
      return using(async (send) => {
        // First what may get lost: whatever is mounted there might keep what it is sent.
        const chaff = randomBytes(KEY_BYTES).toString('base64')
        const tried = await send('encrypt', { plaintext: chaff })
        if (tried.ok) {
          throw ciphertextIn(tried) === undefined ? otherThanTransit(attempt) : notDerived(attempt)
        }
        if (!isDerived(tried.failure)) throw transitFailure(attempt, 'encrypt', tried.failure)
        const plaintext = Buffer.from(rootKey).toString('base64')
        const answer = await send('encrypt', { plaintext, context: derivedBy(storeId) })
        if (!answer.ok) throw transitFailure(attempt, 'encrypt', answer.failure)
        const ciphertext = ciphertextIn(answer)
        if (ciphertext === undefined) throw otherThanTransit(attempt)
        return bindWrap(storeId, Buffer.from(ciphertext, 'latin1'))
      })
    },

    async unwrap(wrapped: Uint8Array, storeId: string) {
      const attempt = { ...given, attempted: `unwrap the root key of store ${storeId}` }
      const about = `Cannot ${attempt.attempted} with ${PROVIDER} key ${id}`
      const ciphertext = Buffer.from(unbindWrap(wrapped, storeId, about)).toString('latin1')
      if (!ciphertextForm.test(ciphertext)) throw damagedWrap(about)
      return using(async (send) => {
        const answer = await send('decrypt', { ciphertext, context: derivedBy(storeId) })
        if (!answer.ok) throw transitFailure(attempt, 'decrypt', answer.failure)
        const { plaintext } = dataOf(answer)
        if (typeof plaintext !== 'string') throw otherThanTransit(attempt)
        const rootKey = Buffer.from(plaintext, 'base64')
        if (rootKey.length === KEY_BYTES) return rootKey
        rootKey.fill(0)
        throw new SottoError('key_wrong', `${about}: what was wrapped is not a root key`)
      })
    },
  })
}

type Send = (operation: TransitOperation, body: object) => Promise<Answer>

/**
 * What the key is derived with for a store: as `associated_data` would, it binds the wrap, and Transit
 * checks it when it re-wraps under a newer version of the key, too. Base64 of JSON, without a blank.
 */
function derivedBy(storeId: string): string {
  return Buffer.from(JSON.stringify(contextOf(storeId))).toString('base64')
}

/**
 * Names a key by its path, the only thing by which OpenBao names it.
 * Neither the address, which changes when OpenBao moves, nor what only a right to read the key shows.
 */
function fingerprintOf({ namespace, mount, key }: TransitKey): string {
  const path = [namespace, mount, key].filter((part) => part !== undefined).join('/')
  return fingerprintOfPublic(path)
}

type Given = Extract<Answer, { ok: true }>

function dataOf({ body }: Given): { readonly plaintext?: unknown; readonly ciphertext?: unknown } {
  return (body as { data?: object } | undefined)?.data ?? {}
}

function ciphertextIn(answer: Given): string | undefined {
  const { ciphertext } = dataOf(answer)
  return typeof ciphertext === 'string' && ciphertextForm.test(ciphertext) ? ciphertext : undefined
}

function checkNames({ key, mount }: TransitKey): void {
  const names = { '--transit-key': key, '--transit-mount': mount }
  for (const [flag, name] of Object.entries(names)) {
    if (isCleanPath(name) && (flag !== '--transit-key' || !name.includes('/'))) continue
    throw new SottoError('usage', `Cannot use ${quote(name)} as ${flag}`, {
      hint: 'Give the name alone, as OpenBao shows it.',
    })
  }
}
