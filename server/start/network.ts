/** Where callers come from and who names them: the development tailnet, or a tailnet by tailscaled. */
import { quote, SottoError } from '../../client/api/errors.ts'
import type { DevelopmentConfig, ServerConfig } from '../config/config.ts'
import { addressText } from '../http/bind.ts'
import type { Listener } from '../http/listener.ts'
import { DevelopmentTailnet } from '../identity/development.ts'
import { refuseUserspaceTailscaled } from '../identity/userspace.ts'
import { isLoopbackHost } from '../platform/loopback.ts'
import type { Network, NetworkWorld } from './tailnet.ts'

/**
 * Finds out who names callers, and prepares to let them in. `undo` closes what was opened. Rejects with a
 * SottoError that says why not.
 */
export async function openNetwork(
  config: ServerConfig,
  world: NetworkWorld,
  undo: AsyncDisposableStack,
): Promise<Network> {
  if (config.dev) return developmentNetwork(config)
  const { tailnetNetwork } = await import('./tailnet.ts')
  return tailnetNetwork(config, world, undo)
}

/** Rejects with `unsafe` where a development tailnet would take others for the developer. */
export async function refuseUnsafeDevelopment({ listen, vault }: DevelopmentConfig): Promise<void> {
  const hosts = [listen.host, vault?.listen.host ?? listen.host]
  const host = hosts.find((each) => !isLoopbackHost(each))
  if (host !== undefined) {
    throw new SottoError(
      'unsafe',
      `--dev listens on loopback only, and ${quote(host)} is not loopback`,
      { hint: 'Use 127.0.0.1; callers of a development tailnet are not authenticated.' },
    )
  }
  await refuseUserspaceTailscaled()
}

function developmentNetwork(config: DevelopmentConfig): Network {
  const { host } = config.listen
  const identity = new DevelopmentTailnet(config.tailnet)
  const open = async (listener: Listener): Promise<string> => {
    const port = await listener.listen(config.listen)
    for (const own of identity.ports) await listener.listen({ host, port: own })
    return `http://${addressText({ host, port })}`
  }
  const openMore: Network['openMore'] = async (listener, { host: own = host, port }) =>
    `http://${addressText({ host: own, port: await listener.listen({ host: own, port }) })}`
  return { identity, isOwnName: () => false, open, openMore }
}
