/** A server with a backend in memory, and the callers that an attack has (ATTACKS.md). */
import { request } from 'node:http'
import { SottoError } from '../../client/api/errors.ts'
import type { OpenBaoConfig } from '../../client/api/backends.ts'
import type { OperationRequest } from '../../client/api/operations.ts'
import type { BackendsConfig } from '../../server/config/backends.ts'
import type { BackupsConfig } from '../../server/config/backups.ts'
import type { Backend } from '../../server/backends/contract.ts'
import type { BackendWorld } from '../../server/backends/opened.ts'
import type { TailnetFile } from '../../server/identity/development.ts'
import { backendSpec, ORIGIN } from '../support/backend-spec.ts'
import { MemoryBackend, SharedMemory } from '../support/memory-backend.ts'
import { everything, type Line, type Service, startService } from '../support/service.ts'

/** Another than ORIGIN that the settings allow. */
export const OTHER = 'https://other.example.com:8200'

/** The one target that the settings allow for rotations: nobody is there. */
export const TARGET = 'postgres://127.0.0.1:1'

const rule = (action: string, secret = '*') => ({ action: action.split(' '), secret: [secret] })

/** The last part of the address of each. */
export const callers: TailnetFile = {
  nodes: {
    '127.0.0.1': { name: 'root', user: 'root@example.com', rules: [everything] },
    '127.0.0.2': { name: 'mover', user: 'mover@example.com', rules: [rule('migrate')] },
    '127.0.0.3': {
      name: 'keeper',
      user: 'keeper@example.com',
      rules: [
        rule('backends:view backends:create backends:edit backends:delete migrate'),
        rule('get put info', 'backends/*'),
        rule('get put info', 'prod/*'),
      ],
    },
    '127.0.0.4': {
      name: 'victim',
      user: 'victim@example.com',
      rules: [rule('get put info activate', 'victim/*')],
    },
    '127.0.0.5': { name: 'nobody', user: 'nobody@example.com' },
    '127.0.0.6': { name: 'putter', user: 'putter@example.com', rules: [rule('put', 'victim/*')] },
    '127.0.0.8': { name: 'mirrorer', user: 'mirrorer@example.com', rules: [rule('mirror')] },
    '127.0.0.9': {
      name: 'maker',
      user: 'maker@example.com',
      rules: [rule('backends:create backends:view')],
    },
  },
}

/** An answer to one request. */
export interface Sent {
  readonly status: number
  readonly error: string | undefined
  /** Text of the `Sotto-Detail` header. */
  readonly detail: string | undefined
  /** Text of the `Sotto-Hint` header. */
  readonly hint: string | undefined
  readonly body: string
  /** The request id of the answer. */
  readonly id: string
}

export interface Elsewhere extends AsyncDisposable {
  readonly service: Service
  readonly shared: SharedMemory
  /** How each backend was opened. */
  readonly opened: OpenBaoConfig[]
  readonly worlds: BackendWorld[]
  /** Sends from the loopback address 127.0.0.`caller`, or from `caller` where that is one. */
  readonly send: (caller: number | string, method: string, body: unknown) => Promise<Sent>
  /** Records of that caller. */
  readonly of: (name: string) => Line[]
}

/** Starts it. The token of backends is in `backends/token`. */
export async function startElsewhere(
  options: {
    tailnet?: TailnetFile
    backends?: BackendsConfig
    backups?: BackupsConfig
    state?: string
  } = {},
): Promise<Elsewhere> {
  const shared = new SharedMemory()
  /** Each has a claim of its own, and the rest in common. */
  const places = new Map<string, SharedMemory>()
  const none = { claim: undefined }
  const opened: OpenBaoConfig[] = []
  const worlds: BackendWorld[] = []
  const openBackend = (config: OpenBaoConfig, world: BackendWorld): Backend => {
    opened.push(config)
    worlds.push(world)
    const { url, mount, pathPrefix } = config
    const key = `${url} ${mount} ${pathPrefix}`
    const place = places.get(key) ?? Object.assign(Object.create(shared) as SharedMemory, none)
    places.set(key, place)
    return new MemoryBackend(world.owner, place)
  }
  const { tailnet = callers, backends, backups, state } = options
  const service = await startService(
    { openBackend },
    {
      tailnet,
      backendOrigins: [ORIGIN, OTHER],
      rotations: { rotationTargets: [TARGET] },
      ...(backends && { backends }),
      ...(backups && { backups }),
      ...(state !== undefined && { state }),
    },
  )
  await service.client().put('backends/token', Buffer.from('the token'))
  return {
    service,
    shared,
    opened,
    worlds,
    send: (caller, method, body) =>
      send(`${service.url}/api/${method}`, addressOf(caller), JSON.stringify(body)),
    of: (name) =>
      service
        .records()
        .filter(({ principal }) => (principal as Line | undefined)?.['hostname'] === name),
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  }
}

type Spec = OperationRequest<'backend-create'>

/** A backend as it is asked for. */
export function spec(Name: string, more: Partial<Spec> = {}, config: object = {}): Spec {
  return { ...backendSpec(Name, { pathPrefix: `sotto/${Name}`, ...config }), ...more }
}

/** What a sealed OpenBao is told of as. */
export function sealed(name: string): SottoError {
  const message = `Cannot read version 1 of "${name}" at OpenBao at "${ORIGIN}": it is sealed`
  return new SottoError('backend_unavailable', message, { found: 'it is sealed' })
}

function addressOf(caller: number | string): string {
  return typeof caller === 'number' ? `127.0.0.${caller}` : caller
}

function send(url: string, localAddress: string, body: string): Promise<Sent> {
  const { promise, resolve, reject } = Promise.withResolvers<Sent>()
  const headers = {
    'Content-Type': 'application/json',
    'Sec-X-Tailscale-No-Browsers': 'setec',
  }
  const outgoing = request(
    url,
    { method: 'POST', localAddress, headers, agent: false },
    (answer) => {
      const chunks: Buffer[] = []
      answer.on('data', (chunk: Buffer) => chunks.push(chunk))
      answer.on('error', reject)
      answer.on('end', () => {
        const { 'sotto-error': error, 'x-request-id': id } = answer.headers
        const textIn = (name: string): string | undefined => {
          const given = answer.headers[name]
          return given === undefined ? undefined : (JSON.parse(String(given)) as string)
        }
        resolve({
          status: answer.statusCode ?? 0,
          error: error as string | undefined,
          detail: textIn('sotto-detail'),
          hint: textIn('sotto-hint'),
          body: Buffer.concat(chunks).toString(),
          id: String(id),
        })
      })
    },
  )
  outgoing.on('error', reject)
  outgoing.end(body)
  return promise
}
