/** Keys, either way: at a running server, or on the files of a store without one. */
import type { OperationResponse } from '../../client/api/operations.ts'
import type { Client } from '../../client/client.ts'
import type { Via } from '../../client/connection.ts'
import { SottoError } from '../../client/api/errors.ts'
import { variableIn } from '../../client/api/given.ts'
import { type KeysConfig, readKeysConfig, readStateDir } from '../../server/config/config.ts'
import { type KeysOnFiles, withKeys } from '../../server/start/offline.ts'
import { shownKeys, shownWrap } from '../../server/operations/keys.ts'
import type { Invocation } from '../invocation.ts'
import { recipientProvider } from '../../server/crypto/recovery.ts'
import { operator } from '../operator.ts'
import { withProgress } from '../terminal/progress.ts'

/** The keys of a store, as the API answers them. */
export type KeyStatus = OperationResponse<'key-status'>

/** What can be asked for in both places. */
export interface KeysAt {
  status(): Promise<KeyStatus>
  /**
   * Resolves with the keys once a rotation was begun; on files, once it is done. `root`: with a new root key,
   * and given the recipients of recovery keys.
   */
  rotate(root?: readonly string[]): Promise<KeyStatus>
  rewrap(key: string | undefined): Promise<OperationResponse<'key-rewrap'>>
}

/**
 * The keys at the place that the flags name, or else the environment, where a state directory comes
 * first, or else the configuration file. Throws `usage` where both flags are given, or nothing names a place.
 */
export function keysAt(invocation: Invocation): KeysAt {
  const directory = invocation.text('state-dir')
  const server = invocation.text('server')
  if (directory !== undefined && server !== undefined) {
    const hint = 'Ask the server while it runs; work on the files while it does not.'
    throw new SottoError('usage', '--server does not go with --state-dir', { hint })
  }
  if (server === undefined && (directory ?? variableIn(invocation.env, ['SOTTO_STATE_DIR'])))
    return here(invocation)
  if (invocation.named !== undefined) return atServer(invocation.client())
  const stateDir = readStateDir(invocation.typed(), invocation.env)
  if (stateDir !== undefined || invocation.operatorsWay) return here(invocation)
  throw new SottoError('usage', 'Neither a server nor a state directory is named', {
    hint: 'Use -s URL for a server that runs, or --state-dir DIR for the files of one that does not.',
  })
}

/** Runs `act` on the files of the store that the flags and the environment name. */
export function onKeys<T>(
  invocation: Invocation,
  act: (keys: KeysOnFiles) => Promise<T>,
): Promise<T> {
  const clock = (): Date => new Date(invocation.io.now())
  return withKeys(keysConfig(invocation), { operator: operator(), clock }, act)
}

/** Which store, and which keys are available; `instead` replaces flags. Throws `usage`. */
export function keysConfig(
  invocation: Invocation,
  instead: Readonly<Record<string, string | undefined>> = {},
): KeysConfig {
  return readKeysConfig(invocation.typed(instead), invocation.env)
}

/**
 * Runs `act` on the files; where a server has them open, they are of its user and not ours, or no state directory is
 * named, `there` by the way of operators, if there is one.
 */
export async function orAtServer<T>(
  invocation: Invocation,
  act: () => Promise<T>,
  there: (client: Client) => Promise<T>,
): Promise<T> {
  const stateDir = readStateDir(invocation.typed(), invocation.env)
  const via = invocation.operatorsAt(stateDir)
  const ask = (way: Via): Promise<T> =>
    there(invocation.client({ server: 'http://localhost', via: way }))
  if (stateDir === undefined && via) return ask(via)
  try {
    return await act()
  } catch (error) {
    const code = error instanceof SottoError ? error.code : undefined
    if (!via || (code !== 'store_locked' && code !== 'unsafe')) throw error
    return ask(via).catch((reason: unknown) => {
      // A server that was killed left its socket: what is wrong with the files counts.
      const isGone = reason instanceof SottoError && reason.code === 'unreachable'
      throw isGone ? error : reason
    })
  }
}

/** On the files, or at the server that has them open. */
function here(invocation: Invocation): KeysAt {
  const files = onFiles(invocation)
  const or = <T>(act: (keys: KeysAt) => Promise<T>): Promise<T> =>
    orAtServer(
      invocation,
      () => act(files),
      (client) => act(atServer(client)),
    )
  return {
    status: () => or((keys) => keys.status()),
    rotate: (root) => or((keys) => keys.rotate(root)),
    rewrap: (key) => or((keys) => keys.rewrap(key)),
  }
}

function atServer(client: Client): KeysAt {
  return {
    status: () => client.operate('key-status', {}),
    rotate: (root) =>
      client.operate('key-rotate', root === undefined ? {} : { Root: true, Recipients: [...root] }),
    rewrap: (Key) => client.operate('key-rewrap', Key === undefined ? {} : { Key }),
  }
}

function onFiles(invocation: Invocation): KeysAt {
  return {
    status: () => onKeys(invocation, statusOf),
    rotate: async (root) => {
      const recipients = root && (await Promise.all(root.map(recipientProvider)))
      return onKeys(invocation, async (keys) => {
        await withProgress(invocation, (_, signal) => keys.rotate(recipients, signal))
        return statusOf(keys)
      })
    },
    rewrap: (key) =>
      onKeys(invocation, async ({ wraps }) => (await wraps.rewrap(key)).map(shownWrap)),
  }
}

async function statusOf({ wraps, ...keys }: KeysOnFiles): Promise<KeyStatus> {
  return shownKeys(await wraps.status(), await keys.entries(), await keys.root())
}
