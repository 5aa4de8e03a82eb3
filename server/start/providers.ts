/** The key providers that settings name. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { KeysConfig, OpenersConfig } from '../config/config.ts'
import { awsKmsProvider } from '../crypto/aws-kms.ts'
import { bounded } from '../crypto/bounded.ts'
import { localKeyProvider } from '../crypto/local-key.ts'
import { type KeyMetrics, measured } from '../crypto/metrics.ts'
import { openbaoTransitProvider } from '../crypto/openbao-transit.ts'
import type { KeyProvider } from '../crypto/provider.ts'
import { identityProvider } from '../crypto/recovery.ts'
import type { StoredWrap } from '../store/contract.ts'
import type { StateDirectory } from '../store/directory.ts'

/**
 * The available keys of a store, in the order in which they are tried: the offline one is the last. A local
 * key is looked for if one is named or has a wrap.
 */
export function providersOf(
  { keyFile, ...others }: Omit<KeysConfig, 'stateDir'>,
  state: StateDirectory,
  wraps: readonly StoredWrap[],
): KeyProvider[] {
  const local = wraps.some(({ provider }) => provider === 'local') ? state.keyFile : undefined
  return providersNamed({ keyFile: keyFile ?? local, ...others })
}

/**
 * The available keys where the store is not in a state directory: those that are named, and the local key in
 * the state directory that is named, if there is one.
 */
export function providersAtHand({ stateDir, keyFile, ...others }: OpenersConfig): KeyProvider[] {
  const own = stateDir === undefined ? undefined : join(stateDir, 'local.key')
  const local = keyFile ?? (own !== undefined && existsSync(own) ? own : undefined)
  return providersNamed({ keyFile: local, ...others })
}

/** The available keys of key services. */
export function servicesOf({
  awsKms,
  transit,
}: Pick<KeysConfig, 'awsKms' | 'transit'>): KeyProvider[] {
  return [
    ...(awsKms ? [awsKmsProvider(awsKms)] : []),
    ...(transit ? [openbaoTransitProvider(transit)] : []),
  ]
}

/** A call that does not come back is noted when its time is up. */
export function measuredAll(providers: readonly KeyProvider[], metrics: KeyMetrics): KeyProvider[] {
  return providers.map((each) => measured(bounded(each), metrics))
}

function providersNamed(given: Omit<KeysConfig, 'stateDir'>): KeyProvider[] {
  const { keyFile, recoveryIdentity } = given
  return [
    ...servicesOf(given),
    ...(keyFile === undefined ? [] : [localKeyProvider(keyFile)]),
    ...(recoveryIdentity === undefined ? [] : [identityProvider(recoveryIdentity)]),
  ]
}
