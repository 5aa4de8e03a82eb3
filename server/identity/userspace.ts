/**
 * Finds out whether a tailscaled in userspace mode runs on this host. Such a daemon hands its peers
 * to loopback listeners as 127.0.0.1, so that the development tailnet would take the whole tailnet
 * for the developer.
 */
import { existsSync } from 'node:fs'
import { asSottoError, SottoError } from '../../client/api/errors.ts'
import { tailscaledSockets } from './tailscale/socket.ts'

/** How long tailscaled may take to answer, in milliseconds. */
const WAIT_MS = 2000

/**
 * Resolves when no tailscaled in userspace mode is reached through one of `sockets`. Rejects with
 * `unsafe` when there is one, or when one is there and does not say.
 */
export async function refuseUserspaceTailscaled(
  sockets: readonly string[] = tailscaledSockets(),
  waitMs: number = WAIT_MS,
): Promise<void> {
  const answers = await Promise.all(
    sockets.filter((path) => existsSync(path)).map((path) => modeAt(path, waitMs)),
  )
  if (answers.includes('userspace')) {
    throw new SottoError(
      'unsafe',
      'A tailscaled in userspace mode runs on this host; it would hand its peers to --dev as 127.0.0.1',
      { hint: 'Stop that tailscaled, or try --dev on another machine.' },
    )
  }
  if (answers.includes('unknown')) {
    throw new SottoError('unsafe', 'A tailscaled runs on this host and does not report its mode', {
      hint: 'Check it with `tailscale status`, or stop it; --dev is not safe next to userspace mode.',
    })
  }
}

type Mode = 'kernel' | 'userspace' | 'unknown' | 'gone'

async function modeAt(path: string, waitMs: number): Promise<Mode> {
  const { LocalApi } = await import('./tailscale/local-api.ts')
  const localApi = new LocalApi({ path, times: { answer: waitMs } })
  try {
    return (await localApi.status()).TUN ? 'kernel' : 'userspace'
  } catch (error) {
    const { code } = (asSottoError(error).cause ?? {}) as NodeJS.ErrnoException
    // A socket file that nothing listens on is left over from a daemon that is gone.
    return code === 'ECONNREFUSED' || code === 'ENOENT' ? 'gone' : 'unknown'
  } finally {
    await localApi.close()
  }
}
