/**
 * The `recovery` key provider: an age identity that is kept offline. Wrapping needs its recipient
 * alone, which is public; unwrapping needs the identity itself, in a file.
 */
import { quote, SottoError } from '../../client/api/errors.ts'
import { rootKeyBinding } from './binding.ts'
import { fingerprintOfPublic } from './derive.ts'
import { KEY_BYTES } from './envelope.ts'
import { linesOf, readPrivateText } from '../../client/platform/text-file.ts'
import type { KeyProvider } from './provider.ts'

/** More bytes than any identity file has: the comment may name a post-quantum recipient. */
const MAX_FILE_BYTES = 16 * 1024

const PROVIDER = 'recovery'

/** What age-keygen makes: X25519, or hybrid with ML-KEM. Those of plugins are not opened here. */
const recipientPattern = /^age1(?:pq1)?[02-9ac-hj-np-z]+$/
const identityPattern = /^AGE-SECRET-KEY-(?:PQ-)?1[02-9AC-HJ-NP-Z]+$/

/**
 * The provider for a recipient (`age1…`). It wraps; `unwrap` rejects with `key_missing`, since that
 * needs the identity. Rejects with `usage` for a text that is not a recipient.
 */
export async function recipientProvider(recipient: string): Promise<KeyProvider> {
  const { Encrypter } = await import('age-encryption')
  try {
    if (!recipientPattern.test(recipient)) throw new Error('not of this kind')
    new Encrypter().addRecipient(recipient)
  } catch {
    throw notRecipient(recipient)
  }
  return provider(
    async () => recipient,
    async (storeId) => {
      throw new SottoError(
        'key_missing',
        `Cannot unwrap the root key of store ${storeId} with recovery key ${fingerprintOfPublic(recipient)}: that needs its identity, which is kept offline`,
        { hint: 'Give the file of the identity: --recovery-identity FILE' },
      )
    },
  )
}

/**
 * The provider whose identity is in the file at `path`, as age-keygen writes it. Every call reads
 * the file again. Calls reject with `key_missing` when the file does not exist, cannot be read,
 * or does not hold one identity; with `key_exposed` as for a local key.
 */
export function identityProvider(path: string): KeyProvider {
  return provider(
    async () => recipientOf(path, await readIdentity(path)),
    async () => readIdentity(path),
  )
}

function provider(
  recipient: () => Promise<string>,
  identity: (storeId: string) => Promise<string>,
): KeyProvider {
  return Object.freeze({
    name: PROVIDER,

    async fingerprint() {
      return fingerprintOfPublic(await recipient())
    },

    async wrap(rootKey: Uint8Array, storeId: string) {
      const { Encrypter } = await import('age-encryption')
      const encrypter = new Encrypter()
      encrypter.addRecipient(await recipient())
      const plain = Buffer.concat([rootKeyBinding(storeId).bytes, rootKey])
      try {
        return await encrypter.encrypt(plain)
      } finally {
        plain.fill(0)
      }
    },

    async unwrap(wrapped: Uint8Array, storeId: string) {
      const secret = await identity(storeId)
      const { Decrypter } = await import('age-encryption')
      const decrypter = new Decrypter()
      decrypter.addIdentity(secret)
      const about = `Cannot unwrap the root key of store ${storeId} with recovery key ${fingerprintOfPublic(await recipient())}`
      const plain = await decrypter.decrypt(wrapped).catch(() => {
        throw new SottoError(
          'key_wrong',
          `${about}: it was wrapped to another key, or was altered`,
          {
            hint: 'Give the identity that the wrap was made for. If it is that one, the wrap is damaged: restore the store from a backup.',
          },
        )
      })
      try {
        return unbind(plain, storeId, about)
      } finally {
        plain.fill(0)
      }
    },
  })
}

/** The root key, which follows the binding that says whose it is. */
function unbind(plain: Uint8Array, storeId: string, about: string): Uint8Array {
  const due = Buffer.from(rootKeyBinding(storeId).bytes)
  const found = Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength)
  if (found.length === due.length + KEY_BYTES && found.subarray(0, due.length).equals(due)) {
    return Uint8Array.from(found.subarray(due.length))
  }
  throw new SottoError('key_wrong', `${about}: it was wrapped for another store`, {
    hint: 'The wrap was copied from another store: restore this one from a backup.',
  })
}

async function readIdentity(path: string): Promise<string> {
  const text = await readPrivateText(path, 'recovery identity', MAX_FILE_BYTES)
  const what = `Cannot use the recovery identity ${quote(path)}`
  if (/^(?:age-encryption\.org\/|-----BEGIN AGE )/.test(text)) {
    throw new SottoError('key_missing', `${what}: it is encrypted`, {
      hint: 'Decrypt it first, with age --decrypt, into a file of mode 0600 in memory.',
    })
  }
  const lines = linesOf(text)
  const [line = ''] = lines
  if (lines.length === 1 && identityPattern.test(line)) return line
  throw new SottoError('key_missing', `${what}: it does not hold one age identity`, {
    hint: 'It has one line that begins with AGE-SECRET-KEY-, as age-keygen writes it.',
  })
}

async function recipientOf(path: string, identity: string): Promise<string> {
  const { identityToRecipient } = await import('age-encryption')
  // What the library says of a malformed identity may show a part of it.
  return identityToRecipient(identity).catch(() => {
    throw new SottoError(
      'key_missing',
      `Cannot use the recovery identity ${quote(path)}: its age identity is damaged`,
      { hint: 'A character is wrong or missing: bring back another copy.' },
    )
  })
}

function notRecipient(given: string): SottoError {
  // An identity given as a recipient is a secret, and is not repeated.
  if (/secret/i.test(given)) {
    return new SottoError('usage', 'Cannot wrap to a recovery key: an identity was given', {
      hint: 'Give its recipient, which begins with age1. The identity was on a command line or in a file that need not be secret: make another.',
    })
  }
  return new SottoError(
    'usage',
    `Cannot wrap to the recovery key ${quote(given)}: it is not a recipient of age-keygen`,
    { hint: 'A recipient is one text that begins with age1 or age1pq1, whole.' },
  )
}
