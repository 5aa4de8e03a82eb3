/** A whole server in this process: real store, log, keys and sockets, with a disk that can be broken. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { actions } from '../../client/api/types.ts'
import { Client } from '../../client/client.ts'
import type { BackendsConfig } from '../../server/config/backends.ts'
import type { BackupsConfig } from '../../server/config/backups.ts'
import type { RotationsConfig } from '../../server/config/rotations.ts'
import type { TailnetFile } from '../../server/identity/development.ts'
import type { Mount } from '../../server/vault/mounts.ts'
import type { SecondFactorConfig } from '../../server/vault/second-factor.ts'
import { type RunningServer, startServer, type World } from '../../server/start/server.ts'
import { writeFileSync } from 'node:fs'
import { temporaryDirectory } from './sotto.ts'
import { recordingLogger } from './logger.ts'

/** A record of the audit log, as its line says. */
export type Line = Readonly<Record<string, unknown>>

/** A running server and what a test needs of it. */
export interface Service {
  readonly url: string
  /** Where Vault's clients are served; empty: nowhere. */
  readonly vaultUrl: string
  readonly state: string
  readonly server: RunningServer
  /** A client that calls from the loopback address `from`. */
  client(from?: string): Client
  /** Posts `body` to a method and resolves with status, headers and text. */
  post(method: string, body: unknown, headers?: Record<string, string>): Promise<Posted>
  /** Every record on the log now. */
  records(): Line[]
  /** Words for the operator so far. */
  readonly said: string[]
  /** Writes the tailnet file again. */
  policy(file: TailnetFile): void
  [Symbol.asyncDispose](): Promise<void>
}

/** An answer of the wire. */
export interface Posted {
  readonly status: number
  readonly text: string
  readonly headers: Headers
}

/** A rule that allows everything. */
export const everything = { action: [...actions], secret: ['*'] }

/** 127.0.0.1 may do everything, 127.0.0.2 reads prod/*, 127.0.0.3 knows names, 127.0.0.4 nothing. */
export const fourCallers: TailnetFile = {
  nodes: {
    '127.0.0.1': { name: 'root', user: 'root@example.com', rules: [everything] },
    '127.0.0.2': {
      name: 'app-1',
      tags: ['tag:app'],
      rules: [{ action: ['get', 'info'], secret: ['prod/*'] }],
    },
    '127.0.0.3': {
      name: 'laptop',
      user: 'alice@example.com',
      rules: [
        { action: ['info'], secret: ['*'] },
        { action: ['put'], secret: ['team/*'] },
      ],
    },
    '127.0.0.4': { name: 'other', user: 'bob@example.com' },
  },
}

/** Starts a server with four callers, on a fresh state directory unless one is given. */
export async function startService(
  world: World = {},
  options: {
    state?: string
    tailnet?: TailnetFile
    backendOrigins?: readonly string[]
    /** What else the settings say about backends. */
    backends?: BackendsConfig
    backups?: BackupsConfig
    /** Where rotations may change logins. Default: nowhere. */
    rotations?: RotationsConfig
    /** Mounts of the surface for Vault's clients. Default: there is no such surface. */
    vault?: readonly Mount[]
    /** How it tells service accounts apart. Default: not at all. */
    factor?: SecondFactorConfig
  } = {},
): Promise<Service> {
  const scratch = temporaryDirectory()
  const state = options.state ?? join(scratch.path, 'state')
  const tailnet = join(scratch.path, 'tailnet.json')
  const policy = (file: TailnetFile): void => writeFileSync(tailnet, JSON.stringify(file))
  policy(options.tailnet ?? fourCallers)
  const said: string[] = []
  const server = await startServer(
    {
      dev: true,
      tailnet,
      stateDir: state,
      keyFile: undefined,
      ...(options.backups && { backups: options.backups }),
      ...(options.vault && {
        vault: {
          listen: { host: undefined, port: 0 },
          mounts: options.vault,
          ...(options.factor && { factor: options.factor }),
        },
      }),
      listen: { host: '127.0.0.1', port: 0 },
      ...options.backends,
      ...options.rotations,
      ...(options.backendOrigins && { backendOrigins: options.backendOrigins }),
    },
    { logger: recordingLogger(said), ...world },
  )
  return {
    url: server.url,
    vaultUrl: server.vaultUrl ?? '',
    state,
    server,
    said,
    policy,
    client: (from = '127.0.0.1') => new Client({ server: server.url, localAddress: from }),
    post: async (method, body, headers = {}) => {
      const answer = await fetch(`${server.url}/api/${method}`, {
        method: 'POST',
        body: typeof body === 'string' ? body : JSON.stringify(body),
        headers: {
          'Content-Type': 'application/json',
          'Sec-X-Tailscale-No-Browsers': 'setec',
          ...headers,
        },
      })
      return { status: answer.status, text: await answer.text(), headers: answer.headers }
    },
    records: () => recordsIn(join(state, 'audit')),
    [Symbol.asyncDispose]: async () => {
      await server.stop()
      scratch[Symbol.dispose]()
    },
  }
}

/** Every whole line of the log in `directory`, in order. */
export function recordsIn(directory: string): Line[] {
  return readdirSync(directory)
    .toSorted()
    .flatMap((name) => readFileSync(join(directory, name), 'utf8').split('\n').slice(0, -1))
    .map((line) => JSON.parse(line) as Line)
}

/** The bytes of `text`. */
export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
