/** Which keys of a store are available, read from their settings. */
import { quote, SottoError } from '../../client/api/errors.ts'
import { endpointOf } from './endpoints.ts'
import { proxiesOf } from './proxies.ts'
import type { AwsKmsKey } from '../crypto/aws-kms-failures.ts'
import type { TransitKey } from '../crypto/openbao-transit-failures.ts'
import type { Login } from '../openbao/login.ts'
import { setOf, type SettingValues } from './settings/setting.ts'

/** The available keys. */
export interface KeysAtHand {
  /** Undefined: `local.key` in the state directory, where it is needed. */
  readonly keyFile: string | undefined
  /** Absent: there is no key of AWS KMS. */
  readonly awsKms?: AwsKmsKey
  /** Absent: there is no key of OpenBao Transit. */
  readonly transit?: TransitKey
  /** Absent: the recovery key is not available. */
  readonly recoveryIdentity?: string
}

/** Where Kubernetes puts the token of a pod's service account. */
export const SERVICE_ACCOUNT_TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount/token'

/** Reads which keys are available. Throws `usage` for what does not fit. */
export function keysAtHand(given: SettingValues): KeysAtHand {
  const awsKms = kmsOf(given)
  const transit = transitOf(given)
  return {
    keyFile: given.value('key-file'),
    ...(awsKms && { awsKms }),
    ...(transit && { transit }),
    ...setOf(given, { recoveryIdentity: 'recovery-identity' }),
  }
}

/** The key of AWS KMS that the flags name; undefined without --kms-key. */
function kmsOf(given: SettingValues): AwsKmsKey | undefined {
  const key = given.value('kms-key')
  if (key === undefined) return undefined
  return {
    key,
    ...setOf(given, { region: 'kms-region', profile: 'kms-profile' }),
    ...endpointOf(given, 'kms-endpoint', 'KMS'),
    ...proxiesOf(given),
  }
}

/** The key of Transit that the flags name; undefined without --transit-key. */
function transitOf(given: SettingValues): TransitKey | undefined {
  const key = given.value('transit-key')
  if (key === undefined) return undefined
  return {
    key,
    url: needed(given, 'transit-url', 'transit-key'),
    mount: given.value('transit-mount') ?? 'transit',
    ...setOf(given, { namespace: 'transit-namespace', caFile: 'transit-ca-file' }),
    ...(given.on('transit-insecure') && { insecure: true }),
    ...proxiesOf(given),
    login: transitLogin(given),
  }
}

function transitLogin(given: SettingValues): Login {
  const method = given.value('transit-auth') ?? 'token'
  const mount = setOf(given, { mount: 'transit-auth-mount' })
  const due = (flag: string): string => needed(given, flag, `transit-auth ${method}`)
  switch (method) {
    case 'token':
      return { method, token: { file: due('transit-token-file') } }
    case 'approle':
      return {
        method,
        ...mount,
        roleId: due('transit-role-id'),
        secretId: { file: due('transit-secret-id-file') },
      }
    case 'kubernetes':
    case 'jwt': {
      const jwtFile = given.value('transit-jwt-file') ?? SERVICE_ACCOUNT_TOKEN
      return { method, ...mount, role: due('transit-role'), jwtFile }
    }
    case 'userpass':
      return {
        method,
        ...mount,
        username: due('transit-username'),
        password: { file: due('transit-password-file') },
      }
    default:
      throw new SottoError('usage', `Cannot log in by ${quote(method)}: --transit-auth`, {
        hint: 'It is token, approle, kubernetes, jwt or userpass.',
      })
  }
}

function needed({ value }: SettingValues, flag: string, what: string): string {
  const text = value(flag)
  if (text !== undefined) return text
  throw new SottoError('usage', `--${what} needs --${flag}`)
}
