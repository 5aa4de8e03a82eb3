/**
 * Which backend keeps the values of a secret, as its settings tell, which are under its MAC. What says so beside each
 * version is sealed, and could be put back with it from an older copy of the store.
 */
import { quote, SottoError } from '../../client/api/errors.ts'
import type { SealedVersion, SecretState } from '../store/contract.ts'

type Settings = Readonly<Record<string, unknown>>

/** What stands for the store itself. */
const STORE = 0

/** The settings of a secret whose values `home` keeps; undefined is the store, which is told only of what was elsewhere. */
export function settingsWith(
  before: SecretState['settings'],
  home: number | undefined,
): Pick<SecretState, 'settings'> {
  const settings = settingsIn(before)
  const told = home ?? (settings['home'] === undefined ? undefined : STORE)
  if (told === undefined || told === settings['home']) return before ? { settings: before } : {}
  return { settings: Buffer.from(JSON.stringify({ ...settings, home: told })) }
}

/** Throws `store_damaged` where `version` is not where its secret tells. */
export function demandHome({ name, settings }: SecretState, version: SealedVersion): void {
  const told = settingsIn(settings)['home']
  if (told === undefined || told === (version.backend ?? STORE)) return
  const why = 'its secret is kept elsewhere'
  const message = `Cannot read version ${version.version} of ${quote(name)}: ${why}`
  throw new SottoError('store_damaged', message, { hint: 'Restore the store from a backup.' })
}

function settingsIn(bytes: Uint8Array | undefined): Settings {
  return bytes === undefined ? {} : (JSON.parse(Buffer.from(bytes).toString()) as Settings)
}
