/** Where a service is reached when no flag says it: what the AWS CLI and its kin read for that, in their order. */
import { quote, SottoError } from '../../client/api/errors.ts'
import type { Proxies } from '../platform/proxies.ts'

/** The services that are called. */
export type ServiceName = 'KMS' | 'S3'

/** An endpoint that something other than a flag names. */
export interface Endpoint {
  readonly endpoint: string
  /** What names it, for messages. */
  readonly endpointFrom: string
}

/** How a service is reached; what is absent comes from where the AWS SDK looks. */
export interface Place {
  readonly region?: string
  /** A URL. Absent: what the AWS configuration says, or that of the region. */
  readonly endpoint?: string
  /** What named the endpoint, where that was not a setting of ours. */
  readonly endpointFrom?: string
  /** A profile of the AWS configuration files, which may name a role. */
  readonly profile?: string
  readonly proxies?: Proxies
}

/** Reads a variable of the environment. */
type Variables = (name: string) => string | undefined
type Settings = Readonly<Record<string, string | undefined>>

/** What variables say; undefined where they say nothing. Throws `usage` for what is not a URL. */
export function endpointIn(variables: Variables, service: ServiceName): Endpoint | undefined {
  const found = inVariables(variables, service)
  return found && chosen(found)
}

/**
 * What variables say, or else `profile` of the AWS configuration: without a name the one that the AWS SDK takes.
 * The SDK itself looks into no profile that a client is given. Rejects with `usage` for what is not a URL.
 */
export async function configuredEndpoint(
  service: ServiceName,
  profile: string | undefined,
): Promise<Endpoint | undefined> {
  const { loadConfig } = await import('@smithy/core/config')
  const endpointFrom = `endpoint_url of the AWS profile${profile === undefined ? '' : ` ${quote(profile)}`}`
  const load = loadConfig<Endpoint>(
    {
      environmentVariableSelector: (env) => inVariables((name) => env[name], service),
      configFileSelector: (own, file) => {
        const endpoint = inProfile(own, file ?? {}, service)
        return endpoint === undefined ? undefined : { endpoint, endpointFrom }
      },
      default: none,
    },
    profile === undefined ? {} : { profile },
  )
  return chosen(await load())
}

/** What named an endpoint, in brackets; nothing where a setting of ours did. */
export function sourceOf({ endpointFrom }: Place): string {
  return endpointFrom === undefined ? '' : ` (${endpointFrom})`
}

/** Throws `usage` for an endpoint that is not a URL of HTTP. `what` says which one it is. */
export function refuseNoUrl(endpoint: string, what: string): void {
  if (/^https?:$/.test(URL.parse(endpoint)?.protocol ?? '')) return
  throw new SottoError('usage', `Cannot use ${what}: it is not a URL`, {
    hint: 'It begins with https://.',
  })
}

/** That of the service itself: a profile that names one is not asked. */
const none: Endpoint = { endpoint: '', endpointFrom: '' }

function inVariables(variables: Variables, service: ServiceName): Endpoint | undefined {
  if (isTrue(variables('AWS_IGNORE_CONFIGURED_ENDPOINT_URLS'))) return none
  for (const name of [`AWS_ENDPOINT_URL_${service}`, 'AWS_ENDPOINT_URL']) {
    const endpoint = variables(name)
    if (endpoint) return { endpoint, endpointFrom: `$${name}` }
  }
  return undefined
}

/** What a profile says, in the section of its services or for all of them. */
function inProfile(
  profile: Settings,
  sections: Readonly<Record<string, Settings>>,
  service: ServiceName,
): string | undefined {
  if (isTrue(profile['ignore_configured_endpoint_urls'])) return undefined
  const services = sections[`services.${profile['services']}`]
  return services?.[`${service.toLowerCase()}.endpoint_url`] ?? profile['endpoint_url']
}

function isTrue(flag: string | undefined): boolean {
  return flag?.toLowerCase() === 'true'
}

function chosen(found: Endpoint): Endpoint | undefined {
  if (found.endpoint === none.endpoint) return undefined
  refuseNoUrl(found.endpoint, found.endpointFrom)
  return found
}
