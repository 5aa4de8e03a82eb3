/** The `local` key provider: a key in a file that only its owner may read. */
import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { mkdir, open, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { quote, SottoError } from '../../client/api/errors.ts'
import { rootKeyBinding } from './binding.ts'
import { deriveKey, fingerprint, takeKey } from './derive.ts'
import { KEY_BYTES, openKey, type RandomSource, seal } from './envelope.ts'
import type { KeyProvider } from './provider.ts'
import { foldersOf, sync } from '../../client/platform/durable.ts'
import { refuseForeign } from '../../client/platform/owned.ts'
import { errorCode, systemError } from '../../client/platform/system-error.ts'
import { linesOf, readPrivateText } from '../../client/platform/text-file.ts'

/** More bytes than any key file has. */
const MAX_FILE_BYTES = 1024

const pattern = /^sotto local key 1\nfingerprint ([0-9a-f]{16})\nkey ([A-Za-z0-9+/]{43}=)$/

/**
 * Writes a new key to a file at `path` that only its owner can read, makes the directory for it
 * where there is none, and resolves with the key's fingerprint once all of it is on disk. Throws
 * `local` when something is at `path` already, which is never replaced, or when writing fails, and `unsafe` where
 * others could put something else in its place.
 */
export async function createKeyFile(
  path: string,
  random: RandomSource = randomBytes,
): Promise<string> {
  refuseForeign(dirname(path), `the folder of the key file ${quote(path)}`)
  const raw = random(KEY_BYTES)
  try {
    const id = fingerprint(createSecretKey(raw), '')
    const made = await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await writeNew(path, `sotto local key 1\nfingerprint ${id}\nkey ${raw.toString('base64')}\n`)
    for (const folder of foldersOf(path, made)) await sync(folder)
    return id
  } catch (error) {
    throw systemError(error, 'create the key file', path, {
      ...(errorCode(error) === 'EEXIST' && {
        hint: 'A key file is never replaced: a store may depend on it.',
      }),
    })
  } finally {
    raw.fill(0)
  }
}

/**
 * The provider whose key is in the file at `path`. Every call reads the file again, and its
 * key is in memory only during one. Calls reject with `key_missing` when the file does not exist,
 * cannot be read, or is not a key file; with `key_exposed` when others than its owner have any right
 * to it, but for a group that may read a file of root, when it belongs to a user who is neither this one nor root, or
 * others could put another in its place.
 */
export function localKeyProvider(path: string, random: RandomSource = randomBytes): KeyProvider {
  return Object.freeze({
    name: 'local',

    async fingerprint() {
      return fingerprint(await readKeyFile(path), '')
    },

    async wrap(rootKey: Uint8Array, storeId: string) {
      const key = deriveKey(await readKeyFile(path), storeId, 'root-key')
      return seal(key, rootKeyBinding(storeId), rootKey, random)
    },

    async unwrap(wrapped: Uint8Array, storeId: string) {
      const key = await readKeyFile(path)
      try {
        return openKey(deriveKey(key, storeId, 'root-key'), rootKeyBinding(storeId), wrapped)
      } catch (cause) {
        throw new SottoError(
          'key_wrong',
          `Cannot unwrap the root key of store ${storeId} with local key ${fingerprint(key, '')}: it was wrapped by another key or for another store, or was altered`,
          {
            hint: `The key is that of ${quote(path)}. If the store was sealed under it, the wrap is damaged: open the store with another of its keys, or restore it from a backup.`,
            cause,
          },
        )
      }
    },
  })
}

async function writeNew(path: string, text: string): Promise<void> {
  await using file = await open(path, 'wx', 0o600)
  try {
    // The mode given to open is narrowed by the umask, perhaps to one that we cannot read either.
    await file.chmod(0o600)
    await file.writeFile(text)
    await file.sync()
  } catch (error) {
    await unlink(path)
    throw error
  }
}

async function readKeyFile(path: string): Promise<KeyObject> {
  return parse(path, await readPrivateText(path, 'key file', MAX_FILE_BYTES))
}

function parse(path: string, content: string): KeyObject {
  const [, id, text = ''] = pattern.exec(linesOf(content).join('\n')) ?? []
  const raw = Buffer.from(text, 'base64')
  const about = `Cannot use the key file ${quote(path)}`
  if (id === undefined || raw.toString('base64') !== text) {
    throw new SottoError('key_missing', `${about}: it is not a Sotto local key`, {
      hint: 'The file is another one, or was damaged: bring back a copy of it.',
    })
  }
  const key = takeKey(raw)
  if (fingerprint(key, '') === id) return key
  const message = `${about}: its key is not the one that its fingerprint ${id} names`
  throw new SottoError('key_missing', message, {
    hint: 'The file was damaged or edited: bring back a copy of it.',
  })
}
