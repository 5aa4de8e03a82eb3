/** The surface for Vault's clients, read from its settings. */
import { quote, SottoError } from '../../client/api/errors.ts'
import { refuseWildcard } from '../http/bind.ts'
import { defaultMounts, type Mount } from '../vault/mounts.ts'
import type { SecondFactorConfig } from '../vault/second-factor.ts'
import { parseAddress } from './address.ts'
import type { SettingValues } from './settings/setting.ts'

/** How the surface is served. */
export interface VaultConfig {
  /** Without a host: where the API is. */
  readonly listen: { readonly host: string | undefined; readonly port: number }
  readonly mounts: readonly Mount[]
  /** Absent: every node is one caller. */
  readonly factor?: SecondFactorConfig
}

/** The surface of a server. */
export interface WithVault {
  /** Absent: there is none. */
  readonly vault?: VaultConfig
}

/** What a mount cannot be called, since the server has paths of that name. */
const taken = /^(?:sys|auth|cubbyhole|identity)(?:\/|$)/

/** Reads it. Throws `usage` for what does not fit, and `unsafe` for a wildcard address. */
export function vaultConfig(given: SettingValues): WithVault {
  const { value } = given
  const listen = value('vault-listen')
  const mounts = value('vault-mount')
  if (listen === undefined) {
    const odd = more.find((flag) => value(flag) !== undefined)
    if (odd === undefined) return {}
    throw new SottoError('usage', `--${odd} goes with --vault-listen`)
  }
  const address = parseAddress('vault-listen', listen)
  if (address.host !== undefined) refuseWildcard(address.host, 'vault-listen')
  if (value('serve-socket') !== undefined) {
    throw new SottoError('usage', '--vault-listen does not go with --serve-socket', {
      hint: 'The surface needs an address of the tailnet, where the callers are known.',
    })
  }
  return {
    vault: {
      listen: address,
      mounts: mounts === undefined ? defaultMounts : mountsIn(mounts),
      ...factorOf(given),
    },
  }
}

/** What means nothing without the surface. */
const more = ['vault-mount', 'vault-service-account', 'vault-shared', 'vault-issuer', 'vault-keys']

function factorOf({ value }: SettingValues): Pick<VaultConfig, 'factor'> {
  const [accounts, issuer, keys] = ['vault-service-account', 'vault-issuer', 'vault-keys'].map(
    value,
  )
  const shared = value('vault-shared')
  if (accounts !== undefined && issuer !== undefined && keys !== undefined) {
    if (/^http:/i.test(keys)) {
      throw new SottoError('usage', `Cannot use ${quote(keys)} as --vault-keys: it is not https://`)
    }
    return {
      factor: { issuer, keys, accounts: accountsIn(accounts), shared: shared?.split(',') ?? [] },
    }
  }
  if ([accounts, issuer, keys, shared].every((each) => each === undefined)) return {}
  throw new SottoError(
    'usage',
    'Service accounts take --vault-service-account, --vault-issuer and --vault-keys',
    { hint: 'Without one of them none can be believed, and a shared node would get nothing.' },
  )
}

/** Patterns by account; one that is there several times has several. */
function accountsIn(text: string): Map<string, readonly string[]> {
  const pairs = text.split(',').map((each) => {
    const [, account, pattern] = /^([a-z\d-]+\/[a-z\d.-]+)=(.+)$/.exec(each.trim()) ?? []
    if (account !== undefined && pattern !== undefined) return { account, pattern }
    throw new SottoError('usage', `Cannot use ${quote(each)} as --vault-service-account`, {
      hint: 'It is NAMESPACE/NAME=PATTERN, such as shop/external-secrets=prod/shop/*.',
    })
  })
  const grouped = Map.groupBy(pairs, ({ account }) => account)
  return new Map([...grouped].map(([name, all]) => [name, all.map(({ pattern }) => pattern)]))
}

function mountsIn(text: string): Mount[] {
  const mounts = text.split(',').map(mountIn)
  const names = new Set(mounts.map(({ name }) => name))
  if (names.size === mounts.length) return mounts
  throw new SottoError(
    'usage',
    `Cannot use ${quote(text)} as --vault-mount: a mount is there twice`,
  )
}

function mountIn(text: string): Mount {
  const [, name = '', prefix = ''] = /^([\w.-]+(?:\/[\w.-]+)*)\/?=(.*)$/.exec(text.trim()) ?? []
  const isPrefix = prefix === '' || prefix.endsWith('/')
  if (name !== '' && !taken.test(name) && isPrefix) return { name, prefix }
  throw new SottoError('usage', `Cannot use ${quote(text)} as --vault-mount`, {
    hint: 'It is MOUNT=PREFIX, such as secret-prod=prod/; the prefix is empty or ends with a slash.',
  })
}
