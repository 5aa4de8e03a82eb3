/** The `local` key provider: a key in a file that only its owner may read. */
import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, unlink } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { quote, SottoError } from '../../client/api/errors.ts'
import { rootKeyBinding } from './binding.ts'
import { deriveKey, fingerprint } from './derive.ts'
import { KEY_BYTES, openKey, type RandomSource, seal } from './envelope.ts'
import type { KeyProvider } from './provider.ts'

/** More bytes than any key file has. */
const MAX_FILE_BYTES = 1024

const pattern = /^sotto local key 1\nfingerprint ([0-9a-f]{16})\nkey ([A-Za-z0-9+/]{43}=)\n?$/

/**
 * Writes a new key to a file at `path` that only its owner can read, makes the directory for it
 * where there is none, and resolves with the key's fingerprint once all of it is on disk. Throws
 * `local` when something is at `path` already, which is never replaced, or when writing fails.
 */
export async function createKeyFile(
  path: string,
  random: RandomSource = randomBytes,
): Promise<string> {
  const raw = random(KEY_BYTES)
  try {
    const id = fingerprint(createSecretKey(raw), '')
    const made = await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await writeNew(path, `sotto local key 1\nfingerprint ${id}\nkey ${raw.toString('base64')}\n`)
    await syncDirectories(path, made)
    return id
  } catch (error) {
    throw cannotCreate(path, error as NodeJS.ErrnoException)
  } finally {
    raw.fill(0)
  }
}

/**
 * The provider whose key is in the file at `path`. The file is read anew by every call, and its
 * key is in memory only during one. Calls reject with `key_missing` when the file does not exist,
 * cannot be read, or is no key file; with `key_exposed` when others than its owner have any right
 * to it, when it belongs to a user who is neither this one nor root, or is a symbolic link.
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
            hint: `The key is that of ${quote(path)}; give the one that the store was made with.`,
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

/** Makes the name `path` durable, and those of the directories above it from `made` on. */
async function syncDirectories(path: string, made: string | undefined): Promise<void> {
  const last = dirname(resolve(made ?? path))
  let directory = resolve(path)
  do {
    directory = dirname(directory)
    await using handle = await open(directory, 'r')
    await handle.sync()
  } while (directory !== last)
}

function cannotCreate(path: string, error: NodeJS.ErrnoException): SottoError {
  const what = `Cannot create the key file ${quote(path)}`
  if (error.code === 'EEXIST') {
    return new SottoError('local', `${what}: something is there already`, {
      hint: 'A key file is never replaced: a store may depend on it.',
    })
  }
  return new SottoError('local', `${what}: ${error.message}`, { cause: error })
}

async function readKeyFile(path: string): Promise<KeyObject> {
  // Without O_NONBLOCK the opening of a named pipe would wait for a writer.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  try {
    await using file = await open(path, flags)
    await checkRights(path, file)
    return parse(path, await readStart(file))
  } catch (error) {
    throw error instanceof SottoError ? error : cannotRead(path, error as NodeJS.ErrnoException)
  }
}

function cannotRead(path: string, error: NodeJS.ErrnoException): SottoError {
  const what = `Cannot read the key file ${quote(path)}`
  if (error.code === 'ELOOP') {
    return new SottoError('key_exposed', `${what}: it is a symbolic link`, {
      hint: 'Name the file itself, so that nobody can put another in its place.',
    })
  }
  if (error.code === 'ENOENT') {
    return new SottoError('key_missing', `${what}: there is no such file`, {
      hint: 'Bring back the key file that the store was made with, or name its path.',
    })
  }
  return new SottoError('key_missing', `${what}: ${error.message}`, {
    hint: 'It must be readable by the user that the server runs as.',
    cause: error,
  })
}

async function checkRights(path: string, file: FileHandle): Promise<void> {
  const what = `Cannot use the key file ${quote(path)}`
  const status = await file.stat()
  if (!status.isFile()) throw new SottoError('key_missing', `${what}: it is not a regular file`)
  const user = process.geteuid?.() ?? status.uid
  if (status.uid !== user && status.uid !== 0) {
    throw new SottoError('key_exposed', `${what}: it belongs to user ${status.uid}`, {
      hint: `It must belong to user ${user}: chown ${user} ${quote(path)}`,
    })
  }
  const mode = status.mode & 0o777
  if ((mode & 0o077) !== 0) {
    throw new SottoError(
      'key_exposed',
      `${what}: others than its owner have rights to it (mode ${mode.toString(8).padStart(4, '0')})`,
      { hint: `chmod 600 ${quote(path)}` },
    )
  }
}

/** The file's bytes, or the first of them where it has more than any key file. */
async function readStart(file: FileHandle): Promise<Buffer> {
  const bytes = Buffer.alloc(MAX_FILE_BYTES)
  let size = 0
  for (;;) {
    const { bytesRead } = await file.read(bytes, size, bytes.length - size, size)
    size += bytesRead
    if (bytesRead === 0 || size === bytes.length) return bytes.subarray(0, size)
  }
}

function parse(path: string, bytes: Buffer): KeyObject {
  const [, id, text = ''] = pattern.exec(bytes.toString('latin1')) ?? []
  const raw = Buffer.from(text, 'base64')
  bytes.fill(0)
  if (id === undefined || raw.toString('base64') !== text) {
    throw new SottoError(
      'key_missing',
      `Cannot use the key file ${quote(path)}: it is not a Sotto local key`,
      { hint: 'The file is another one, or was damaged: bring back a copy of it.' },
    )
  }
  const key = createSecretKey(raw)
  raw.fill(0)
  if (fingerprint(key, '') === id) return key
  throw new SottoError(
    'key_missing',
    `Cannot use the key file ${quote(path)}: its key is not the one that its fingerprint ${id} names`,
    { hint: 'The file was damaged or edited: bring back a copy of it.' },
  )
}
