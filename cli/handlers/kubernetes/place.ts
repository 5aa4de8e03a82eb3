/** Where the API server of the cluster is, and how this program says who it is: as a pod is told, or by flags. */
import { quote, SottoError } from '../../../client/api/errors.ts'
import type { Environment } from '../../../client/api/given.ts'
import { readTextFileNow } from '../../../client/platform/text-file.ts'
import type { Timers } from '../../../client/platform/timers.ts'

/** The folder in a pod with what its service account needs. */
const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'
/** The kubelet renews both files long before the old content ends. */
const REREAD_MS = 60_000

/** What flags say; undefined: what a pod is told. */
export interface PlaceFlags {
  readonly url: string | undefined
  readonly tokenFile: string | undefined
  readonly caFile: string | undefined
  readonly namespace: string | undefined
}

/** How the API server is reached. */
export interface Place {
  /** Without a slash at its end. */
  readonly url: string
  /** The namespace of this program. */
  readonly namespace: string
  /** The token and the certificates as they are now; `fresh` when those before were refused. */
  credentials(fresh?: boolean): Credentials
}

/** What a call is sent with. */
interface Credentials {
  readonly token: string
  readonly ca: string
}

/** Reads the place. Throws `usage` outside of a pod where a flag is missing, and `local` for a file that cannot be read. */
export function placeOf(flags: PlaceFlags, env: Environment, timers: Timers): Place {
  const url = flags.url ?? inPod(env)
  if (!URL.parse(url)?.protocol.startsWith('https:')) {
    throw new SottoError('usage', `Cannot use ${quote(url)} as --api-server: it is not https://`)
  }
  const tokenFile = flags.tokenFile ?? `${ACCOUNT}/token`
  const caFile = flags.caFile ?? `${ACCOUNT}/ca.crt`
  let read: Credentials | undefined
  let readAt = 0
  const credentials = (fresh = false): Credentials => {
    if (read && !fresh && timers.now() - readAt < REREAD_MS) return read
    const token = readTextFileNow(tokenFile, 'token of the service account')
    read = { token, ca: readTextFileNow(caFile, 'certificates of the API server', { pem: true }) }
    readAt = timers.now()
    return read
  }
  // What is missing is said at the start.
  credentials()
  return { url: url.replace(/\/$/, ''), namespace: flags.namespace ?? ownNamespace(), credentials }
}

function inPod(env: Environment): string {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = env
  if (host !== undefined) return `https://${host.includes(':') ? `[${host}]` : host}:${port}`
  throw new SottoError('usage', 'Cannot find the cluster: this is not a pod', {
    hint: 'Outside of one, give --api-server, --token-file, --ca-file and --own-namespace.',
  })
}

function ownNamespace(): string {
  try {
    return readTextFileNow(`${ACCOUNT}/namespace`, 'namespace of the pod')
  } catch {
    throw new SottoError('usage', 'Cannot tell the namespace of this program: it is not in a pod', {
      hint: 'Give --own-namespace.',
    })
  }
}
