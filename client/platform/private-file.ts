/**
 * Reads files that hold a key. The rule is that of the key files of PostgreSQL: one's own file is open to its owner
 * alone, and a group may read one of root, whose administrator decided who that is, also where root itself reads it.
 * Links are followed where only root or this user can change them, as `owned.ts` says.
 */
import { constants, lstatSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { quote, SottoError } from '../api/errors.ts'
import { refuseForeign } from './owned.ts'
import { isAbsent, systemError } from './system-error.ts'

/** How our own files are opened to be read: the opening of a named pipe in their place would wait for a writer. */
export const READ_NOW: number = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)

/**
 * The first `maxBytes` bytes of the file at `path`, which the caller overwrites. `what` names the kind
 * of file in messages, and `absent` is the hint where there is none. Throws `key_missing` when it does not exist, cannot be read or is not a
 * regular file; `key_exposed` when others may read or write it, when it belongs to a user who
 * is neither this one nor root, or others could put another in its place.
 */
export async function readPrivateFile(
  path: string,
  what: string,
  maxBytes: number,
  absent: string = `Bring back the ${what} that the store was sealed under, or name its path.`,
): Promise<Buffer> {
  try {
    // Of a file the owner and the mode are looked at when it is open; what a link leads to could be any file.
    const isLink = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true
    refuseForeign(isLink ? path : dirname(path), `the ${what} ${quote(path)}`, 'key_exposed')
    await using file = await open(path, READ_NOW)
    await checkRights(path, what, file)
    return await readStart(file, maxBytes)
  } catch (error) {
    throw systemError(error, `read the ${what}`, path, {
      code: 'key_missing',
      ...(isAbsent(error) && { hint: absent }),
    })
  }
}

async function checkRights(path: string, kind: string, file: FileHandle): Promise<void> {
  const what = `Cannot use the ${kind} ${quote(path)}`
  const status = await file.stat()
  const { uid, mode } = status
  if (!status.isFile()) {
    const hint = `Name the file itself: what is there is a directory, or a device.`
    throw new SottoError('key_missing', `${what}: it is not a regular file`, { hint })
  }
  const user = process.geteuid?.() ?? uid
  if (uid !== user && uid !== 0) {
    throw new SottoError('key_exposed', `${what}: it belongs to user ${uid}`, {
      hint: `It must belong to user ${user} or to root: chown ${user} ${quote(path)}`,
    })
  }
  const isRoots = uid === 0
  if ((mode & (isRoots ? 0o037 : 0o077)) === 0) return
  const shown = (mode & 0o777).toString(8).padStart(4, '0')
  throw new SottoError(
    'key_exposed',
    `${what}: others than its owner have rights to it (mode ${shown})`,
    {
      hint:
        isRoots && user !== 0
          ? `As root: chmod 640 ${quote(path)}, its group being one of the server. For a volume of Kubernetes: defaultMode: 0440, or 0400 without fsGroup.`
          : `chmod 600 ${quote(path)}${isRoots ? ', or in a volume of Kubernetes: defaultMode: 0400.' : ''}`,
    },
  )
}

async function readStart(file: FileHandle, maxBytes: number): Promise<Buffer> {
  const bytes = Buffer.alloc(maxBytes)
  let size = 0
  for (;;) {
    const { bytesRead } = await file.read(bytes, size, bytes.length - size, size)
    size += bytesRead
    if (bytesRead === 0 || size === bytes.length) return bytes.subarray(0, size)
  }
}
