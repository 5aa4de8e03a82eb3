/** A whole server on a tailnet, in this process: the real thing but for tailscaled, which is a stub. */
import { join } from 'node:path'
import type { BackupsConfig } from '../../server/config/backups.ts'
import type { Door, TailscaledConfig } from '../../server/config/config.ts'
import type { VaultConfig } from '../../server/config/vault.ts'
import { defaultCapabilities } from '../../server/identity/tailscale/rules.ts'
import { type RunningServer, startServer, type World } from '../../server/start/server.ts'
import { initialise } from '../../server/start/new-store.ts'
import { recorded, StubLocalApi } from './local-api.ts'
import { type Line, recordsIn } from './service.ts'
import { temporaryDirectory } from './sotto.ts'
import { recordingLogger } from './logger.ts'

/** A running server and the tailscaled that it asks. */
export interface TailnetService extends AsyncDisposable {
  readonly url: string
  readonly server: RunningServer
  readonly localApi: StubLocalApi
  /** A directory that goes with the server. */
  readonly scratch: string
  /** Words for the operator so far. */
  readonly said: string[]
  /** Every record on the log now. */
  records(): Line[]
}

/** How to start one; what is absent is as in a fresh installation. */
export interface TailnetOptions {
  readonly localApi: StubLocalApi
  readonly door: Door | ((scratch: string) => Door)
  readonly tailscaled?: Partial<TailscaledConfig>
  readonly world?: World
  readonly hostNames?: readonly string[]
  readonly backups?: BackupsConfig
  readonly vault?: VaultConfig
}

/** Every address of a node in userspace mode, on a free port. */
export const loopbackDoor = {
  kind: 'addresses',
  host: undefined,
  port: 0,
  tls: 'none',
} as const satisfies Door

/** A tailscaled in userspace mode, whose callers come from 127.0.0.1: no address must be ours. */
export async function userspaceTailscaled(): Promise<StubLocalApi> {
  const stub = await StubLocalApi.start()
  stub.status = recorded('status-userspace')
  return stub
}

/** Makes a store and starts a server on it. Disposes of the stub, too, when it cannot. */
export async function startOnTailnet(options: TailnetOptions): Promise<TailnetService> {
  const { localApi, world } = options
  const directory = temporaryDirectory()
  const stateDir = join(directory.path, 'state')
  const said: string[] = []
  await using undo = new AsyncDisposableStack()
  undo.use(directory)
  undo.use(localApi)
  await initialise({ stateDir, keyFile: undefined })
  const server = await startServer(
    {
      dev: false,
      stateDir,
      keyFile: undefined,
      tailscaled: {
        socket: localApi.path,
        capabilities: defaultCapabilities,
        services: [],
        staleAfterMs: undefined,
        userspace: false,
        ...options.tailscaled,
      },
      ...(options.hostNames && { hostNames: options.hostNames }),
      ...(options.backups && { backups: options.backups }),
      ...(options.vault && { vault: options.vault }),
      door: typeof options.door === 'function' ? options.door(directory.path) : options.door,
    },
    { logger: recordingLogger(said), ...world },
  )
  undo.defer(() => server.stop())
  const all = undo.move()
  return {
    url: server.url,
    server,
    localApi,
    scratch: directory.path,
    said,
    records: () => recordsIn(join(stateDir, 'audit')),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}
