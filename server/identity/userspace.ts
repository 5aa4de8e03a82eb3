/**
 * Finds out whether a tailscaled in userspace mode runs on this host. Such a daemon hands its peers
 * to loopback listeners as 127.0.0.1, so that the development tailnet would take the whole tailnet
 * for the developer.
 */
import { existsSync } from 'node:fs'
import { request } from 'node:http'
import { SottoError } from '../../client/api/errors.ts'

/** Where tailscaled listens on the systems that `--dev` runs on. */
const SOCKETS = ['/var/run/tailscale/tailscaled.sock', '/var/run/tailscaled.socket']

/** How long tailscaled may take to answer, in milliseconds. */
const WAIT_MS = 2000

/**
 * Resolves when no tailscaled in userspace mode is reached through one of `sockets`. Rejects with
 * `unsafe` when there is one, or when one is there and does not say.
 */
export async function refuseUserspaceTailscaled(
  sockets: readonly string[] = SOCKETS,
  waitMs: number = WAIT_MS,
): Promise<void> {
  const answers = await Promise.all(
    sockets.filter((path) => existsSync(path)).map((path) => askForTun(path, waitMs)),
  )
  if (answers.includes('userspace')) {
    throw new SottoError(
      'unsafe',
      'A tailscaled in userspace mode runs on this host; it would hand its peers to --dev as 127.0.0.1',
      { hint: 'Stop that tailscaled, or try --dev on another machine.' },
    )
  }
  if (answers.includes('unknown')) {
    throw new SottoError('unsafe', 'A tailscaled runs on this host and does not tell its mode', {
      hint: 'Check it with `tailscale status`, or stop it; --dev is not safe beside userspace mode.',
    })
  }
}

type Mode = 'kernel' | 'userspace' | 'unknown' | 'gone'

function askForTun(socketPath: string, waitMs: number): Promise<Mode> {
  return new Promise((resolve) => {
    const asked = request(
      {
        socketPath,
        path: '/localapi/v0/status?peers=false',
        headers: { Host: 'local-tailscaled.sock' },
        signal: AbortSignal.timeout(waitMs),
      },
      (answer) => {
        let text = ''
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
        answer.on('end', () => resolve(modeIn(text)))
        answer.on('error', () => resolve('unknown'))
      },
    )
    asked.on('error', (error: NodeJS.ErrnoException) => {
      // A socket file that nothing listens on is left over from a daemon that is gone.
      resolve(error.code === 'ECONNREFUSED' || error.code === 'ENOENT' ? 'gone' : 'unknown')
    })
    asked.end()
  })
}

function modeIn(text: string): Mode {
  try {
    const status = JSON.parse(text) as { TUN?: unknown }
    if (status.TUN === true) return 'kernel'
    return status.TUN === false ? 'userspace' : 'unknown'
  } catch {
    return 'unknown'
  }
}
