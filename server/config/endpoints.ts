/** Where services of AWS are reached. */
import { quote } from '../../client/api/errors.ts'
import { endpointIn, type Endpoint, refuseNoUrl, type ServiceName } from '../aws/endpoint.ts'
import type { SettingValues } from './settings/setting.ts'

/**
 * The endpoint of `service`: that of the setting `flag`, or that of the variables which the AWS CLI and its kin read.
 * Empty where neither says it. Throws `usage` for what is not a URL.
 */
export function endpointOf(
  given: SettingValues,
  flag: 'backup-endpoint' | 'kms-endpoint',
  service: ServiceName,
): Partial<Endpoint> {
  const endpoint = given.value(flag)
  if (endpoint === undefined) {
    return endpointIn((name) => given.variable([name])?.value, service) ?? {}
  }
  refuseNoUrl(endpoint, `${quote(endpoint)} as --${flag}`)
  return { endpoint }
}
