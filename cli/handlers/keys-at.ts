/** Keys, either way: at a running server, or on the files of a store without one. */
import type { OperationResponse } from '../../client/api/operations.ts'
import { SottoError } from '../../client/api/errors.ts'
import { type KeysConfig, readKeysConfig } from '../../server/config/config.ts'
import { type KeysOnFiles, withKeys } from '../../server/start/offline.ts'
import { shownKeys, shownWrap } from '../../server/operations/keys.ts'
import type { Invocation } from '../invocation.ts'
import { operator } from '../operator.ts'

/** The keys of a store, as the API answers them. */
export type KeyStatus = OperationResponse<'key-status'>

/** What can be asked for in both places. */
export interface KeysAt {
  status(): Promise<KeyStatus>
  /** Resolves with the keys once a rotation was begun; on files, once it is done. */
  rotate(): Promise<KeyStatus>
  rewrap(key: string | undefined): Promise<OperationResponse<'key-rewrap'>>
}

/**
 * The keys at the place that the flags name, or else the environment, where a state directory comes
 * first. Throws `usage` where both flags are given, or nothing names a place.
 */
export function keysAt(invocation: Invocation): KeysAt {
  const { env } = invocation
  const directory = invocation.text('state-dir')
  const server = invocation.text('server')
  if (directory !== undefined && server !== undefined) {
    const hint = 'Ask the server while it runs; work on the files while it does not.'
    throw new SottoError('usage', '--server does not go with --state-dir', { hint })
  }
  if (server === undefined && (directory ?? env['SOTTO_STATE_DIR'])) return onFiles(invocation)
  if (server || env['SOTTO_SERVER'] || env['SETEC_SERVER']) return atServer(invocation)
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
  return readKeysConfig(invocation.flags(instead), invocation.env)
}

function atServer(invocation: Invocation): KeysAt {
  const client = invocation.client()
  return {
    status: () => client.operate('key-status', {}),
    rotate: () => client.operate('key-rotate', {}),
    rewrap: (Key) => client.operate('key-rewrap', Key === undefined ? {} : { Key }),
  }
}

function onFiles(invocation: Invocation): KeysAt {
  return {
    status: () => onKeys(invocation, statusOf),
    rotate: () =>
      onKeys(invocation, async (keys) => {
        await keys.rotate()
        return statusOf(keys)
      }),
    rewrap: (key) =>
      onKeys(invocation, async ({ wraps }) => (await wraps.rewrap(key)).map(shownWrap)),
  }
}

async function statusOf({ wraps, ...keys }: KeysOnFiles): Promise<KeyStatus> {
  return shownKeys(await wraps.status(), await keys.entries())
}
