/** Where tailscaled's LocalAPI listens on this host. */
import { existsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { quote, SottoError } from '../../../client/api/errors.ts'
import { refuseForeign } from '../../../client/platform/owned.ts'

/** Paths of its unix socket by platform, the usual one first. None where everybody may put a file. */
const knownPaths: Partial<Record<NodeJS.Platform, readonly string[]>> = {
  linux: [
    '/var/run/tailscale/tailscaled.sock',
    '/var/packages/Tailscale/var/tailscaled.sock',
    '/var/packages/Tailscale/etc/tailscaled.sock',
    '/perm/tailscaled/tailscaled.sock',
  ],
  darwin: ['/var/run/tailscaled.socket'],
}

/** Every path where a tailscaled of `platform` may listen by default. */
export function tailscaledSockets(platform: NodeJS.Platform = process.platform): readonly string[] {
  return knownPaths[platform] ?? ['/var/run/tailscale/tailscaled.sock']
}

/** The first of the default paths where a socket is, or the usual one when there is none. */
export function tailscaledSocket(paths: readonly string[] = tailscaledSockets()): string {
  return paths.find((path) => existsSync(path)) ?? (paths[0] as string)
}

/**
 * Throws `unsafe` when others than root and this user could put a daemon of their own where the socket `path` is:
 * who answers names the callers. A directory that is not there is none of this function's business.
 */
export function refuseExposedSocket(path: string): void {
  refuseForeign(path, `the socket of tailscaled ${quote(path)}`)
  const directory = dirname(path)
  const mode = statSync(directory, { throwIfNoEntry: false })?.mode ?? 0
  if ((mode & 0o022) === 0) return
  const problem = `Others can write to ${quote(directory)}, where the socket of tailscaled is`
  throw new SottoError('unsafe', problem, {
    hint: `Who answers there names the callers: \`chmod go-w ${directory}\`, or move the socket.`,
  })
}
