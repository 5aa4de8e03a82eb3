/**
 * Caches in a file: a plain one, in setec's format, and a sealed one. Both files are the user's own, in a folder that
 * nobody else can change, and are replaced whole: after a crash there is what was there before, or what was written.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { lstat, open, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { base64, bytesOf } from '../api/base64.ts'
import { quote, SottoError } from '../api/errors.ts'
import { sync } from '../platform/durable.ts'
import { refuseForeign } from '../platform/owned.ts'
import { readPrivateFile } from '../platform/private-file.ts'
import { isAbsent, systemError } from '../platform/system-error.ts'
import {
  type Cache,
  type CacheContent,
  type CachedSecret,
  decodeCache,
  encodeCache,
  readBranch,
  readEntries,
  readSeconds,
} from './cache.ts'

const CACHE = 'cache of secrets'
const KEY = 'key of the cache'
const MAX_BYTES = 64 * 1024 * 1024
const MIN_KEY_BYTES = 32
const MAX_KEY_BYTES = 4096
const NONCE_BYTES = 12
const TAG_BYTES = 16

/**
 * A cache in the file at `path`, with the values as they are: who can read the file has them. The format is setec's, so
 * that its clients read the file, and `fileSource` does. Its folder is made where there is none.
 */
export function fileCache(path: string): Cache {
  return {
    notice: `The cache ${quote(path)} has values as they are: who can read that file has them.`,
    read: async () => {
      const text = await readCache(path)
      return text === undefined ? { secrets: [], faults: [] } : decodeCache(text)
    },
    write: (_, secrets) => replace(path, encodeCache(secrets)),
  }
}

/**
 * A cache in the file at `path`, sealed with AES-256-GCM under a key that is derived from the file at `keyPath`: at least
 * 32 random bytes, such as a credential of systemd. Each entry is bound to its server, name, version and times; the names
 * can be read. What does not open is left out. Its folder is made where there is none.
 */
export function sealedCache(path: string, keyPath: string): Cache {
  return {
    read: async (server) => {
      const [key, text] = await Promise.all([readKey(keyPath), readCache(path)])
      return text === undefined ? { secrets: [], faults: [] } : opened(text, key, server)
    },
    write: async (server, secrets) => {
      const key = await readKey(keyPath)
      const entries = secrets.map((secret) => [secret.name, sealed(secret, key, server)] as const)
      await replace(path, JSON.stringify(Object.fromEntries(entries)))
    },
  }
}

/** An entry of a sealed cache: what is sealed is the value. */
function sealed(secret: CachedSecret, key: Uint8Array, server: string): object {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', key, nonce)
  cipher.setAAD(bindingOf(secret, secret.value.Version, server))
  const parts = [nonce, cipher.update(secret.value.Value), cipher.final(), cipher.getAuthTag()]
  const { lastAccess, checked, branch } = secret
  return {
    Version: secret.value.Version,
    lastAccess,
    ...(checked !== undefined && { checked }),
    ...(branch !== undefined && { branch }),
    sealed: base64(Buffer.concat(parts)),
  }
}

function opened(text: string, key: Uint8Array, server: string): CacheContent {
  const entries = readEntries(text)
  if (entries === undefined) return { secrets: [], faults: ['it is not a sealed cache'] }
  const secrets: CachedSecret[] = []
  const faults: string[] = []
  for (const [name, entry] of entries) {
    const secret = openedEntry(name, entry, key, server)
    if (secret) secrets.push(secret)
    else {
      const why = 'is damaged, of another server, or sealed under another key'
      faults.push(`its entry ${JSON.stringify(name)} ${why}`)
    }
  }
  return { secrets, faults }
}

function openedEntry(
  name: string,
  entry: Readonly<Record<string, unknown>>,
  key: Uint8Array,
  server: string,
): CachedSecret | undefined {
  const { Version, sealed: text } = entry
  if (typeof Version !== 'number' || typeof text !== 'string') return undefined
  const lastAccess = readSeconds(entry['lastAccess']) ?? 0
  const known = { name, lastAccess, checked: readSeconds(entry['checked']), ...readBranch(entry) }
  const bytes = bytesOf(text)
  if (!bytes || bytes.length < NONCE_BYTES + TAG_BYTES) return undefined
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE_BYTES))
    decipher.setAAD(bindingOf(known, Version, server))
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
    const start = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES))
    return { ...known, value: { Value: Buffer.concat([start, decipher.final()]), Version } }
  } catch {
    return undefined
  }
}

/** What a sealed value is bound to, so that nothing opens in the place of another. */
function bindingOf(
  { name, lastAccess, checked, branch }: Omit<CachedSecret, 'value'>,
  version: number,
  server: string,
): Buffer {
  const bound = ['sotto cache', server, name, version, lastAccess, checked]
  return Buffer.from(JSON.stringify(branch === undefined ? bound : [...bound, branch]))
}

async function readKey(path: string): Promise<Uint8Array> {
  const absent = 'Make one of 32 random bytes, readable by you alone, or name its path.'
  const bytes = await readPrivateFile(path, KEY, MAX_KEY_BYTES, absent)
  try {
    if (bytes.length < MIN_KEY_BYTES) {
      const message = `Cannot use the ${KEY} ${quote(path)}: it has ${bytes.length} bytes`
      throw new SottoError('key_wrong', message, { hint: 'Make one of 32 random bytes or more.' })
    }
    return new Uint8Array(hkdfSync('sha256', bytes, '', 'sotto cache', 32))
  } finally {
    bytes.fill(0)
  }
}

/** The text of a cache; undefined where there is none. */
async function readCache(path: string): Promise<string | undefined> {
  try {
    const { size } = await lstat(path)
    if (size > MAX_BYTES) throw unusable(path, 'it has more than 64 MiB')
    return (await readPrivateFile(path, CACHE, size + 1)).toString('utf8')
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw systemError(error, `read the ${CACHE}`, path)
  }
}

/** Puts `text` into the file at `path`, durably. */
async function replace(path: string, text: string): Promise<void> {
  const folder = dirname(resolve(path))
  const draft = `${path}.${randomBytes(8).toString('hex')}.new`
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    refuseForeign(folder, `the folder of the ${CACHE} ${quote(path)}`)
    const present = await lstat(path).catch(() => undefined)
    if (present && !present.isFile()) throw unusable(path, 'it is not a regular file')
    let written: number
    try {
      await using file = await open(draft, 'wx', 0o600)
      await file.writeFile(text)
      await file.sync()
      written = (await file.stat()).mtimeMs
      await rename(draft, path)
    } catch (error) {
      await rm(draft, { force: true })
      throw error
    }
    await removeDrafts(path, written)
    await sync(folder)
  } catch (error) {
    throw systemError(error, `write the ${CACHE}`, path)
  }
}

/** Removes what writers left that were killed, a minute or more before `now` by the dates of this file system. */
async function removeDrafts(path: string, now: number): Promise<void> {
  const folder = dirname(resolve(path))
  const isDraft = new RegExp(`^${RegExp.escape(basename(path))}\\.[0-9a-f]{16}\\.new$`)
  for (const name of await readdir(folder)) {
    if (!isDraft.test(name)) continue
    const draft = join(folder, name)
    // Another writer may have put it in place by now.
    const found = await lstat(draft).catch(() => undefined)
    if (found && now - found.mtimeMs > 60_000) await rm(draft, { force: true })
  }
}

function unusable(path: string, why: string): SottoError {
  return new SottoError('local', `Cannot use the ${CACHE} ${quote(path)}: ${why}`, {
    hint: 'Name another file, or delete this one: it is made again from the server.',
  })
}
