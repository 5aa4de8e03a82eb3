/** Reads files that hold a key: only their owner may have any right to them. */
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { quote, SottoError } from '../../client/api/errors.ts'

/**
 * The first `maxBytes` bytes of the file at `path`, which the caller overwrites. `what` names the kind
 * of file in messages. Throws `key_missing` when it does not exist, cannot be read or is not a
 * regular file; `key_exposed` when others than its owner have any right to it, when it belongs to a user who
 * is neither this one nor root, or is a symbolic link.
 */
export async function readPrivateFile(
  path: string,
  what: string,
  maxBytes: number,
): Promise<Buffer> {
  // Without O_NONBLOCK the opening of a named pipe would wait for a writer.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  try {
    await using file = await open(path, flags)
    await checkRights(path, what, file)
    return await readStart(file, maxBytes)
  } catch (error) {
    if (error instanceof SottoError) throw error
    throw cannotRead(path, what, error as NodeJS.ErrnoException)
  }
}

function cannotRead(path: string, kind: string, error: NodeJS.ErrnoException): SottoError {
  const what = `Cannot read the ${kind} ${quote(path)}`
  if (error.code === 'ELOOP') {
    return new SottoError('key_exposed', `${what}: it is a symbolic link`, {
      hint: 'Name the file itself, so that no other can be put in its place.',
    })
  }
  if (error.code === 'ENOENT') {
    return new SottoError('key_missing', `${what}: there is no such file`, {
      hint: `Bring back the ${kind} that the store was sealed under, or name its path.`,
    })
  }
  return new SottoError('key_missing', `${what}: ${error.message}`, {
    hint: 'It must be readable by the user that the program runs as.',
    cause: error,
  })
}

async function checkRights(path: string, kind: string, file: FileHandle): Promise<void> {
  const what = `Cannot use the ${kind} ${quote(path)}`
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

async function readStart(file: FileHandle, maxBytes: number): Promise<Buffer> {
  const bytes = Buffer.alloc(maxBytes)
  let size = 0
  for (;;) {
    const { bytesRead } = await file.read(bytes, size, bytes.length - size, size)
    size += bytesRead
    if (bytesRead === 0 || size === bytes.length) return bytes.subarray(0, size)
  }
}
