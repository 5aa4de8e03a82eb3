/** What only the settings may say about rotations, and no caller of the API: which targets there may be. */
import { quote, SottoError } from '../../client/api/errors.ts'
import { setOf, type SettingValues } from './settings/setting.ts'

/** Where the server may connect to for rotations. */
export interface RotationsConfig {
  /** Scheme, host and port of each. Absent: nowhere. */
  readonly rotationTargets?: readonly string[]
  /** The file of the authorities of targets, PEM. Absent: those of Node. */
  readonly rotationCaFile?: string
}

/** Reads them. Throws `usage` for what is not a target. */
export function rotationsConfig(given: SettingValues): RotationsConfig {
  const targets = given.value('rotation-target')
  return {
    ...(targets !== undefined && { rotationTargets: targets.split(',').map(targetIn) }),
    ...setOf(given, { rotationCaFile: 'rotation-ca-file' }),
  }
}

function targetIn(text: string): string {
  const url = URL.parse(text.trim())
  const { protocol, hostname = '', port = '' } = url ?? {}
  const target = `${protocol}//${hostname.toLowerCase()}:${port}`
  const isTarget =
    /^(?:postgres|valkey):$/.test(protocol ?? '') && hostname !== '' && Number(port) > 0
  if (isTarget && url?.href.toLowerCase() === target) return target
  throw new SottoError('usage', `Cannot use ${quote(text)} as --rotation-target`, {
    hint: 'It is postgres://HOST:PORT or valkey://HOST:PORT, and nothing after that.',
  })
}
