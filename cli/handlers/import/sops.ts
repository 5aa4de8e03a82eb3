/** Decrypts a file by SOPS's own program: its keys and its ways to them are its own matter. */
import { execFile } from 'node:child_process'
import { quote, SottoError } from '../../../client/api/errors.ts'
import { visible } from '../../../client/api/visible.ts'
import { errorCode } from '../../../client/platform/system-error.ts'
import type { Invocation } from '../../invocation.ts'

const MAX_BYTES = 64 * 1024 * 1024

/**
 * The content of the file at `path` as JSON. What SOPS says on stderr, which has no values, goes to stderr. Throws `local`
 * where it is not installed, or fails.
 */
export async function decrypted(
  path: string,
  { io, env }: Invocation,
  signal: AbortSignal,
): Promise<string> {
  const args = ['decrypt', '--output-type', 'json', '--', path]
  const { error, stdout, stderr } = await new Promise<{
    readonly error: Error | null
    readonly stdout: string
    readonly stderr: string
  }>((resolve) => {
    execFile('sops', args, { env, maxBuffer: MAX_BYTES, signal }, (failure, out, said) =>
      resolve({ error: failure, stdout: out, stderr: said }),
    )
  })
  signal.throwIfAborted()
  if (error === null) return stdout
  if (errorCode(error) === 'ENOENT') {
    throw new SottoError('local', 'Cannot decrypt: sops is not installed', {
      hint: 'Install it from https://github.com/getsops/sops, or decrypt the file elsewhere and use `sotto import`.',
    })
  }
  for (const line of stderr.trim().split('\n')) await io.stderr.write(`sops: ${visible(line)}\n`)
  throw new SottoError('local', `Cannot decrypt ${quote(path)}: sops failed`)
}
